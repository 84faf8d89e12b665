"""A worker: takes runs of its pools, carries them out as local runs are, and reports their ends.

    free slots ──dequeue, claim, acknowledge: one transaction──▶ running ──▶ ended by (id, token) ──▶ free
                  └─ task unknown, or another `run` or `args`: passed on

One statement a second carries the heartbeats of all runs and brings back what is to stop and what was taken
away. A worker that cannot send it for most of the time after which the leader gives its runs up
cancels them, so that the next attempt finds none of them in progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from loguru import logger

from dozor.cluster.placement import JobQueue, Offer, digest_of
from dozor.cluster.trust_window import TrustWindow
from dozor.language import msg
from dozor.storage.health import DatabaseHealth
from dozor.storage.postgres.pool import Pool, of_database, unavailable
from dozor.storage.postgres.run_fence import RunFence
from dozor.storage.tables import pool_runs
from dozor.storage.tables.pool_runs import Claim, Held, PoolRunOutcome, StopRequest, WorkerEnd
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.runs.context import Context, Reporter
from dozor.supervision.runs.endings import failure_of
from dozor.supervision.runs.remote_failure import to_frame
from dozor.supervision.runs.run import Run, StopReason
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import Transition, Trouble, TroubleKind

BEAT_EVERY = 1.0
"""Seconds between heartbeats."""
POLL_EVERY = 1.0
"""Seconds between looks for runs, where NOTIFY wakes."""
CLAIM_AT_ONCE = 500
RETRY_AFTER = 0.5
"""Seconds after which a worker that lost its sessions tries again."""
STATEMENT_SECONDS = 5.0
"""How long a statement of the worker may take before it is tried again."""
WINDOW_EVERY = 0.1
"""Seconds between looks at the window."""


@dataclass(slots=True, eq=False)
class Assigned:
    """A run that this worker has claimed."""

    claim: Claim
    task: SupervisedTask
    run: Run
    reports: dict[str, Any]
    changed: bool = False
    """Whether `reports` is to be sent."""
    taken_away: bool = False


class AssignedRuns(Supervisor):
    """Carries out what it is assigned, and starts nothing by itself.

    Every task is paused for this supervisor, and each run is one that a person would have asked for: so time
    limits, heartbeats, hangs, processes and what a run leaves behind are those of any supervisor. `ended` is
    called with the end of each run, and `tell` with (task, text, severity) of each alert, on the loop.
    """

    def __init__(
        self,
        specs: Iterable[TaskSpec],
        *,
        ended: Callable[[Assigned, WorkerEnd], None],
        tell: Callable[[str, str, str], None],
        silent_after: float,
        redact: Callable[[str], str],
        **options: Any,
    ) -> None:
        specs = [_without_schedule(spec) for spec in specs]
        super().__init__(
            specs,
            stored={spec.name: TaskState(State.PAUSED) for spec in specs},
            observer=_AlertsOnly(tell),
            redact=redact,
            **options,
        )
        self._report_end = ended
        self._idle = silent_after / 2
        self.assigned: dict[str, Assigned] = {}
        """Runs in progress, by id."""
        self._by_run: dict[Run, Assigned] = {}
        self.digests: Mapping[str, str] = {spec.name: digest_of(spec.reference, spec.args) for spec in specs}

    def free(self, name: str) -> bool:
        """Whether a run of this task can begin: none is in progress here."""
        task = self.find(name)
        return task is not None and task.run is None

    def begin(self, claim: Claim) -> None:
        """Start the run of `claim`; `free` must be true for its task."""
        task = self.find(claim.task)
        assert task is not None
        now = self._clock.now()
        timeout = task.spec.policy.timeout
        task.state = task.state._replace(
            next_at=None if timeout is None else now + timeout,
            due_at=claim.due_at,
            running_since=now,
            failures=claim.attempt - 1,
        )
        if task.state.next_at is not None:
            self._timetable.plan(task.state.next_at, task.index)
        self._beginning = claim
        self._start_run(task, now)
        assert task.run is not None
        if task.run not in self._by_run:
            self._attach(task, task.run)

    def context(self, task: SupervisedTask, run: Run) -> Context:
        assigned = self._by_run.get(run) or self._attach(task, run)
        claim = assigned.claim
        fence = RunFence(claim.id, str(claim.token), self._idle, on_worker=True)
        return Context(
            task.spec.name,
            claim.id,
            run,
            _Reports(self, assigned, super().reporter_for(task)(run)),
            self._checkers,
            epoch=claim.epoch,
            fence=fence,
        )

    def reporter_for(self, task: SupervisedTask) -> Callable[[Run], Reporter]:
        def reporter(run: Run) -> Reporter:
            own = super(AssignedRuns, self).reporter_for(task)(run)
            assigned = self._by_run.get(run)
            return own if assigned is None else _Reports(self, assigned, own)

        return reporter

    def stop_run(self, assigned: Assigned, request: StopRequest) -> None:
        """The leader wants it to end."""
        match request:
            case StopRequest.ASK:
                assigned.run.ask_to_stop(StopReason.ASKED)
            case StopRequest.CANCEL:
                if assigned.run.cancelling is None and assigned.run.escalation is None:
                    self._cancel(assigned.task, assigned.run, StopReason.ASKED)

    def run_ended(
        self, task: SupervisedTask, run: Run, error: BaseException | None, *, outage: bool = False
    ) -> None:
        if run.ended:
            return
        run.ended = True
        if run.reason is not None:
            self.canceller.ended(task, run)
        task.run = None
        task.state = task.state._replace(running_since=None, next_at=None)
        self._dirty.clear()  # nobody writes these states
        assigned = self._by_run.pop(run)
        self.assigned.pop(assigned.claim.id, None)
        self._report_end(assigned, self._end_of(assigned, error, outage=outage))

    def _attach(self, task: SupervisedTask, run: Run) -> Assigned:
        claim = self._beginning
        run.remote = None
        assigned = Assigned(claim, task, run, {})
        self._by_run[run] = self.assigned[claim.id] = assigned
        return assigned

    def _end_of(self, assigned: Assigned, error: BaseException | None, *, outage: bool) -> WorkerEnd:
        run, task, claim = assigned.run, assigned.task, assigned.claim
        failure: dict[str, Any] | None = None
        if error is None and run.reason in (None, StopReason.ASKED):
            outcome = PoolRunOutcome.SUCCEEDED
        elif run.reason is StopReason.ASKED:
            outcome = PoolRunOutcome.CANCELLED
        else:
            shown, described = failure_of(run, error, task.spec.policy, self._redact)
            failure = to_frame(described)
            outcome = PoolRunOutcome.INTERRUPTED if outage else PoolRunOutcome.FAILED
            logger.bind(task=task.spec.name, run_id=claim.id).opt(exception=shown).error(
                msg("log-pool-run-failed", name=task.spec.name, run=claim.id)
            )
        reports = assigned.reports or None
        return WorkerEnd(claim.id, claim.token, outcome, failure, reports)


class _AlertsOnly:
    """The leader observes the task; a worker has its runs, and alerts of their own."""

    def __init__(self, tell: Callable[[str, str, str], None]) -> None:
        self._tell = tell

    def transition(self, transition: Transition) -> None:
        """Of a task that is always paused here."""

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        """The end of a run is reported by `run_ended`."""

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        self._tell(task.spec.name, text, severity)


class _Reports:
    """A run's reports: sent to the leader with the next heartbeat. Safe to call from a thread."""

    def __init__(self, runs: AssignedRuns, assigned: Assigned, own: Reporter) -> None:
        self._runs = runs
        self._assigned = assigned
        self._own = own

    def heartbeat(self) -> None:
        self._own.heartbeat()
        reports = self._assigned.reports
        reports["heartbeats"] = reports.get("heartbeats", 0) + 1
        self._assigned.changed = True

    def progress(self, done: float, total: float) -> None:
        self._own.progress(done, total)
        self._assigned.reports["progress"] = [float(done), float(total)]
        self._assigned.changed = True

    def backlog(self, size: int, oldest_at: datetime | None, limit: float | None) -> None:
        oldest = None if oldest_at is None else oldest_at.timestamp()
        self._assigned.reports["backlog"] = [int(size), oldest, limit]
        self._assigned.changed = True

    def alert(self, text: str, severity: str) -> None:
        self._own.alert(text, severity)


