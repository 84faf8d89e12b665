"""Whether a PostgreSQL server runs in a data directory, read from its `postmaster.pid`.

The file's lines are the pid, the data directory, the start (epoch seconds), the port, the
directory of the socket, the address, a shared memory key and the status
(src/include/utils/pidfile.h of PostgreSQL). A starting server writes them one after another.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from dozor.errors import StorageError
from dozor.language import msg

PID_FILE = "postmaster.pid"
_POLL = 0.01
_CONNECT_TIMEOUT = 2.0
_FAST_SHUTDOWN = 30.0
_IMMEDIATE_SHUTDOWN = 10.0


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The content of the file. `socket` is None until the server has written it."""

    pid: int
    socket: Path | None
    ready: bool


def parse(text: str) -> Postmaster | None:
    """The content of a `postmaster.pid`; None if not even its first line is a pid."""
    lines = [line.strip() for line in text.splitlines()]
    if not lines or not lines[0].lstrip("-").isdecimal():
        return None
    pid = abs(int(lines[0]))  # negative: a single-user server
    if pid == 0:
        return None
    path = None
    if len(lines) >= 5 and lines[3].isdecimal() and lines[4]:
        path = Path(lines[4]) / f".s.PGSQL.{lines[3]}"
    return Postmaster(pid=pid, socket=path, ready=len(lines) >= 8 and lines[7] == "ready")


def read(pgdata: Path) -> Postmaster | None:
    """None: no such file. Raises StorageError if the file is damaged: PostgreSQL refuses to start on it."""
    path = pgdata / PID_FILE
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return None
    found = parse(text)
    if found is None:
        raise StorageError(msg("error-pid-file", path=path, pgdata=pgdata))
    return found


def find_running(pgdata: Path, *, timeout: float) -> Postmaster | None:
    """The server at work in `pgdata`, or None. Waits up to `timeout` seconds while it starts or stops.

    A pid file left by a crash, whose pid now belongs to some other program, is removed.
    Raises StorageError: damaged pid file, or a server that neither gets ready nor ends.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = read(pgdata)
        if found is None or not _lives(found.pid):
            return None
        if found.ready and _answers(found.socket):
            return found
        if not _works_in(found.pid, pgdata):
            (pgdata / PID_FILE).unlink(missing_ok=True)
            return None
        if time.monotonic() > deadline:
            raise StorageError(
                msg("error-postmaster-stuck", pid=found.pid, pgdata=pgdata, timeout=f"{timeout:.0f}")
            )
        pause()


def stop(pgdata: Path) -> None:
    """Fast shutdown, then, after 30 s, an immediate one; returns when the server is gone.

    Raises StorageError if it stays, or belongs to another user.
    """
    found = read(pgdata)
    if found is None or not _lives(found.pid) or not _works_in(found.pid, pgdata):
        return
    for number, seconds in ((signal.SIGINT, _FAST_SHUTDOWN), (signal.SIGQUIT, _IMMEDIATE_SHUTDOWN)):
        try:
            os.kill(found.pid, number)
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise StorageError(msg("error-postmaster-foreign", pid=found.pid, pgdata=pgdata)) from error
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not _lives(found.pid):
                return
            pause()
    raise StorageError(msg("error-postmaster-survives", pid=found.pid, pgdata=pgdata))


def pause() -> None:
    """One tick of a wait in a blocking function; never called on an event loop."""
    time.sleep(_POLL)  # noqa: TID251 -- runs in a worker thread, there is nothing else to wait on


def _lives(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)  # as pid 1 of a container we inherit it
    except ChildProcessError:
        pass
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # an init may be slow to collect it
    except psutil.NoSuchProcess:
        return False


def _answers(path: Path | None) -> bool:
    if path is None:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_CONNECT_TIMEOUT)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _works_in(pid: int, pgdata: Path) -> bool:
    """A server's working directory is its data directory; any other process only inherited the pid."""
    try:
        process = psutil.Process(pid)
        if "postgres" not in process.name():
            return False
        return Path(process.cwd()) == pgdata
    except psutil.AccessDenied:  # root without CAP_SYS_PTRACE, in a container
        return True
    except psutil.NoSuchProcess:
        return False
