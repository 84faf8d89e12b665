"""The write-behind queue: changes of tasks, incidents, notifications and answers, committed in order.

What belongs together is appended together and committed together, in one transaction of one session that
holds the runner's lock: a runner that has lost the lock cannot write. `append` never waits; while the
database is away, what is to be written waits here, merged and bounded, and is written after.
Writing the same twice changes nothing (absolute states, unique keys), so a commit with an unknown outcome
is simply written again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

from loguru import logger

from dozor.backoff import Backoff
from dozor.clock import Clock
from dozor.errors import DatabaseUnavailableError, RunnerBusyError, StorageError, out_of_resources
from dozor.language import msg
from dozor.storage.health import DatabaseHealth
from dozor.storage.postgres.fence import Fence, kind_of_connection
from dozor.storage.postgres.pool import (
    Connection,
    connect,
    connect_error_text,
    of_database,
    refused,
    unavailable,
)
from dozor.storage.single_statement import StatementBatch
from dozor.storage.tables import command_results as answers
from dozor.storage.tables import incidents, notifications, pool_runs, runners, runs, silences, tasks
from dozor.storage.tables.notifications import NotificationRow
from dozor.storage.tables.pool_runs import PoolOrder
from dozor.storage.tables.runners import Registration
from dozor.storage.write_buffer import Checkpoint, Commit, Dropped, WriteBuffer, newer, without

__all__ = ["Checkpoint", "Commit", "Dropped", "Journal", "JournalHooks", "StateSource"]

CHECKPOINT_GAP = 0.5
"""Seconds between two checkpoints while there is more: 2,000 states a second at most."""
WRITE_TIMEOUT = 20.0
"""Seconds a transaction may take before the database counts as away."""
BEHIND = (1.0, 600.0)
"""Seconds: who reads the tables waits for what has waited between these; longer is a defect."""
SEEN_EVERY = 0.5
"""Seconds."""
WAITING_AGAIN = 0.5
"""Seconds between attempts of a waiting runner whose session was lost."""
TAKE_OVER_SECONDS = 30.0
"""How long to wait for our own lost session to be gone before concluding that another runner has the lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSource:
    """Where the journal gets what nobody appends. The functions must not raise."""

    take_checkpoint: Callable[[], Checkpoint] = Checkpoint
    """States that have changed since the last call. Called in the turn in which the batch is taken."""
    dropped: Callable[[Dropped], Commit] = lambda dropped: Commit()
    """What to write when the queue has overflowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalHooks:
    """Callbacks of the journal. The functions must not raise."""

    tried: Callable[[], Set[str]] = frozenset
    """Keys of notifications that may have arrived without being written."""
    appended: Callable[[Commit], None] = lambda commit: None
    """Called with what is to be written."""
    written: Callable[[], None] = lambda: None
    """Called when the batch in progress is in the database."""
    distribute: Callable[[Connection, Sequence[PoolOrder]], Awaitable[None]] = pool_runs.distribute_nothing
    """Enqueues runs for workers, in the transaction that it is called in. Raises what the server answers."""


NO_STATES: Final = StateSource()
NO_HOOKS: Final = JournalHooks()


class Journal:
    """Owns the session that holds the lock. Open it, then let `run` be supervised."""

    def __init__(
        self,
        dsn: str,
        connection: Connection,
        registration: Registration,
        clock: Clock,
        *,
        checkpoint_every: float = 1.0,
        hooks: JournalHooks = NO_HOOKS,
        fence: Fence | None = None,
    ) -> None:
        self._dsn = dsn
        self._fence = fence
        self._connection: Connection | None = connection
        self.registration = registration
        self.health = DatabaseHealth(clock, self._probe)
        self._clock = clock
        self._checkpoint_every = checkpoint_every
        self._waiting = WriteBuffer()
        self._batch = WriteBuffer()
        self._checkpoint = Checkpoint()
        self._writer = asyncio.Lock()
        self._writing: asyncio.Task[bool] | None = None
        self._wanted = asyncio.Event()
        self._written = asyncio.Condition()
        self._appended = 0
        self._committed = 0
        self._unwritten_since: float | None = None
        self._hooks = hooks
        self._subscribers: list[Callable[[], None]] = []
        self._commit_listeners: list[Callable[[int], None]] = []
        self.last_written_at = clock.now()
        self._seen_at = 0.0

    @classmethod
    async def open(
        cls,
        dsn: str,
        version: str,
        clock: Clock,
        *,
        wait: bool = False,
        checkpoint_every: float = 1.0,
        hooks: JournalHooks = NO_HOOKS,
    ) -> Journal:
        """Take the lock and register. Raises RunnerBusyError if another runner works on this database.

        With `wait`, stay in line instead until it has ended, also when the session that waits is lost.
        """
        said: list[str] = []
        while True:
            connection = None
            try:
                connection = await connect(dsn, application_name="dozor", command_timeout=WRITE_TIMEOUT)
                await runners.wait_for_lock(connection, said, wait=wait)
                registration = await runners.register(connection, version)
            except BaseException as error:
                if connection is not None:
                    connection.terminate()
                # Without `wait`, and before it has ever waited, the start fails as it always did.
                if said and isinstance(error, Exception) and (unavailable(error) or _was_cut(error)):
                    logger.warning(msg("log-waiting-session-lost", reason=type(error).__name__))
                    await asyncio.sleep(WAITING_AGAIN)
                    continue
                if isinstance(error, TimeoutError):
                    raise DatabaseUnavailableError(
                        msg("error-session-timeout", seconds=f"{WRITE_TIMEOUT:g}")
                    ) from None
                raise
            return cls(dsn, connection, registration, clock, checkpoint_every=checkpoint_every, hooks=hooks)

    @classmethod
    async def open_fenced(
        cls,
        dsn: str,
        fence: Fence,
        clock: Clock,
        *,
        checkpoint_every: float = 1.0,
        hooks: JournalHooks = NO_HOOKS,
    ) -> Journal:
        """Of a leader of a cluster: no lock is taken, every transaction passes the fence instead.

        Raises SupersededError if another replica leads.
        """
        connection = await connect(
            dsn,
            application_name="dozor",
            command_timeout=WRITE_TIMEOUT,
            kind=fence.connection,
        )
        try:
            registration = await runners.register_leader(connection, fence.term.epoch)
        except BaseException:
            connection.terminate()
            raise
        return cls(
            dsn,
            connection,
            registration,
            clock,
            checkpoint_every=checkpoint_every,
            hooks=hooks,
            fence=fence,
        )

    @property
    def connection(self) -> Connection:
        """The session that holds the lock. Raises DatabaseUnavailableError while there is none."""
        if self._connection is None:
            raise DatabaseUnavailableError(msg("error-session-restoring"))
        return self._connection

    @property
    def backlog(self) -> int:
        """Entries that wait to be written."""
        return len(self._waiting) + len(self._batch)

    @property
    def behind(self) -> bool:
        """The tables show less than is known, and soon will show it."""
        since = self._unwritten_since
        return since is not None and BEHIND[0] < self._clock.now() - since < BEHIND[1]

    @property
    def unwritten_notifications(self) -> tuple[NotificationRow, ...]:
        """Messages that wait here for the database, the oldest first."""
        return (*self._batch.notifications, *self._waiting.notifications)

    @property
    def unwritten(self) -> Commit:
        """What waits here of tasks, incidents and messages."""
        batch, waiting = self._batch, self._waiting
        return Commit(
            tasks=tuple((batch.tasks | waiting.tasks).values()),
            incidents=tuple((batch.incidents | waiting.incidents).values()),
            notifications=self.unwritten_notifications,
        )

    def subscribe(self, enqueued: Callable[[], None]) -> None:
        """Call `enqueued` whenever notifications have been committed to the outbox."""
        self._subscribers.append(enqueued)

    @property
    def appended(self) -> int:
        """The position of the latest `append` or `request_write`; positions grow by one."""
        return self._appended

    @property
    def committed(self) -> int:
        """Everything up to this position is in the database."""
        return self._committed

    def subscribe_commits(self, committed: Callable[[int], None]) -> None:
        """Call `committed` after each commit, with the position up to which all is in the database."""
        self._commit_listeners.append(committed)

    def request_write(self) -> int:
        """Have the present data of the state source written soon; returns its position. Never waits."""
        self._appended += 1
        self._wanted.set()
        return self._appended

    def append(self, commit: Commit) -> None:
        """Have `commit` written soon, in order. Never waits, never raises."""
        self._appended += 1
        self._hooks.appended(commit)
        self._waiting.add(commit)
        if self._unwritten_since is None:
            self._unwritten_since = self._clock.now()
        self._wanted.set()

    async def flush(self) -> None:
        """Wait until everything appended so far is in the database."""
        target = self._appended
        self._wanted.set()
        async with self._written:
            await self._written.wait_for(lambda: self._committed >= target)

    async def run(self, source: StateSource = NO_STATES) -> None:
        """Write for ever, with the states of `source`.

        Raises RunnerBusyError when another runner has taken over.
        """
        more = False
        while True:
            try:
                async with asyncio.timeout(CHECKPOINT_GAP if more else self._checkpoint_every):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            # A write cut in the middle could leave its session inside a transaction: it is let finish.
            self._writing = asyncio.create_task(self.write(source))
            self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())  # retrieved
            more = await asyncio.shield(self._writing)

    async def write(self, source: StateSource = NO_STATES) -> bool:
        """Write what waits; while the database is away, try until it is back. Whether more is left.

        The batch in progress is kept when this is cancelled: the next call continues with it.
        """
        async with self._writer:
            backoff = Backoff(0.1, 1.0)
            while True:
                upto = self._take(source)
                try:
                    await self._restore_session()
                    tried = self._hooks.tried()
                    await self._transact(self.connection, self._batch, self._checkpoint)
                    if self._hooks.tried() != tried:  # one has left while the database made us wait
                        await notifications.enqueue(self.connection, self._batch.owed, self._hooks.tried())
                    break
                except RunnerBusyError:
                    raise
                except Exception as error:  # noqa: BLE001 -- kept, logged, tried again
                    self._lose_session()
                    if refused(error):
                        # A row that PostgreSQL refuses is a defect of Dozor: log it, keep the rest.
                        logger.opt(exception=error).error(msg("log-batch-refused"))
                        if await self._write_one_by_one():
                            break
                    elif not of_database(error):
                        logger.opt(exception=error).critical(msg("log-journal-defect"))
                    if out_of_resources(error):
                        self.health.report_unreachable(str(error)[:200])
                    else:
                        known = of_database(error) and not isinstance(error, StorageError)
                        reason = connect_error_text(error) if known else str(error)
                        self.health.report_down(f"{type(error).__name__}: {reason[:300]}")
                await asyncio.sleep(backoff.next())
            owed, more = bool(self._batch.owed), self._checkpoint.more
            self._batch, self._checkpoint = WriteBuffer(), Checkpoint()
            self.last_written_at = self._clock.now()
            self._unwritten_since = self.last_written_at if len(self._waiting) else None
            self.health.report_up()
            self._hooks.written()
            if owed:
                for enqueued in self._subscribers:
                    enqueued()
        async with self._written:
            self._committed = upto
            self._written.notify_all()
        for committed in self._commit_listeners:
            committed(upto)
        return more

    def _take(self, source: StateSource) -> int:
        """Begin a batch with all that was appended so far, and the dirty states of the same moment."""
        self._wanted.clear()
        older = without(self._checkpoint, self._waiting.tasks)
        self._batch.merge(self._waiting)
        self._waiting = WriteBuffer()
        self._batch.report_overflow(source.dropped)
        self._checkpoint = newer(older, source.take_checkpoint())
        return self._appended

    async def close(self, source: StateSource = NO_STATES, *, clean: bool = True) -> None:
        """Write what waits (the caller bounds the time), mark the runner ended, give up the lock.

        `clean`: it was asked to end. Otherwise the next start reports an unclean end.
        """
        while await self.write(source):
            pass
        await runners.end(self.connection, self.registration.runner_id, clean=clean)
        await self.connection.close()
        self._connection = None

    def abandon(self) -> None:
        """Give up the session without a word, as a killed process would."""
        if self._writing is not None:
            self._writing.cancel()
        self._lose_session()

    async def _transact(self, connection: Connection, batch: WriteBuffer, checkpoint: Checkpoint) -> None:
        if batch.urgent and not checkpoint.hot and checkpoint.pool is None:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._in_one_statement(connection, batch, checkpoint)
            return
        async with asyncio.timeout(WRITE_TIMEOUT), connection.transaction():
            if batch.tasks:
                await tasks.write(connection, batch.tasks.values())
            if checkpoint.full:
                await tasks.write(connection, checkpoint.full)
            if checkpoint.hot:
                await tasks.checkpoint(connection, checkpoint.hot)
            if batch.runs or checkpoint.runs:
                await runs.add(connection, [*batch.runs, *checkpoint.runs])
            if batch.incidents:
                await incidents.write(connection, list(batch.incidents.values()))
            if batch.owed:
                await notifications.enqueue(connection, batch.owed, self._hooks.tried())
            if batch.silences:
                await silences.write(connection, list(batch.silences.values()))
            if batch.overrides:
                await silences.write_overrides(connection, list(batch.overrides.values()))
            if batch.answers:
                await answers.answer(connection, batch.answers)
            if checkpoint.pool is not None:
                queued = await pool_runs.write(connection, checkpoint.pool)
                if queued:
                    await self._hooks.distribute(connection, queued)
            # Of a leader whose runs go to workers, many a second: the row is written twice a second.
            if checkpoint.pool is None or self._clock.now() - self._seen_at > SEEN_EVERY:
                await connection.execute(runners.SEEN_SQL, self.registration.runner_id)
                self._seen_at = self._clock.now()
            if checkpoint.in_flight is not None:
                await runners.write_in_flight(connection, self.registration.runner_id, checkpoint.in_flight)

    async def _in_one_statement(
        self, connection: Connection, batch: WriteBuffer, checkpoint: Checkpoint
    ) -> None:
        """The same as one statement: one round trip, for what people wait for."""
        statement = StatementBatch()
        states = {**batch.tasks, **{row.name: row for row in checkpoint.full}}
        if states:
            await tasks.write(statement, states.values())
        if batch.runs or checkpoint.runs:
            await runs.add(statement, [*batch.runs, *checkpoint.runs])
        if batch.incidents:
            await incidents.write(statement, list(batch.incidents.values()))
        await notifications.enqueue(statement, batch.owed, self._hooks.tried())
        if checkpoint.in_flight is not None:
            await runners.write_in_flight(statement, self.registration.runner_id, checkpoint.in_flight)
        await statement.run(connection)

    async def _write_one_by_one(self) -> bool:
        """Write entry by entry, leaving out (and reporting) what PostgreSQL will not take.

        False if the database could not take any of it: the whole batch is kept.
        """
        batch, checkpoint = self._batch, self._checkpoint
        parts: list[tuple[WriteBuffer, Checkpoint]] = [(WriteBuffer(), replace(checkpoint, full=(), runs=()))]
        states = [*batch.tasks.values(), *checkpoint.full]
        parts.extend((WriteBuffer(tasks={task.name: task}), Checkpoint()) for task in states)
        parts.extend(
            (WriteBuffer(runs=deque([run])), Checkpoint()) for run in [*batch.runs, *checkpoint.runs]
        )
        parts.extend((WriteBuffer(incidents={row.id: row}), Checkpoint()) for row in batch.incidents.values())
        parts.extend((WriteBuffer(notifications=deque([row])), Checkpoint()) for row in batch.owed)
        parts.extend((WriteBuffer(silences={row.id: row}), Checkpoint()) for row in batch.silences.values())
        parts.extend((WriteBuffer(overrides={row.id: row}), Checkpoint()) for row in batch.overrides.values())
        parts.extend((WriteBuffer(answers=[one]), Checkpoint()) for one in batch.answers)
        for waiting, part in parts:
            try:
                await self._restore_session()
                await self._transact(self.connection, waiting, part)
            except RunnerBusyError:
                raise
            except Exception as error:  # noqa: BLE001 -- logged, the rest is written
                self._lose_session()
                if not refused(error):
                    return False
                logger.opt(exception=error).critical(msg("log-entry-left-out", waiting=waiting))
        return True

    def _lose_session(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _restore_session(self) -> None:
        """The session with the lock, made anew if it is lost. Raises RunnerBusyError if we were replaced."""
        connection = self._connection
        if connection is not None and not connection.is_closed() and not connection.is_in_transaction():
            return
        if connection is not None and connection.is_closed():
            self.health.report_cut()
        self._lose_session()
        connection = await connect(
            self._dsn,
            application_name="dozor",
            command_timeout=WRITE_TIMEOUT,
            kind=kind_of_connection(self._fence),
        )
        if self._fence is not None:
            self._connection = connection
            return
        try:
            deadline = self._clock.now() + TAKE_OVER_SECONDS
            while not await runners.try_lock(connection):
                holder = await runners.read_holder(connection)
                if holder is None:
                    continue
                if holder.runner_id == self.registration.runner_id:
                    await runners.terminate(connection, holder.backend)
                elif holder.runner_id is not None or self._clock.now() > deadline:
                    raise RunnerBusyError(msg("error-overtaken-by-holder", holder=holder))
                await asyncio.sleep(0.1)
            successor = await runners.read_successor(connection, self.registration.runner_id)
            if successor is not None:  # it has ended again, and yet what it wrote is newer than our data
                raise RunnerBusyError(msg("error-overtaken-by-runner", successor=successor))
            await runners.adopt_session(connection, self.registration.runner_id)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection

    async def _probe(self) -> None:
        connection = await connect(self._dsn, application_name="dozor probe", timeout=2.0)
        try:
            await connection.fetchval("SELECT 1")
        finally:
            connection.terminate()
        if self._connection is not None and self._connection.is_closed():
            self._wanted.set()
            raise DatabaseUnavailableError(msg("error-session-ended"))


def _was_cut(error: Exception) -> bool:
    """Was the session ended from outside: by an administrator, a restart, a time limit of the server?"""
    return of_database(error) and not refused(error) and not isinstance(error, StorageError)
