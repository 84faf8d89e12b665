"""The interpreter that is forked: `python server.py FD LOCK`. FD is a listening SOCK_SEQPACKET socket.

It serves every process of a test session until the last has disconnected. Clients connect while they hold the
file LOCK (flock), and it ends while it holds it: nobody connects to one that is about to end.

Each message is a JSON object and four descriptors: standard input, output and error, and a pipe. The pipe
gets a line with the pid of the new process and, at its end, a line with its exit code (negative: a signal).

A forked process has the arguments, folder, environment, standard streams and session of a new one, and no
signal handler, thread, event loop, open file or random state of another. It differs in its command line as
`ps` shows it, in its parent, and in that its modules were imported before.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import locale
import os
import pkgutil
import runpy
import select
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

MODULES = (
    "dozor_bot.app",
    "dozor_market.auctions",
    "dozor_market.presales",
    "dozor_market.ton_deposits",
    "fluent.runtime",
    "pgqueuer.adapters.persistence.qb",
)
PACKAGES = ("dozor.cli", "dozor.app")
"""With every module in them."""
REQUEST = 1 << 20
"""Bytes of the longest message."""


def preload() -> None:
    """Import what commands import, and parse the texts, with no handler on this process's standard error."""
    os.environ["LOGURU_AUTOINIT"] = "False"
    for name in MODULES:
        importlib.import_module(name)
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    # Read once by each process, and never changed.
    translator = importlib.import_module("dozor.language.translator")
    translator.warm(importlib.import_module("dozor.language.names").Language)
    # Commands have the texts of their help since their import: each process imports its own, in its language.
    for name in [name for name in sys.modules if f"{name}.".startswith("dozor.cli.")]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


def serve(listener: socket.socket, lock: str) -> Mapping[str, Any]:
    """Fork as asked until every client is gone. Returns only in a forked process: its request.

    Modules are imported at the first request.
    """
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    clients: set[socket.socket] = set()
    pipes: dict[int, tuple[int, int]] = {}  # of each process by its pidfd: its pid and its pipe
    preloaded = False
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                client, _ = listener.accept()
                clients.add(client)
                selector.register(client, selectors.EVENT_READ)
                continue
            if not isinstance(key.fileobj, socket.socket):
                handle = key.fd
                pid, pipe = pipes.pop(handle)
                selector.unregister(handle)
                os.close(handle)
                _say(pipe, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(pipe)
                continue
            client = key.fileobj
            message, descriptors, _, _ = _receive(client)
            if not message:
                selector.unregister(client)
                client.close()
                clients.remove(client)
                if not clients:
                    _end_unless_wanted(listener, lock)
                continue
            *streams, pipe = descriptors
            if not preloaded:
                preload()
                preloaded = True
            pid = os.fork()
            if pid == 0:
                selector.close()
                for connection in (listener, *clients):
                    connection.close()
                request: Mapping[str, Any] = json.loads(message)
                _become(request, streams)
                return request
            for stream in streams:
                os.close(stream)
            handle = os.pidfd_open(pid)
            pipes[handle] = (pid, pipe)
            selector.register(handle, selectors.EVENT_READ)
            _say(pipe, pid)


def _receive(client: socket.socket) -> tuple[bytes, list[int], int, Any]:
    """Of a client that was killed: no message."""
    try:
        return socket.recv_fds(client, REQUEST, 4)
    except ConnectionError:
        return b"", [], 0, None


def _end_unless_wanted(listener: socket.socket, lock: str) -> None:
    """End this process, unless somebody has connected meanwhile."""
    try:
        file = open(lock)  # noqa: SIM115 -- unlocked by the end of this process
    except FileNotFoundError:
        os._exit(0)  # the session has removed its folder
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not select.select([listener], [], [], 0)[0]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(listener.getsockname())
            os._exit(0)


def _say(pipe: int, number: int) -> None:
    try:
        os.write(pipe, b"%d\n" % number)
    except BrokenPipeError:
        pass  # nobody waits for it any more


def _become(request: Mapping[str, Any], streams: list[int]) -> None:
    """Everything by which a new process differs from this one."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number, inheritable=True)
    os.closerange(3, max(int(name) for name in os.listdir("/proc/self/fd")) + 1)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    tempfile.tempdir = None
    try:
        locale.setlocale(locale.LC_CTYPE, "")
    except locale.Error:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    _open_streams(unbuffered=bool(os.environ.get("PYTHONUNBUFFERED")))
    sys.argv[:] = request["arguments"]
    sys.orig_argv[:] = [sys.executable, *request["arguments"]]
    script = request["script"]
    sys.path[0] = os.path.dirname(script) if script else request["folder"]
    importlib.invalidate_caches()

    from loguru import logger

    import dozor.process.forking

    dozor.process.forking.generation = 0
    logger.add(sys.stderr)
    for name, value in request["constants"].items():
        module, _, constant = name.rpartition(".")
        found = importlib.import_module(module)
        if not hasattr(found, constant):
            raise AttributeError(f"no constant {name}")
        setattr(found, constant, value)


def _open_streams(*, unbuffered: bool) -> None:
    """As an interpreter does at its start (create_stdio in CPython's Python/pylifecycle.c)."""
    of_c = locale.setlocale(locale.LC_CTYPE) in ("C", "POSIX", "C.UTF-8", "C.utf8")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
        buffered = io.BufferedReader(raw) if number == 0 else raw if unbuffered else io.BufferedWriter(raw)
        stream = io.TextIOWrapper(
            buffered,
            "utf-8",
            "backslashreplace" if number == 2 else "surrogateescape" if of_c else "strict",
            line_buffering=not unbuffered and (number == 2 or raw.isatty()),
            write_through=unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def main() -> None:
    if os.fork():
        os._exit(0)  # it outlives whoever has started it
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        request = serve(listener, sys.argv[2])
    try:
        if request["script"] is None:
            runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(request["script"], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            _end(ended.code or 0)
        raise
    _end(0)


def _end(code: int) -> NoReturn:
    """End as an interpreter does, but leave the modules to the kernel: to free what all of them hold touches
    every page that is shared with the parent, which takes longer than most commands.

    The order is that of Py_FinalizeEx: threads, functions of `atexit`, streams.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            if stream is sys.stdout:
                code = 120  # as Python does: https://docs.python.org/3/library/sys.html#sys.exit
    os._exit(code & 0xFF)


if __name__ == "__main__":
    main()
