"""`database.url: embedded`: PostgreSQL from a wheel, on a socket in the data directory.

Inside `data_dir`:

    data/        the server's own files (PGDATA), its settings in dozor.conf, its socket
    server.log   the server's log; the previous file, beyond 1 MB, is server.log.1
    lock         held (flock) while a process starts or stops the server
    holders      held shared by every process that uses the server

The last holder to release stops the server. The kernel drops the lock of a process that dies, so
nothing stale is left; after a kill -9 the server goes on, and the next start attaches to it.
Everything here blocks: from a loop call it through `asyncio.to_thread`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from dozor.config.places import make_folder
from dozor.errors import DatabaseUnavailableError, StorageError
from dozor.language import msg
from dozor.process.forking import OwnedDescriptors
from dozor.storage.postgres.embedded import initdb, postmaster
from dozor.storage.postgres.embedded.postmaster import Postmaster

_OURS = frozenset({"data", "data.new", "server.log", "server.log.1", "lock", "holders", "lost+found"})
_LOCK_TIMEOUT = 180.0
_START_TIMEOUT = 120
_LOG_LIMIT = 1_000_000
_ORPHANS = "is still in use"
"""Messages of the server while processes of a killed one are still ending, which takes a moment."""
_ORPHANS_TIMEOUT = 5.0


@dataclass(slots=True)
class EmbeddedServer:
    """A hold on a running server. As a context manager it releases at the end."""

    data_dir: Path
    dsn: str
    pid: int
    started: bool
    """This call started it; False: it ran already."""
    _holders: int = field(repr=False)
    _owned: OwnedDescriptors = field(repr=False)
    """Closes `holders` in forked children: one of those would keep the server from being stopped."""
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def ensure_running(self) -> bool:
        """Starts the server again if it is gone (killed, out of memory). True: it was.

        Raises StorageError with the remedy if it does not start.
        """
        with _lock(self.data_dir):
            server, started = _start(self.data_dir)
            self.pid = server.pid
            return started

    def release(self) -> None:
        """Lets go, and stops the server if nobody else holds it. The second call does nothing.

        Raises StorageError if the server does not stop.
        """
        with self._guard:
            if self._owned.released:
                return
            self._owned.release()
        holders = self._holders
        try:
            with _lock(self.data_dir):
                if _try_flock(holders, fcntl.LOCK_EX):
                    postmaster.stop(self.data_dir / "data")
        finally:
            os.close(holders)

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def start_embedded(data_dir: Path) -> EmbeddedServer:
    """Attaches to the server of `data_dir`, or starts it, making folders and database at need.

    Raises StorageError with the remedy: unwritable, full, of another version, not ours, damaged.
    """
    data_dir = data_dir.expanduser().resolve()
    initdb.check_path(data_dir)
    with _os_errors(data_dir):
        make_folder(data_dir)
        with _lock(data_dir):
            server, started = _start(data_dir)
            return _hold(data_dir, server, started=started)


def find_embedded(data_dir: Path) -> EmbeddedServer | None:
    """Attaches if the server of `data_dir` runs already; None if not. Makes nothing.

    Raises StorageError as `start_embedded`.
    """
    data_dir = data_dir.expanduser().resolve()
    with _os_errors(data_dir):
        if not (data_dir / "data" / postmaster.PID_FILE).exists():
            return None
        with _lock(data_dir):
            server = postmaster.find_running(data_dir / "data", timeout=_START_TIMEOUT)
            return None if server is None else _hold(data_dir, server, started=False)


def _start(data_dir: Path) -> tuple[Postmaster, bool]:
    """Under the lock."""
    pgdata = data_dir / "data"
    _check_content(data_dir)
    account = initdb.find_account(pgdata)
    if pgdata.exists():
        server = postmaster.find_running(pgdata, timeout=_START_TIMEOUT)
        if server is not None:
            return server, False
    binaries = initdb.find_binaries()
    if not pgdata.exists():
        initdb.initialise(binaries, pgdata, account)
    initdb.open_way(binaries, pgdata, account)
    initdb.write_settings(pgdata, initdb.choose_socket_dir(pgdata, account), account)
    deadline = time.monotonic() + _ORPHANS_TIMEOUT
    while True:
        server, said = _launch(binaries, data_dir, account)
        if server is not None:
            return server, True
        if _ORPHANS not in said or time.monotonic() > deadline:
            break
        postmaster.pause()
    if postmaster.read(pgdata) is not None and msg("error-not-started-in-time") in said:
        raise DatabaseUnavailableError(initdb.explain(msg("error-still-recovering", data_dir=data_dir), said))
    text = initdb.explain(msg("error-not-started", data_dir=data_dir), said)
    raise StorageError(msg("error-see-log", text=text, log=data_dir / "server.log"))


def _launch(binaries: Path, data_dir: Path, account: initdb.Account) -> tuple[Postmaster | None, str]:
    """The server, or None and the server's message."""
    log = data_dir / "server.log"
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(data_dir / "server.log.1")
    log.touch(mode=0o600)
    initdb.give(log, account)
    seen = log.stat().st_size
    pgdata = data_dir / "data"
    # pg_ctl leaves the server in a session of its own: no signal to our process group reaches it.
    command = [str(binaries / "pg_ctl"), "start", "--wait", f"--timeout={_START_TIMEOUT}", "--silent"]
    command += ["--pgdata=" + str(pgdata), "--log=" + str(log)]
    result = initdb.run_as(account, command, cwd=pgdata, timeout=_START_TIMEOUT + 30)
    server = postmaster.find_running(pgdata, timeout=5) if result.returncode == 0 else None
    with log.open(errors="replace") as file:
        file.seek(seen)
        return server, result.stderr + file.read()


