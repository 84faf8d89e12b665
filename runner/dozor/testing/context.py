"""A context for calling a checker from a test: it records what the checker reports, and sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from dozor.clock import to_datetime
from dozor.config.imports.setups import DATABASES, RESOURCES, given_to
from dozor.config.imports.signatures import takes_context
from dozor.errors import DatabaseUnavailableError
from dozor.storage.postgres.named_databases import unknown_database
from dozor.storage.postgres.pool import Connection, Pool, create_pool
from dozor.supervision.execution.reporter import checked_severity
from dozor.supervision.runs.context import Context
from dozor.supervision.runs.results import awaited, may_need_awaiting
from dozor.supervision.runs.run import Run, StopReason

NO_DATABASE = "this FakeContext has no database: FakeContext(dsn=...), or the pytest fixture dozor_context"
NOT_OPEN = "the database of a FakeContext is connected by `ctx.run(checker)` or `async with ctx:`"


@dataclass(frozen=True, slots=True)
class Alert:
    """One call of `ctx.alert`."""

    text: str
    severity: str = "warning"


@dataclass(frozen=True, slots=True)
class Progress:
    """One call of `ctx.progress`."""

    done: float
    total: float


@dataclass(frozen=True, slots=True)
class Backlog:
    """One call of `ctx.backlog`. `limit` in seconds."""

    size: int
    oldest_at: datetime | None = None
    limit: float | None = None


class _Recorder:
    """Where the reports of a FakeContext go."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.progress_reports: list[Progress] = []
        self.backlogs: list[Backlog] = []
        self.heartbeats = 0

    def heartbeat(self) -> None:
        self.heartbeats += 1

    def progress(self, done: float, total: float) -> None:
        self.progress_reports.append(Progress(float(done), float(total)))

    def backlog(self, size: int, oldest_at: datetime | None, limit: float | None) -> None:
        if oldest_at is not None and oldest_at.tzinfo is None:
            raise ValueError("backlog(): oldest_at must be an aware datetime (with a timezone)")
        self.backlogs.append(Backlog(int(size), oldest_at, None if limit is None else float(limit)))

    def alert(self, text: str, severity: str) -> None:
        self.alerts.append(Alert(text, checked_severity(severity)))


