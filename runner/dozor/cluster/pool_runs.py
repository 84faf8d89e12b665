"""The leader's side of runs on workers: queues them, consumes their ends, gives up those without heartbeats.

    started ──committed with the task's state──▶ queued ──▶ running ──▶ ended ──▶ consumed with what follows
                                                             └─ no heartbeat for `silent_after` ──▶ lost ─┘

Only the leader calls this. Its writes go through connections that the fence admits, so that a former leader
gives nothing up and consumes nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, assert_never

from loguru import logger

from dozor.clock import Clock, to_datetime
from dozor.cluster.pace import Pace
from dozor.cluster.placement import digest_of
from dozor.cluster.untaken import Untaken
from dozor.language import msg
from dozor.storage.postgres.pool import Pool, unavailable
from dozor.storage.tables import pool_runs
from dozor.storage.tables.pool_runs import (
    PoolChanges,
    PoolEnd,
    PoolOrder,
    PoolRunOutcome,
    PoolRunRow,
    PoolRunState,
    StopRequest,
)
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.execution.distribution import RemoteRun
from dozor.supervision.execution.executor import RunHost
from dozor.supervision.runs.context import Reporter
from dozor.supervision.runs.failures.remote_failure import RemoteError, from_frame, worker_lost
from dozor.supervision.runs.run import Run, StopReason
from dozor.supervision.tasks.task import SupervisedTask, run_id
from dozor.supervision.telemetry.observer import Trouble, TroubleKind, TroubleListener

POLL_EVERY = 1.0
"""Seconds between looks at the table, whatever NOTIFY says."""
ENDS_AT_ONCE = 1_000
UNWRITTEN_ENDS = 2 * ENDS_AT_ONCE
"""Ends that are consumed and not committed yet, above which no more are read."""
VANISHED_AFTER = 10.0
"""Seconds after which a run that has no row counts as lost: a person has deleted it."""
FORGET_AT_ONCE = 10_000


class PoolHost(RunHost, Protocol):
    """Whose runs they are: the leader's supervisor."""

    def reporter_for(self, task: SupervisedTask) -> Callable[[Run], Reporter]: ...
    def find(self, name: str) -> SupervisedTask | None: ...
    def adopt(self, task: SupervisedTask, found: RemoteRun) -> Run: ...
    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None: ...


class CommitLog(Protocol):
    """Positions of what is written, in order. `storage.journal.Journal` is one."""

    @property
    def appended(self) -> int: ...
    @property
    def committed(self) -> int: ...
    def request_write(self) -> int: ...
    def subscribe_commits(self, committed: Callable[[int], None]) -> None: ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """A run whose end is not consumed."""

    task: SupervisedTask
    run: Run
    since: float
    pool: str
    heartbeats: int = 0
    hung: bool = False
    settling: bool = False
    """Its end is known, and what explains it is being asked for."""


