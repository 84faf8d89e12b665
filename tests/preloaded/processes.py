"""Starts `dozor` as a process of its own, by a fork of `tests.preloaded.server` where nothing is lost by it.

`DOZOR_FRESH=1` makes every process a new interpreter; `make soak` does. Tests of the start itself, of what is
imported when, of terminals and of closed streams use `subprocess` and are not concerned.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

import dozor

DOZOR = Path(sys.executable).with_name("dozor")
"""The command as it is installed."""
MODULES = ("benchmarks.siege",)
"""Beside `dozor`, what is forked as `python -m MODULE` with the repository as its folder."""
_SERVER = Path(__file__).with_name("server.py")
_OF_THE_INTERPRETER = ("PYTHON", "LD_", "MALLOC_", "GLIBC_", "LOGURU_")
"""Beginnings of the names of variables that are read before or while modules are imported."""
_ANY_TIME = frozenset({"PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE"})


class Started(Protocol):
    """What of `subprocess.Popen` the tests use."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A process that `tests.preloaded.server` has forked."""

    def __init__(self, pipe: IO[bytes]) -> None:
        """`pipe`: the reading end, to which the server writes."""
        self._pipe = pipe
        self.pid = int(pipe.readline())
        try:
            self._handle = os.pidfd_open(self.pid)
        except ProcessLookupError:  # it has ended already
            self._handle = os.open(os.devnull, os.O_RDONLY)
        self._code: int | None = None
        os.set_blocking(pipe.fileno(), False)
        self._guard = threading.Lock()

    def poll(self) -> int | None:
        with self._guard:
            if self._code is None:
                line = self._pipe.read()
                if line is not None:
                    # Nothing: the server itself has ended, killed by somebody.
                    self._code = int(line or -signal.SIGKILL)
                    self._pipe.close()
                    os.close(self._handle)
            return self._code

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(["dozor"], timeout or 0.0)
            time.sleep(0.005)  # noqa: TID251 -- for threads and teardowns, which have no loop
        return code

    def send_signal(self, sig: int) -> None:
        """One that has ended is left alone."""
        if self.poll() is None:
            try:
                signal.pidfd_send_signal(self._handle, sig)
            except OSError:
                pass  # it has ended meanwhile

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Server:
    """A connection to the interpreter that is forked: one for all processes of a test session.

    The first that wants it starts it, with its socket in `folder`. It ends when all have disconnected.
    """

    def __init__(self, folder: Path) -> None:
        address = folder / "preloaded"
        lock_path = folder / "preloaded.lock"
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with lock_path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self._control.connect(str(address))
            except (FileNotFoundError, ConnectionRefusedError):
                address.unlink(missing_ok=True)  # of one that was killed
                self._launch(address, lock_path)
                self._control.connect(str(address))

    @staticmethod
    def _launch(address: Path, lock_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(address))
            listener.listen()
            subprocess.run(
                [sys.executable, _SERVER, str(listener.fileno()), lock_path],
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                check=True,
            )

    @property
    def alive(self) -> bool:
        """It never sends anything but the end of the connection."""
        try:
            self._control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionError:
            pass
        return False

    def fork(
        self,
        arguments: Sequence[str],
        script: str | None,
        module: str,
        folder: Path,
        environment: Mapping[str, str],
        streams: Sequence[int],
        constants: Mapping[str, float],
    ) -> Forked:
        umask = os.umask(0)
        os.umask(umask)
        request = {
            "arguments": list(arguments),
            "script": script,
            "module": module,
            "folder": str(folder),
            "environment": dict(environment),
            "umask": umask,
            "constants": dict(constants),
        }
        reading, writing = os.pipe()
        try:
            socket.send_fds(self._control, [json.dumps(request).encode()], [*streams, writing])
        finally:
            os.close(writing)
        return Forked(os.fdopen(reading, "rb"))

    def close(self) -> None:
        """Processes that it has forked go on."""
        self._control.close()


_folder: Path | None = None
_server: Server | None = None
_guard = threading.Lock()


def start(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int,
    stdout: int,
    stderr: int,
    constants: Mapping[str, float] | None = None,
) -> Started:
    """`command` in a session of its own. The streams are descriptors, not constants of `subprocess`.

    `constants`: of modules, by their dotted names: shorter intervals than those of the product. A new
    interpreter (`make soak`) has those of the product.
    """
    words = [str(word) for word in command]
    found = _known(words)
    if found is None or not _may_fork(env):
        return subprocess.Popen(
            words, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    arguments, script, module = found
    streams = (stdin, stdout, stderr)
    return _running_server().fork(arguments, script, module, cwd, env, streams, constants or {})


def run(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 100.0,
    module: str = "dozor",
) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE ARGUMENTS` to its end, with no standard input.

    Raises subprocess.TimeoutExpired after `timeout` seconds; the process is killed then.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
        process = start(
            command,
            cwd=cwd or Path.cwd(),
            env=dict(os.environ) if env is None else env,
            stdin=nothing.fileno(),
            stdout=out.fileno(),
            stderr=err.fileno(),
        )
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
            process.wait()
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(command, code, *said)


async def run_beside(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """As `run`, while the loop of the test goes on."""
    return await asyncio.to_thread(run, *arguments, cwd=cwd, env=env)


def share(folder: Path) -> None:
    """Use one server with every process that has named this folder."""
    global _folder
    _folder = folder


def close() -> None:
    """Disconnect from the server, if there is one."""
    global _server
    with _guard:
        if _server is not None:
            _server.close()
            _server = None


def _running_server() -> Server:
    global _folder, _server
    with _guard:
        if _server is not None and not _server.alive:
            _server.close()
            _server = None
        if _server is None:
            if _folder is None:
                _folder = Path(tempfile.mkdtemp(prefix="dozor-"))
                atexit.register(shutil.rmtree, _folder, ignore_errors=True)
            _server = Server(_folder)
        return _server


def _is_forked(module: str) -> bool:
    return module.startswith("tests.") or module in MODULES


def _known(command: Sequence[str]) -> tuple[list[str], str | None, str] | None:
    """sys.argv, the script, which is None for `python -m`, and the module. None: it is another command.

    Of the modules, `dozor`, those of the tests and `MODULES`.
    """
    match command:
        case [script, *_] if script == str(DOZOR):
            return list(command), script, "dozor"
        case [python, "-m", "dozor", *more] if python == sys.executable:
            return [str(Path(dozor.__file__).with_name("__main__.py")), *more], None, "dozor"
        case [python, "-m", module, *more] if python == sys.executable and _is_forked(module):
            return [f"{module.replace('.', '/')}.py", *more], None, module
        case _:
            return None


def _may_fork(env: Mapping[str, str]) -> bool:
    """Is every variable that the interpreter reads at its start as it was for the server?"""
    if sys.platform != "linux" or os.environ.get("DOZOR_FRESH"):
        return False
    return _interpreter_variables(env) == _interpreter_variables(os.environ)


def _interpreter_variables(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if name.startswith(_OF_THE_INTERPRETER) and name not in _ANY_TIME
    }