def _check_content(data_dir: Path) -> None:
    strange = sorted({entry.name for entry in data_dir.iterdir()} - _OURS)
    pgdata = data_dir / "data"
    if strange and not pgdata.exists():
        shown = ", ".join(strange[:3])
        raise StorageError(msg("error-foreign-folder", data_dir=data_dir, shown=shown))
    if not pgdata.exists():
        return
    try:
        version = (pgdata / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise StorageError(msg("error-no-pg-version", pgdata=pgdata)) from None
    if version != initdb.MAJOR:
        raise StorageError(msg("error-other-major", pgdata=pgdata, version=version[:20], major=initdb.MAJOR))


def _hold(data_dir: Path, server: Postmaster, *, started: bool) -> EmbeddedServer:
    """Under the lock, so nobody can be stopping the server now."""
    holders = os.open(data_dir / "holders", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(holders, fcntl.LOCK_SH)
    socket = server.socket.parent if server.socket is not None else data_dir / "data"
    dsn = f"postgresql://postgres@/postgres?host={quote(str(socket))}&port={initdb.PORT}"
    return EmbeddedServer(
        data_dir=data_dir,
        dsn=dsn,
        pid=server.pid,
        started=started,
        _holders=holders,
        _owned=OwnedDescriptors(lambda: (holders,)),
    )


@contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    with _os_errors(data_dir):
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        owned = OwnedDescriptors(lambda: (lock,))
        try:
            deadline = time.monotonic() + _LOCK_TIMEOUT
            while not _try_flock(lock, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise DatabaseUnavailableError(
                        msg("error-embedded-locked", data_dir=data_dir, seconds=f"{_LOCK_TIMEOUT:.0f}")
                    )
                postmaster.pause()
            yield
        finally:
            owned.release()
            os.close(lock)


def _try_flock(file: int, operation: int) -> bool:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _os_errors(data_dir: Path) -> Iterator[None]:
    """What the operating system refuses, as one clear line."""
    try:
        yield
    except subprocess.TimeoutExpired as error:
        raise StorageError(
            msg(
                "error-program-hung",
                data_dir=data_dir,
                name=Path(error.cmd[0]).name,
                seconds=f"{error.timeout:.0f}",
            )
        ) from error
    except OSError as error:
        where = error.filename or data_dir
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                text = msg("error-disk-full", data_dir=data_dir)
            case errno.EACCES | errno.EPERM:
                text = msg("error-no-permission", where=where)
            case errno.EROFS:
                text = msg("error-read-only", data_dir=data_dir)
            case errno.ENOTDIR | errno.EEXIST:
                text = msg("error-file-not-folder", where=_file_among(Path(where)))
            case _:
                text = msg("error-embedded", data_dir=data_dir, error=error)
        raise StorageError(text) from error


def _file_among(path: Path) -> Path:
    """The file on the way to `path`, where a folder should be; `path` itself if it has gone meanwhile."""
    return next((one for one in (path, *path.parents) if one.is_file()), path)
