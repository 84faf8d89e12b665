"""A private PostgreSQL server, for tests of what happens when it goes away."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from dozor.storage.postgres.embedded.server import EmbeddedServer, start_embedded


class PostgresControl:
    """A private server; `dsn` stays the same whatever happens to it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._server: EmbeddedServer | None = start_embedded(data_dir)
        self.dsn = self._server.dsn
        self._frozen: list[psutil.Process] = []

    def start(self) -> None:
        """Returns when it takes connections."""
        if self._server is None:
            self._server = start_embedded(self.data_dir)

    def stop(self) -> None:
        """A fast shutdown: connections are ended, data is written. Returns when it is gone."""
        if self._server is not None:
            self._server.release()
            self._server = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def restart_immediately(self) -> None:
        """An immediate shutdown (`pg_ctl stop -m immediate`): no session ends in order; then recovery."""
        assert self._server is not None
        processes = self._processes()
        os.kill(self._server.pid, signal.SIGQUIT)
        psutil.wait_procs(processes, timeout=10)
        self.restart()

    def kill(self) -> None:
        """kill -9 of the server, as a crash of the machine. `start` recovers it."""
        assert self._server is not None
        processes = self._processes()
        os.kill(self._server.pid, signal.SIGKILL)
        psutil.wait_procs(processes, timeout=10)
        self.stop()

    def shut_down_slowly(self) -> None:
        """A smart shutdown: existing connections go on, new ones are turned away. `stop` ends it."""
        assert self._server is not None
        os.kill(self._server.pid, signal.SIGTERM)

    def require_passwords(self) -> None:
        """From now on everybody but `postgres` needs one."""
        assert self._server is not None
        hba = self.data_dir / "data" / "pg_hba.conf"
        hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        os.kill(self._server.pid, signal.SIGHUP)

    def freeze(self) -> None:
        """Silently dead: connections stay open, nobody answers, until `thaw`."""
        self._frozen = self._processes()
        for process in self._frozen:
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        for process in self._frozen:
            with suppress(psutil.NoSuchProcess):  # a worker of the server that has ended meanwhile
                process.resume()
        self._frozen = []

    def end_sessions(self) -> None:
        """Every session is ended, as by pg_terminate_backend; new ones are welcome."""
        for session in self._sessions():
            with suppress(psutil.NoSuchProcess):
                session.terminate()

    def kill_session(self) -> None:
        """kill -9 of one session's process, if there is one: the server ends all of them and recovers."""
        for session in self._sessions()[:1]:
            with suppress(psutil.NoSuchProcess):
                session.kill()

    def _sessions(self) -> list[psutil.Process]:
        """Processes that serve a client: "postgres: user database …"."""
        found = []
        for process in self._processes()[1:]:
            with suppress(psutil.NoSuchProcess, IndexError):
                if process.cmdline()[0].startswith("postgres: postgres "):
                    found.append(process)
        return found

    def _processes(self) -> list[psutil.Process]:
        assert self._server is not None
        parent = psutil.Process(self._server.pid)
        return [parent, *parent.children(recursive=True)]
