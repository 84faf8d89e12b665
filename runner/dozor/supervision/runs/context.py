"""The context that a checker is given: `async def check(ctx)`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from loguru import logger

from dozor.clock import to_datetime
from dozor.errors import DatabaseUnavailableError, DozorError
from dozor.language import msg
from dozor.storage.postgres.checker_pool import CheckerPool, RunDatabase
from dozor.storage.postgres.named_databases import unknown_database
from dozor.storage.postgres.pool import Connection, Pool
from dozor.storage.postgres.run_fence import RunFence
from dozor.supervision.runs.reports import checked_backlog, checked_progress
from dozor.supervision.runs.resources import RunResources
from dozor.supervision.runs.run import Run, Stopping

if TYPE_CHECKING:
    from loguru import Logger


class _NoDatabases(dict[str, Pool]):
    """For runs without a section `databases:`."""

    def __missing__(self, name: str) -> Pool:
        raise unknown_database(name, {})


_NO_DATABASES: Mapping[str, Pool] = _NoDatabases()
LONGEST_ALERT = 262_144
"""Characters of `ctx.alert` that are looked at, four times what is kept: redacting a megabyte takes 0.3 s."""


class Reporter(Protocol):
    """Where a run's own words go. Safe to call from a thread."""

    def heartbeat(self) -> None: ...
    def progress(self, done: float, total: float) -> None: ...
    def backlog(self, size: int, oldest_at: datetime | None, limit: float | None) -> None: ...
    def alert(self, text: str, severity: str) -> None: ...


class Context:
    """One run of one task, as its checker sees it."""

    __slots__ = ("_checkers", "_db", "_fence", "_given", "_reports", "_run", "epoch", "run_id", "task")

    def __init__(
        self,
        task: str,
        run_id: str,
        run: Run,
        reports: Reporter,
        checkers: CheckerPool | None,
        given: RunResources | None = None,
        *,
        epoch: int = 0,
        fence: RunFence | None = None,
    ) -> None:
        self.task = task
        self.run_id = run_id
        """Unique for ever: the runner's generation and the number of the run, "17-41"."""
        self.epoch = epoch
        """Of the leader that began this run; a later leader has a greater one."""
        self._fence = fence
        self._run = run
        self._reports = reports
        self._checkers = checkers
        self._given = given
        self._db: RunDatabase | None = None

    @property
    def attempt(self) -> int:
        """1, or 1 more than the failures in a row before this run."""
        return self._run.attempt

    @property
    def scheduled_at(self) -> datetime:
        """When this run was due (UTC)."""
        return to_datetime(self._run.due_at)

    @property
    def db(self) -> Pool:
        """An asyncpg pool for checkers, apart from the runner's own connections, shared with the other runs.

        Raises `DatabaseUnavailableError` where there is no database. Acquiring a connection raises
        `PoolExhaustedError` if other runs hold them all for too long.
        """
        run = self._run
        run.used_database = True
        if self._db is None:
            if self._checkers is None:
                raise DatabaseUnavailableError(msg("error-no-database-here"))
            self._db = self._checkers.for_run(self.task, self.run_id, lambda: run.ended or run.abandoned)
        return self._db

    def fence(self) -> AbstractAsyncContextManager[Connection]:
        """`async with ctx.fence() as connection:` a transaction on `ctx.db` that only a run in force commits.

        Raises `Superseded` once the run was given up and another attempt may be in progress, or the leader
        that runs it was replaced. Raises DozorError without a cluster, else as `db`.
        """
        if self._fence is None:
            raise DozorError(msg("error-fence-without-cluster"))
        return self._fence.transaction(self.db)

    def fencing(self) -> dict[str, object]:
        """What another process needs to give its checker the same `epoch` and `fence`."""
        return {"epoch": self.epoch, "fence": None if self._fence is None else asdict(self._fence)}

    @property
    def databases(self) -> Mapping[str, Pool]:
        """The databases of the section `databases:` by name, each an asyncpg pool as `ctx.db` is.

        An unknown name raises `UnknownDatabaseError`, a KeyError. A query fails with
        `DatabaseUnavailableError` while the server does not answer, and with `StorageError` if a person has
        to act; both name the database.
        """
        return _NO_DATABASES if self._given is None else self._given.databases

    @property
    def resources(self) -> Any:
        """The value of the task's `setup`, or else of the runner's; None where there is none."""
        return None if self._given is None else self._given.value

    @property
    def log(self) -> Logger:
        """loguru's logger, bound to this task and run."""
        return logger.bind(task=self.task, run_id=self.run_id, attempt=self.attempt)

    @property
    def stopping(self) -> Stopping:
        """Set when the run should come to an end: `if ctx.stopping: return`, `await ctx.stopping.wait(5)`."""
        return self._run.stopping

    def heartbeat(self) -> None:
        """Report that a round of work succeeded. A continuous checker's failure streak is then over."""
        self._reports.heartbeat()

    def progress(self, done: float, total: float) -> None:
        """How far this run is, for `/status`. TypeError or ValueError for what is no finite number."""
        self._reports.progress(*checked_progress(done, total))

    def backlog(self, size: int, oldest_at: datetime | None = None, limit: float | None = None) -> None:
        """How many items wait to be processed, and when the oldest became due.

        Raises TypeError for a wrong type, ValueError for a value that cannot be stored.
        """
        self._reports.backlog(*checked_backlog(size, oldest_at, limit))

    def alert(self, text: str, severity: str = "warning") -> None:
        """Alert the people on call. `severity`: info, warning or critical; ValueError for another."""
        self._reports.alert(str(text)[:LONGEST_ALERT], severity)
