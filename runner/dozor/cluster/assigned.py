"""Runs that a worker carries out: as local runs, without a schedule or a state of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from loguru import logger

from dozor.cluster.placement import digest_of
from dozor.language import msg
from dozor.storage.postgres.run_fence import RunFence
from dozor.storage.tables.pool_runs import Claim, PoolRunOutcome, StopRequest, WorkerEnd
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.runs.context import Context, Reporter
from dozor.supervision.runs.failures.endings import failure_of
from dozor.supervision.runs.failures.remote_failure import to_frame
from dozor.supervision.runs.resources import given_to
from dozor.supervision.runs.run import Run, StopReason
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import Transition, Trouble, TroubleKind


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
        self._wanted: dict[str, TaskSpec] = {spec.name: spec for spec in specs}
        self.digests: Mapping[str, str] = _digests(specs)

    def use(self, specs: Iterable[TaskSpec], changed: Collection[str]) -> None:
        """Take runs of these tasks from now on. `changed`: names of those that are not as before.

        A run in progress goes on under what it began with; the leader asks it to end if it has changed its
        task as well. Until then no other run of its task is taken.
        """
        before, self._wanted = self._wanted, {}
        for spec in specs:
            known = before.get(spec.name)
            same = known is not None and spec.name not in changed
            self._wanted[spec.name] = known if same and known is not None else _without_schedule(spec)
        self.digests = _digests(self._wanted.values())
        for task in self.tasks:
            if task.run is None:
                self._bring_up_to_date(task)
        for name, spec in self._wanted.items():
            if self.find(name) is None:
                self.task_changes.add(spec, TaskState(State.PAUSED), self._clock.now())

    def _bring_up_to_date(self, task: SupervisedTask) -> None:
        """`task` has no run: let it be what the configuration says by now."""
        wanted = self._wanted.get(task.spec.name)
        if wanted is None:
            self.task_changes.remove(task.spec.name)
        elif wanted is not task.spec:
            self.task_changes.replace(wanted, self._clock.now())

    def free(self, name: str) -> bool:
        """Whether a run of this task can begin: none is in progress here."""
        task = self.find(name)
        return task is not None and task.run is None and not self.registry.is_leaving(name)

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
            given_to(self.resources, task.spec.name, claim.id, run),
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
        if not self._take_end(task, run):
            return
        task.state = task.state._replace(running_since=None, next_at=None)
        self._dirty.clear()  # nobody writes these states
        assigned = self._by_run.pop(run)
        self.assigned.pop(assigned.claim.id, None)
        self._report_end(assigned, self._end_of(assigned, error, outage=outage))
        self.canceller.over(task, run)
        self._bring_up_to_date(task)

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


def _digests(specs: Iterable[TaskSpec]) -> Mapping[str, str]:
    return {spec.name: digest_of(spec.reference, spec.args) for spec in specs}


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