class PoolRuns:
    """The `Distributor` of a leader. `silent_after`: seconds.

    `journal` writes what `take` gives; `pool` is that of the leader, which passes the fence.
    """

    def __init__(
        self,
        pool: Pool,
        journal: CommitLog,
        troubles: TroubleListener,
        clock: Clock,
        *,
        epoch: int,
        silent_after: float,
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._troubles = troubles
        self._clock = clock
        self._epoch = epoch
        self._silent_after = silent_after
        self._waiting: dict[str, _Waiting] = {}
        self._orders: dict[str, PoolOrder] = {}
        self._taken: list[str] = []
        self._being_written: deque[tuple[int, list[str]]] = deque()
        """(position, consumed ends that are in the database when it is committed)."""
        self._touched: dict[SupervisedTask, None] = {}
        self._digests: dict[str, tuple[TaskSpec, str]] = {}
        self._stops: dict[str, StopRequest] = {}
        self._orphans: set[str] = set()
        """Runs of tasks that this leader does not have."""
        self._wake = asyncio.Event()
        self._commit = asyncio.Event()
        journal.subscribe_commits(lambda _: self._commit.set())
        self._requesting: asyncio.TimerHandle | None = None
        self._writes = Pace()
        self._explaining: set[asyncio.Task[None]] = set()
        self._reported_at = 0.0
        self._alerts_upto = 0
        self._alerts_written: tuple[int, int] | None = None
        """(id of the last alert, position that must be committed before it is deleted)."""
        self._untaken = Untaken(troubles)
        self.counts: Mapping[str, int] = {}
        """Runs by state, for `dozor_pool_runs`."""

    def states(self) -> Mapping[str, int]:
        """`counts`, for whoever shows them."""
        return self.counts

    # -- Distributor

    def start(self, task: SupervisedTask, run: Run) -> None:
        spec = task.spec
        assert spec.pool is not None
        run.remote = identity = run_id(self._epoch, run.number)
        self._waiting[identity] = _Waiting(task, run, self._clock.now(), spec.pool)
        self._orders[identity] = PoolOrder(
            id=identity,
            task=spec.name,
            due_at=run.due_at,
            pool=spec.pool,
            epoch=self._epoch,
            attempt=run.attempt,
            number=run.number,
            digest=self._digest(spec),
        )
        # Its state is written with the next checkpoint, as that of a local run: the row says that it began.
        self._request_write()

    def _request_write(self) -> None:
        """Soon: what is started within the same moment is one transaction."""
        if self._requesting is not None:
            return
        left = self._writes.left()
        if left <= 0:
            self._write_now()
        else:
            self._requesting = asyncio.get_running_loop().call_later(left, self._write_now)

    def _write_now(self) -> None:
        self._requesting = None
        self._writes.begun()
        self._journal.request_write()

    def _digest(self, spec: TaskSpec) -> str:
        """Of the present specification; computed once for each."""
        known = self._digests.get(spec.name)
        if known is None or known[0] is not spec:
            known = self._digests[spec.name] = (spec, digest_of(spec.reference, spec.args))
        return known[1]

    def stop(self, run: Run, request: StopRequest) -> None:
        assert run.remote is not None
        if run.remote in self._waiting:
            if self._stops.get(run.remote) is not StopRequest.CANCEL:
                self._stops[run.remote] = request
            self._wake.set()

    @property
    def touched(self) -> Collection[SupervisedTask]:
        return self._touched.keys()

    def take(self) -> PoolChanges | None:
        if not self._orders and not self._taken:
            return None
        changes = PoolChanges(tuple(self._orders.values()), tuple(self._taken))
        self._writes.took(max(len(changes.orders), len(changes.taken)))
        if self._taken:
            self._being_written.append((self._journal.appended, self._taken))
        self._orders, self._taken, self._touched = {}, [], {}
        return changes

    # -- the leading part

    def adopt(self, rows: Collection[PoolRunRow], host: PoolHost) -> None:
        """Take over the runs that an earlier leader began; before the supervisor starts.

        One whose task is not configured any more is cancelled.
        """
        now = self._clock.now()
        for row in rows:
            task = host.find(row.task)
            if task is None or task.run is not None:
                self._orphans.add(row.id)
                self._stops[row.id] = StopRequest.CANCEL
                continue
            found = RemoteRun(
                id=row.id,
                # The earlier leader's wall clock may have been ahead: the next run is counted from here.
                due_at=min(row.due_at, now),
                started_at=min(row.queued_at, now),
                attempt=row.attempt,
                counted=row.counted,
            )
            run = host.adopt(task, found)
            self._waiting[row.id] = _Waiting(task, run, now, row.pool)
        if rows:
            logger.info(msg("log-pool-adopted", count=len(rows) - len(self._orphans)))

    def wake(self) -> None:
        """Runs have ended."""
        self._wake.set()

    def parts(self, host: PoolHost) -> dict[str, Callable[[], Awaitable[None]]]:
        """To be supervised with the runner's other parts."""
        return {
            "pool runs": lambda: self._consume(host),
            "pool watch": lambda: self._look(host),
        }

    async def _consume(self, host: PoolHost) -> None:
        """Pass the ends of runs to the supervisor, without end.

        The next ones are read while those before are written: neither waits for the other.
        """
        pace = Pace()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_EVERY):
                    await self._wake.wait()
            await pace.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_EVERY):
                    while len(self._unwritten()) > UNWRITTEN_ENDS:
                        self._commit.clear()
                        await self._commit.wait()
            self._wake.clear()
            try:
                await self._send_stops()
                ends = await pool_runs.read_ends(self._pool, ENDS_AT_ONCE, besides=self._unwritten())
            except Exception as error:
                if not unavailable(error):
                    raise
                await asyncio.sleep(POLL_EVERY)
                continue
            for end in ends:
                self._settle(end, host)
            pace.took(len(ends))
            if self._taken:
                self._request_write()
            if len(ends) == ENDS_AT_ONCE:
                self._wake.set()
                await asyncio.sleep(0)

    def _unwritten(self) -> list[str]:
        """Ids of the ends that are consumed and not committed yet."""
        while self._being_written and self._being_written[0][0] <= self._journal.committed:
            self._being_written.popleft()
        return [*(identity for _, ids in self._being_written for identity in ids), *self._taken]

    async def _look(self, host: PoolHost) -> None:
        """Once a second: what runs report, and what shows only by its absence."""
        while True:
            await asyncio.sleep(POLL_EVERY)
            try:
                await self._look_once(host)
            except Exception as error:
                if not unavailable(error):
                    raise

    async def _look_once(self, host: PoolHost) -> None:
        async with self._pool.acquire() as connection:
            if await pool_runs.give_up(connection, self._silent_after):
                self._wake.set()
            await connection.execute(pool_runs.FORGET_SQL, FORGET_AT_ONCE)
        for report in await pool_runs.read_reports(self._pool, self._reported_at):
            self._reported_at = report.at
            waiting = self._waiting.get(report.id)
            if waiting is not None:
                self._relay(waiting, report.reports, host)
        await self._relay_alerts(host)
        await self._find_vanished(host)
        loads = await pool_runs.read_loads(self._pool)
        counts = {state.value: 0 for state in (PoolRunState.QUEUED, PoolRunState.RUNNING)}
        for load in loads:
            counts[load.state.value] += load.count
        self.counts = counts
        self._untaken.judge_pools(loads, self._clock.now())
        await self._find_passed_over()

    async def _send_stops(self) -> None:
        """Again and again until the run has ended: its row may not be committed yet."""
        wanted = [
            (identity, request)
            for identity, request in self._stops.items()
            if identity in self._waiting or identity in self._orphans
        ]
        self._stops = dict(wanted)
        if wanted:
            async with self._pool.acquire() as connection:
                await pool_runs.stop(connection, wanted)

    def _settle(self, end: PoolEnd, host: PoolHost) -> None:
        """The run has ended. Nothing, if that is known and only not committed yet."""
        if end.id in self._orphans:
            self._orphans.discard(end.id)
            self._taken.append(end.id)
            self._request_write()
            return
        waiting = self._waiting.get(end.id)
        if waiting is None or waiting.settling:
            return
        if end.reports is not None:
            self._relay(waiting, end.reports, host)
        error = self._error_of(end)
        outage = end.outcome is PoolRunOutcome.INTERRUPTED
        needs = waiting.task.spec.policy.requires
        if error is not None and end.outcome is PoolRunOutcome.FAILED and needs:
            waiting.settling = True
            explaining = asyncio.create_task(self._explain(end, waiting, error, host))
            self._explaining.add(explaining)
            explaining.add_done_callback(self._explaining.discard)
            return
        self._ended(end, waiting, error, host, outage=outage)

    async def _explain(self, end: PoolEnd, waiting: _Waiting, error: BaseException, host: PoolHost) -> None:
        """Something that its task requires may have been down."""
        try:
            outage = await host.explained(waiting.task, waiting.run, error)
        except Exception as nested:  # noqa: BLE001 -- not knowing must not keep a run from ending
            logger.opt(exception=nested).error(msg("log-outage-unknown"))
            outage = False
        self._ended(end, waiting, error, host, outage=outage)
        self._journal.request_write()

    def _error_of(self, end: PoolEnd) -> BaseException | None:
        if end.state is PoolRunState.LOST or end.outcome is None:
            return worker_lost(end.claimed_by, self._silent_after)
        match end.outcome:
            case PoolRunOutcome.SUCCEEDED:
                return None
            case PoolRunOutcome.CANCELLED:
                return asyncio.CancelledError()
            case PoolRunOutcome.FAILED | PoolRunOutcome.INTERRUPTED:
                assert end.failure is not None
                return RemoteError(from_frame(end.failure))
            case _:
                assert_never(end.outcome)

    def _ended(
        self, end: PoolEnd, waiting: _Waiting, error: BaseException | None, host: PoolHost, *, outage: bool
    ) -> None:
        """Hand the end to the supervisor. In one turn: state and consumption are one transaction."""
        task, run = waiting.task, waiting.run
        self._waiting.pop(end.id, None)
        self._orders.pop(end.id, None)
        if end.claimed_by is not None:
            self._untaken.ended(waiting.pool, waiting.since, self._clock.now())
        self._taken.append(end.id)
        self._touched[task] = None
        now = self._clock.now()
        if end.seconds is not None:
            # From the claim on: the wait in the queue is lateness, and no part of the run.
            run.started_at = max(run.started_at, now - max(0.0, end.seconds))
            if task.state.running_since is not None:
                task.state = task.state._replace(running_since=run.started_at)
        if isinstance(error, asyncio.CancelledError) and run.reason is None:
            run.ask_to_stop(StopReason.ASKED)  # the worker ended: it is due at once, on another one
        if waiting.hung:
            self._troubles.cleared(_hung(task, ()))
        host.run_ended(task, run, error, outage=outage)

    # -- what runs report

    def _relay(self, waiting: _Waiting, reports: Mapping[str, Any], host: PoolHost) -> None:
        reporter = host.reporter_for(waiting.task)(waiting.run)
        if reports.get("heartbeats", 0) > waiting.heartbeats:
            waiting.heartbeats = reports["heartbeats"]
            reporter.heartbeat()
        if reports.get("progress") is not None:
            reporter.progress(*reports["progress"])
        if reports.get("backlog") is not None:
            size, oldest, limit = reports["backlog"]
            oldest_at: datetime | None = None if oldest is None else to_datetime(oldest)
            reporter.backlog(size, oldest_at, limit)
        chain = reports.get("hung")
        if chain is not None and not waiting.hung:
            waiting.hung = True
            self._troubles.raised(_hung(waiting.task, chain))

    async def _relay_alerts(self, host: PoolHost) -> None:
        """At least once: alerts are deleted when the incidents made of them are committed."""
        written = self._alerts_written
        if written is not None and self._journal.committed >= written[1]:
            self._alerts_written = None
            async with self._pool.acquire() as connection:
                await connection.execute(pool_runs.FORGET_ALERTS_SQL, written[0])
        rows = await self._pool.fetch(pool_runs.ALERTS_SQL, self._alerts_upto)
        for row in rows:
            self._alerts_upto = row["id"]
            task = host.find(row["task"])
            if task is not None:
                host.checker_alert(task, row["text"], row["severity"])
        if rows:
            self._alerts_written = (self._alerts_upto, self._journal.request_write())

    async def _find_vanished(self, host: PoolHost) -> None:
        now = self._clock.now()
        old = [
            identity
            for identity, waiting in self._waiting.items()
            if now - waiting.since > VANISHED_AFTER and identity not in self._orders
        ]
        if not old or self._journal.committed < self._journal.appended:
            return  # what is not written yet may be its row
        for identity in await pool_runs.read_missing(self._pool, old):
            waiting = self._waiting.get(identity)
            if waiting is not None and not waiting.settling:
                logger.error(msg("log-pool-run-vanished", name=waiting.task.spec.name, run=identity))
                end = PoolEnd(identity, PoolRunState.LOST, None, None, None, None, None)
                self._ended(end, waiting, self._error_of(end), host, outage=False)

    async def _find_passed_over(self) -> None:
        """Tasks whose runs wait although later ones of their pool were carried out."""
        older = {
            identity: waiting
            for identity, waiting in self._waiting.items()
            if self._untaken.may_be_passed_over(waiting.pool, waiting.since)
        }
        queued = await pool_runs.read_queued(self._pool, list(older)) if older else []
        now = self._clock.now()
        self._untaken.judge_tasks(
            {older[identity].task.spec.name: now - older[identity].since for identity in queued}
        )


def _hung(task: SupervisedTask, chain: Collection[str]) -> Trouble:
    name = task.spec.name
    return Trouble(kind=TroubleKind.HUNG, subject=name, task=name, chain=tuple(chain))