class FakeContext(Context):
    """A `Context` without a runner: `FakeContext().run(check_orders)`, or pass it to the checker yourself.

    `alerts`, `progress_reports`, `backlogs` and `heartbeats` hold what the checker reported, in order.
    It refuses what the real one refuses: an unknown severity, `oldest_at` without a timezone (ValueError).

    `attempt`: 1, or 1 more than the failures in a row before this run. `scheduled_at`: when the run was due,
    an aware datetime; by default now. `dsn`: the database behind `ctx.db`, connected by `run` and by
    `async with`; without it `ctx.db` raises `DatabaseUnavailableError`.

    `databases`: what `ctx.databases` gives by name, each a DSN or something that stands for a pool.
    `resources`: what `ctx.resources` gives. `setup`: the function of the configuration's `setup:`; it is
    opened by `run` and by `async with`, may take `resources`, and its value is `ctx.resources`.
    """

    __slots__ = ("_dsn", "_named", "_opened", "_pool", "_recorder", "_setup", "_stack", "_value")

    def __init__(
        self,
        *,
        task: str = "test",
        run_id: str = "0-1",
        attempt: int = 1,
        scheduled_at: datetime | None = None,
        dsn: str | None = None,
        databases: Mapping[str, Any] | None = None,
        resources: Any = None,
        setup: Callable[..., Any] | None = None,
    ) -> None:
        if attempt < 1:
            raise ValueError(f"attempt must be at least 1, it is {attempt}")
        due = datetime.now(UTC) if scheduled_at is None else scheduled_at
        if due.tzinfo is None:
            raise ValueError("scheduled_at must be an aware datetime (with a timezone)")
        at = due.timestamp()
        self._recorder = _Recorder()
        super().__init__(task, run_id, Run(1, at, at, attempt), self._recorder, None)
        self._dsn = dsn
        self._pool: Pool | None = None
        self._named = dict(databases or {})
        self._opened = _Named({name: one for name, one in self._named.items() if not isinstance(one, str)})
        self._value = resources
        self._setup = setup
        self._stack: AsyncExitStack | None = None

    @asynccontextmanager
    async def fence(self) -> AsyncIterator[Connection]:
        """A transaction on `ctx.db`; no run of a test is ever superseded."""
        async with self.db.acquire() as connection, connection.transaction():
            yield connection

    @property
    def alerts(self) -> list[Alert]:
        """What `ctx.alert` was called with."""
        return self._recorder.alerts

    @property
    def progress_reports(self) -> list[Progress]:
        """What `ctx.progress` was called with."""
        return self._recorder.progress_reports

    @property
    def backlogs(self) -> list[Backlog]:
        """What `ctx.backlog` was called with."""
        return self._recorder.backlogs

    @property
    def heartbeats(self) -> int:
        """How often `ctx.heartbeat` was called."""
        return self._recorder.heartbeats

    @property
    def started_at(self) -> datetime:
        """When the fake run began, which is when it was due."""
        return to_datetime(self._run.started_at)

    @property
    def db(self) -> Pool:
        """An asyncpg pool on `dsn`. Raises `DatabaseUnavailableError` if there is none, or it is not open."""
        if self._pool is None:
            raise DatabaseUnavailableError(NO_DATABASE if self._dsn is None else NOT_OPEN)
        return self._pool

    @property
    def databases(self) -> Mapping[str, Pool]:
        """The databases given, by name. Raises `UnknownDatabaseError` for one that is not open."""
        return self._opened

    @property
    def resources(self) -> Any:
        """What `resources` or `setup` gives."""
        return self._value

    def stop(self) -> None:
        """Set `ctx.stopping`, as the end of the runner does."""
        self._run.ask_to_stop(StopReason.ASKED)

    def run(self, checker: Callable[..., Any], /, **args: Any) -> None:
        """Call `checker` once, on a loop of its own, with `ctx` if it takes one and with `args`.

        An `async def` is awaited; a plain `def` is called in a thread, as the runner does. Raises what the
        checker raises. Call it from a test that is no coroutine; in one that is, `await checker(ctx)`.
        """
        with asyncio.Runner() as loop:
            loop.run(self._run_once(checker, args))

    async def _run_once(self, checker: Callable[..., Any], args: dict[str, Any]) -> None:
        given = {**args, "ctx": self} if takes_context(checker) else args
        async with self:
            if asyncio.iscoroutinefunction(checker):
                result: Any = checker(**given)
            else:
                result = await asyncio.to_thread(checker, **given)
            if may_need_awaiting(result):
                await awaited(result)

    async def __aenter__(self) -> Self:
        if self._stack is not None:
            return self
        async with AsyncExitStack() as stack:
            if self._dsn is not None:
                self._pool = await self._connect(stack, self._dsn, as_asyncpg=False)
            for name, one in self._named.items():
                if isinstance(one, str):
                    self._opened[name] = await self._connect(stack, one, as_asyncpg=True)
            if self._setup is not None:
                offered = {DATABASES: self._opened, RESOURCES: self._value}
                taken = given_to(self._setup)
                made = self._setup(**{name: value for name, value in offered.items() if name in taken})
                stack.callback(setattr, self, "_value", self._value)
                self._value = await stack.enter_async_context(made)
            self._stack = stack.pop_all()
        return self

    async def _connect(self, stack: AsyncExitStack, dsn: str, *, as_asyncpg: bool) -> Pool:
        pool = await create_pool(
            dsn, min_size=0, max_size=10, application_name="dozor test", as_asyncpg=as_asyncpg
        )
        stack.push_async_callback(_terminate, pool)
        return pool

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        self._pool = None
        if stack is not None:
            await stack.__aexit__(kind, error, trace)
            for name, one in self._named.items():
                if isinstance(one, str):
                    self._opened.pop(name, None)


class _Named(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        raise unknown_database(name, self)


async def _terminate(pool: Pool) -> None:
    pool.terminate()
    await asyncio.sleep(0)  # the transports close on the loop
