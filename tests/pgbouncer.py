"""A real pgbouncer on loopback, before a PostgreSQL of the tests."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests import programs
from tests.waiting import stretched

PATIENCE = 10.0
"""Seconds until it takes connections."""


class PgBouncer:
    """`mode`: pgbouncer's `pool_mode`. `sizes`: sessions of the server, for each database and user.

    `text`: a whole configuration instead, of which only addresses and passwords are replaced.

    It runs until `close`. Its files are in `folder`, which must not be listed by others but may be passed.
    """

    def __init__(
        self, folder: Path, dsn: str, *, mode: str = "transaction", sizes: int = 20, text: str | None = None
    ) -> None:
        program = programs.require("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer")
        parts = urlsplit(dsn)
        where = parse_qs(parts.query)
        host, port = where["host"][0], where.get("port", ["5432"])[0]
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "pgbouncer.ini"
        target = f"* = host={host} port={port} user={parts.username or 'postgres'}"
        config.write_text(
            _written(mode, sizes, target, self.port) if text is None else _here(text, target, self.port)
        )
        command = [program, "-q", str(config)]
        if os.geteuid() == 0:  # pgbouncer refuses to run as root
            command[1:1] = ["-u", _account(host)]
        self.log = folder / "pgbouncer.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.dsn = re.sub(r"host=[^&]+", "host=127.0.0.1", dsn)
        self.dsn = re.sub(r"[?&]port=[0-9]+", "", self.dsn)
        self.dsn += f"&port={self.port}"
        self._wait()

    @property
    def ended(self) -> int | None:
        """The status with which it has ended by itself; None: it works."""
        return self._process.poll()

    def close(self) -> None:
        """Ends it at once, with its connections."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def _wait(self) -> None:
        deadline = time.monotonic() + stretched(PATIENCE)
        nap = threading.Event()
        while time.monotonic() < deadline and self._process.poll() is None:
            with closing(socket.socket()) as end:
                if end.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            nap.wait(0.02)
        raise AssertionError(f"pgbouncer does not start: {self.log.read_text(errors='replace')}")


def _written(mode: str, sizes: int, target: str, port: int) -> str:
    return (
        f"[databases]\n{target}\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {sizes}\nmax_client_conn = 500\n"
        # The default of 15 s delays everything after a restart of the server.
        "server_login_retry = 1\nserver_check_delay = 5\nlog_connections = 0\nlog_disconnections = 0\n"
    )


def _here(text: str, target: str, port: int) -> str:
    """`text` with the addresses of this machine, and without passwords."""
    for key, value in (
        (r"\w+ = host=", target),
        (r"listen_addr = ", "listen_addr = 127.0.0.1"),
        (r"listen_port = ", f"listen_port = {port}"),
        (r"auth_type = ", "auth_type = any"),
        (r"auth_file = ", "unix_socket_dir ="),
    ):
        text, count = re.subn(rf"^{key}.*$", value, text, flags=re.MULTILINE)
        assert count == 1, key
    return text


def free_port() -> int:
    """A TCP port of loopback that nobody uses now."""
    with closing(socket.socket()) as end:
        end.bind(("127.0.0.1", 0))
        return int(end.getsockname()[1])


def _account(socket_dir: str) -> str:
    """Who may reach the server's socket: its owner, where we are root."""
    import pwd

    return pwd.getpwuid(Path(socket_dir).stat().st_uid).pw_name