class HangReports:
    """The `TroubleListener` of a worker's runs: a hang is reported to the leader, which sees all else."""

    def __init__(self) -> None:
        self.hung: dict[str, tuple[str, ...]] = {}
        """Where a run that ignores its cancellation is, by task."""

    def raised(self, trouble: Trouble) -> None:
        if trouble.kind is TroubleKind.HUNG and trouble.task is not None:
            self.hung[trouble.task] = trouble.chain

    def changed(self, trouble: Trouble) -> None:
        self.raised(trouble)

    def cleared(self, trouble: Trouble) -> None:
        if trouble.task is not None:
            self.hung.pop(trouble.task, None)


class Worker:
    """Takes runs of `pools`, at most `slots` at once. `name`: for people.

    `window`: while it is open, no run of this worker is given up; its `ttl` is the patience of the leader.

    `pool`: connections without a codec for jsonb. `poll_every`: seconds between looks for runs.
    `build` makes the supervisor of its runs, which calls `ended` and `alert`.
    """

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        build: Callable[[Worker], AssignedRuns],
        hangs: HangReports,
        health: DatabaseHealth,
        *,
        name: str,
        pools: tuple[str, ...],
        slots: int,
        window: TrustWindow,
        poll_every: float = POLL_EVERY,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._hangs = hangs
        self._health = health
        self._name = name
        self._pools = pools
        self._slots = slots
        self._window = window
        self._patience = min(STATEMENT_SECONDS, window.ttl / 3)
        self._poll_every = poll_every
        self._wake = asyncio.Event()
        self._ends: dict[str, WorkerEnd] = {}
        """Not written yet, by id."""
        self._ends_wanted = asyncio.Event()
        self._alerts: list[tuple[str, str, str]] = []
        self.closing = False
        """No more runs are taken."""
        self.runs = build(self)

    @property
    def running(self) -> int:
        """Slots in use."""
        return len(self.runs.assigned) + len(self._ends)

    def wake(self) -> None:
        """Runs may have been queued."""
        self._wake.set()

    def alert(self, task: str, text: str, severity: str) -> None:
        """For the people on call, through the leader."""
        self._alerts.append((task, text, severity))

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """To be supervised: a part that fails is started again after a second."""
        return {
            "worker": self._take_runs,
            "worker heartbeat": self._beat,
            "worker results": self._write_ends,
            "worker window": self._keep_window,
        }

    async def stop(self) -> None:
        """Take nothing more, end what runs as a supervisor does, and report the ends."""
        self.closing = True
        self._wake.set()
        await self.runs.stop()
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                while self._ends:
                    await self._write_once()
        except (TimeoutError, OSError) as error:
            logger.warning(msg("log-pool-ends-lost", count=len(self._ends), error=str(error)))

    # -- taking runs

    async def _take_runs(self) -> None:
        while not self.closing:
            self._wake.clear()
            try:
                taken = await self._take_once()
                self._health.report_up()
            except Exception as error:
                if not self._sat_out(error):
                    raise
                await asyncio.sleep(RETRY_AFTER)
                continue
            if taken and self.running < self._slots:
                continue
            try:
                async with asyncio.timeout(self._poll_every):
                    await self._wake.wait()
            except TimeoutError:
                pass
        await asyncio.Event().wait()

    async def _take_once(self) -> int:
        """Dequeue, claim and acknowledge in one transaction; how many jobs there were."""
        limit = min(self._slots - self.running, CLAIM_AT_ONCE)
        if limit <= 0:
            return 0
        claims: list[Claim] = []
        began = self._window.now()
        async with (
            asyncio.timeout(self._patience),
            self._pool.acquire() as connection,
            connection.transaction(),
        ):
            offers = await self._queue.dequeue(connection, self._pools, limit)
            if not offers:
                return 0
            mine, others = self._sorted(offers)
            if others:
                await self._queue.pass_on(connection, others)
            if mine:
                claims = await pool_runs.claim(connection, [offer.run for offer in mine], self._name)
                await self._queue.acknowledge(connection, mine)
        if claims:
            self._window.extend(began)
        for claim in claims:
            if self.closing:
                self._ends[claim.id] = WorkerEnd(claim.id, claim.token, PoolRunOutcome.CANCELLED, None, None)
            else:
                self.runs.begin(claim)
        return len(mine)

    def _sorted(self, offers: Iterable[Offer]) -> tuple[list[Offer], list[Offer]]:
        """Those that this worker can run, one a task, and those that are for others."""
        mine: dict[str, Offer] = {}
        others: list[Offer] = []
        for offer in offers:
            known = self.runs.digests.get(offer.task) == offer.digest
            if known and self.runs.free(offer.task) and offer.task not in mine and not self.closing:
                mine[offer.task] = offer
            else:
                others.append(offer)
        return list(mine.values()), others

    # -- ends

    def ended(self, assigned: Assigned, end: WorkerEnd) -> None:
        """A run has ended: report it, unless it was taken away."""
        if assigned.taken_away:
            logger.bind(task=assigned.claim.task).warning(
                msg("log-pool-end-discarded", name=assigned.claim.task, run=end.id)
            )
            self._wake.set()
            return
        self._ends[end.id] = end
        self._ends_wanted.set()

    async def _write_ends(self) -> None:
        while True:
            await self._ends_wanted.wait()
            self._ends_wanted.clear()
            try:
                await self._write_once()
            except Exception as error:
                self._ends_wanted.set()
                if not self._sat_out(error):
                    raise
                await asyncio.sleep(RETRY_AFTER)

    async def _write_once(self) -> None:
        """Everything that has ended so far, in one statement."""
        ends = list(self._ends.values())
        if not ends:
            return
        await self._send_alerts()
        async with asyncio.timeout(self._patience):
            written = await pool_runs.end(self._pool, ends)
        for end in ends:
            self._ends.pop(end.id, None)
            if end.id not in written:
                logger.warning(msg("log-pool-end-discarded", name="", run=end.id))
        self._wake.set()

    async def _send_alerts(self) -> None:
        """Before the ends of the runs that gave them."""
        if self._alerts:
            await self._send([])

    # -- heartbeats

    async def _beat(self) -> None:
        while True:
            began = self._window.now()
            try:
                await self._beat_once()
                if self.runs.assigned:
                    self._window.extend(began)
                self._health.report_up()
            except Exception as error:
                if not self._sat_out(error):
                    raise
            await asyncio.sleep(max(0.0, BEAT_EVERY - (self._window.now() - began)))

    async def _keep_window(self) -> None:
        """Cancel all runs before the leader gives them up; the kernel timer ends a process that does not."""
        while True:
            await asyncio.sleep(WINDOW_EVERY)
            if not self.runs.assigned:
                self._window.close()
            elif self._window.now() >= self._window.closes_at:
                self._lose_all()

    async def _beat_once(self) -> None:
        held: list[Held] = []
        for assigned in self.runs.assigned.values():
            chain = self._hangs.hung.get(assigned.claim.task)
            if chain is not None and "hung" not in assigned.reports:
                assigned.reports["hung"] = list(chain)
                assigned.changed = True
            reports = dict(assigned.reports) if assigned.changed else None
            assigned.changed = False
            if not assigned.taken_away:
                held.append(Held(assigned.claim.id, assigned.claim.token, reports))
        held += [Held(end.id, end.token, None) for end in self._ends.values()]
        try:
            answers = await self._send(held)
        except BaseException:
            for one in held:
                assigned_again = self.runs.assigned.get(one.id)
                if assigned_again is not None and one.reports is not None:
                    assigned_again.changed = True
            raise
        for answer in answers:
            found = self.runs.assigned.get(answer.id)
            if found is None:
                continue
            if answer.taken_away:
                self._lose(found)
            elif answer.stop is not None:
                self.runs.stop_run(found, answer.stop)

    async def _send(self, held: list[Held]) -> list[pool_runs.Answer]:
        alerts = list(self._alerts)
        async with asyncio.timeout(self._patience):
            answers = await pool_runs.beat(self._pool, held, alerts)
        del self._alerts[: len(alerts)]
        return answers

    def _lose_all(self) -> None:
        for assigned in list(self.runs.assigned.values()):
            self._lose(assigned)

    def _lose(self, assigned: Assigned) -> None:
        """The leader has given it up, or will before long: it ends, and what it returns does not count."""
        if assigned.taken_away:
            return
        assigned.taken_away = True
        logger.bind(task=assigned.claim.task).error(
            msg("log-pool-run-taken", name=assigned.claim.task, run=assigned.claim.id)
        )
        self.runs.stop_run(assigned, StopRequest.CANCEL)

    def _sat_out(self, error: Exception) -> bool:
        """Whether it is an outage, to be tried again; what is none is for the supervision of this part."""
        if not isinstance(error, TimeoutError) and not of_database(error):
            return False
        if not isinstance(error, TimeoutError) and not unavailable(error):
            logger.opt(exception=error).error(msg("log-worker-statement"))
        self._health.report_down(f"{type(error).__name__}: {str(error)[:200]}")
        return True


def _without_schedule(spec: TaskSpec) -> TaskSpec:
    policy = spec.policy
    return replace(
        spec,
        pool=None,
        policy=Policy(
            schedule=policy.schedule,
            restart_delay=policy.restart_delay,
            max_consecutive_failures=None,
            timeout=policy.timeout,
            heartbeat_timeout=policy.heartbeat_timeout,
            requires=policy.requires,
            requires_database=policy.requires_database,
        ),
    )
