"""The state machine of a task: `(policy, state, event, now) -> (state, effects)`. Pure.

                  due                      returned
    ┌─ waiting ─────────▶ running ─────────────────────▶ waiting
    │     ▲                │   ▲                         (streak 0)
    │     │ dependency up  │   │ due
    │   held ◀─────────────┤   └──────── backoff ◀── raised, streak < max
    │     dependency down  │
    │                      └─ raised, streak = max, or fatal ──▶ stopped
    └─▶ paused ──resume──▶ waiting             restart (from anywhere) ──▶ running

A run may still be in progress in `paused` and `stopped` (`running_since` is set then): a paused task finishes
its run, and a stopped one may be probed, by a person's run-now or by `on_critical: {retry_every: …}`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, assert_never

from dozor.supervision.core.events import (
    ASK_TO_STOP,
    NOTHING,
    START_RUN,
    STOP_RUN,
    TIME_OUT,
    Cancelled,
    DependencyDown,
    DependencyUp,
    Due,
    Effect,
    Event,
    Failed,
    Heartbeat,
    Interrupted,
    Pause,
    Restart,
    Resume,
    RunNow,
    Succeeded,
)
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.schedule import first_due, next_due
from dozor.supervision.core.state import State, StopCause, TaskState

Step = tuple[TaskState, tuple[Effect, ...]]

_WAITING: Final = State.WAITING
_new = tuple.__new__
"""Makes a TaskState of all its values, in order: half the cost of calling the class, twice in every run."""


def step(policy: Policy, task: TaskState, event: Event, now: float) -> Step:
    """The next state of `task`, and what to do. An event that does not fit the state changes nothing."""
    match event:
        case Due():
            return _due(policy, task, now)
        case Succeeded():
            return _succeeded(policy, task, now)
        case Failed():
            return _failed(policy, task, event, now)
        case Cancelled():
            return _cancelled(policy, task, now)
        case Interrupted():
            return _interrupted(policy, task, event, now)
        case Heartbeat():
            return _proven(policy, task) if _beats(policy, task) else (task, NOTHING)
        case DependencyDown():
            return _dependency_down(policy, task)
        case DependencyUp(spread):
            if task.state is not State.HELD:
                return task, NOTHING
            at = now + spread
            return task._replace(state=State.WAITING, next_at=at, due_at=at), NOTHING
        case Restart(by):
            return _restart(policy, task, by, now)
        case Pause(by):
            return _pause(policy, task, by)
        case Resume(by):
            return _resume(policy, task, by, now)
        case RunNow(by):
            return _run_now(policy, task, by, now)
        case _:
            assert_never(event)


def restore(policy: Policy, stored: TaskState | None, now: float, *, spread: float = 0.0) -> TaskState:
    """The state to begin with: `stored` as the database has it, made true for a process that runs nothing.

    The streak, a critical stop and a pause survive. `spread` (seconds) keeps first runs apart.
    """
    if stored is None:
        at = now + spread if policy.run_at_start else _first_due(policy, now, spread)
        return TaskState(State.WAITING, at, at)
    task = stored._replace(running_since=None, restart_pending=False)
    match stored.state:
        case State.PAUSED:
            return task._replace(next_at=None)
        case State.STOPPED:
            return _to_retry(policy, task, now)
        case State.BACKOFF:
            longest = now + policy.restart_delay.max
            at = now if task.next_at is None else min(max(task.next_at, now), longest)
            return task._replace(next_at=at, due_at=at)
        case State.RUNNING | State.HELD:
            at = now + spread
            return task._replace(state=State.WAITING, next_at=at, due_at=at)
        case State.WAITING if policy.run_at_start:
            return task._replace(next_at=now + spread, due_at=now + spread)
        case State.WAITING:
            due = task.due_at if task.due_at is not None else task.next_at
            latest = _first_due(policy, now, spread)
            if not policy.continuous:
                # A changed, shorter interval takes effect now, not after the old one has passed.
                from_now = next_due(policy.schedule, now, now, rest=0.0, offset=policy.offset)
                latest = max(latest, from_now)
            if due is not None and due <= now:
                due = _made_up_for(policy, due, now, spread)
            elif due is None or due > latest:
                due = _first_due(policy, now, spread)
            return task._replace(next_at=due, due_at=due)
        case _:
            assert_never(stored.state)


def _made_up_for(policy: Policy, due: float, now: float, spread: float) -> float:
    """When to run what was due at `due`, while no runner was running."""
    if policy.skip_missed and not policy.continuous:
        return next_due(policy.schedule, due, now, rest=0.0, skip_missed=True, offset=policy.offset)
    return now + spread


def _first_due(policy: Policy, now: float, spread: float) -> float:
    return first_due(policy.schedule, now, spread=spread, offset=policy.offset)


def _due(policy: Policy, task: TaskState, now: float) -> Step:
    if task.state is _WAITING:  # nearly always
        return _started(policy, task, State.RUNNING, now)
    match task.state:
        case State.WAITING | State.BACKOFF | State.HELD:
            return _started(policy, task, State.RUNNING, now)
        case State.RUNNING:
            return _deadline(policy, task, now)
        case State.STOPPED:
            if task.running_since is not None:
                return _deadline(policy, task, now)
            return _started(policy, task, State.STOPPED, now)
        case State.PAUSED:
            return _deadline(policy, task, now)
        case _:
            assert_never(task.state)


def _started(policy: Policy, task: TaskState, state: State, now: float) -> Step:
    _, next_at, _, _, _, failures, runs_total, _, succeeded_at, duration, failure_record = task
    deadline = None
    if failures or policy.timeout is not None:
        deadline = _next_deadline(policy, failures, now, now)
    started = (
        state,
        deadline,
        now if next_at is None else next_at,
        now,
        False,
        failures,
        runs_total + 1,
        now,
        succeeded_at,
        duration,
        failure_record,
    )
    return _new(TaskState, started), START_RUN


def _next_deadline(policy: Policy, failures: int, started_at: float, now: float) -> float | None:
    """When the present run must be looked at: its time limit, or the proof of its health."""
    limit = None if policy.timeout is None else started_at + policy.timeout
    if failures and policy.continuous:
        proof = started_at + policy.stable_after
        if proof > now and (limit is None or proof < limit):
            return proof
    return limit


def _deadline(policy: Policy, task: TaskState, now: float) -> Step:
    started_at = task.running_since
    if started_at is None:
        return task._replace(next_at=None), NOTHING
    if policy.timeout is not None and now >= started_at + policy.timeout:
        return task._replace(next_at=None), TIME_OUT
    if task.failures and policy.continuous and now >= started_at + policy.stable_after:
        return _proven(policy, task)
    return task._replace(next_at=_next_deadline(policy, task.failures, started_at, now)), NOTHING


def _beats(policy: Policy, task: TaskState) -> bool:
    return policy.continuous and task.failures > 0 and task.running_since is not None


def _proven(policy: Policy, task: TaskState) -> Step:
    """A continuous run has shown that it works: the streak ends although the run does not."""
    assert task.running_since is not None
    healthy = task._replace(
        state=State.RUNNING if task.state is State.STOPPED else task.state,
        failures=0,
        next_at=None if policy.timeout is None else task.running_since + policy.timeout,
        failure_record=replace(task.failure_record, failing_since=None),
    )
    return healthy, NOTHING


def _succeeded(policy: Policy, task: TaskState, now: float) -> Step:
    state, _, due_at, started_at, restart_pending, _, runs_total, _, _, _, past = task
    if past.failing_since is not None:
        past = replace(past, failing_since=None)
    if restart_pending:
        return _started(policy, _ended(task, now, succeeded_at=now, failures=0), State.RUNNING, now)
    if state is State.PAUSED:
        return _ended(task, now, succeeded_at=now, failures=0), NOTHING
    due = next_due(
        policy.schedule,
        now if due_at is None else due_at,
        now,
        rest=policy.restart_delay.initial,
        skip_missed=policy.skip_missed,
        offset=policy.offset,
    )
    duration = None if started_at is None else now - started_at
    waiting = (_WAITING, due, due, None, False, 0, runs_total, started_at, now, duration, past)
    return _new(TaskState, waiting), NOTHING


def _failed(policy: Policy, task: TaskState, event: Failed, now: float) -> Step:
    failure = event.failure
    if task.restart_pending:
        # The run was already asked to end; its outcome does not count against the new one.
        past = replace(
            task.failure_record,
            failures_total=task.failure_record.failures_total + 1,
            failed_at=now,
            failure=failure,
        )
        return _started(policy, _ended(task, now)._replace(failure_record=past), State.RUNNING, now)
    failures = task.failures + 1
    limit, window = policy.max_consecutive_failures, policy.max_failures
    recent = task.failure_record.recent if window is None else window.recent(task.failure_record.recent, now)
    past = replace(
        task.failure_record,
        failures_total=task.failure_record.failures_total + 1,
        failing_since=now if task.failure_record.failing_since is None else task.failure_record.failing_since,
        failed_at=now,
        failure=failure,
        recent=recent,
    )
    ended = _ended(task, now)._replace(failures=failures, failure_record=past)
    match task.state:
        case State.PAUSED:
            return ended, NOTHING
        case State.STOPPED:
            return _to_retry(policy, ended, now), NOTHING
        case _ if failure.fatal:
            return _stopped(policy, ended, StopCause.FATAL, now), NOTHING
        case _ if limit is not None and failures >= limit:
            return _stopped(policy, ended, StopCause.CONSECUTIVE, now), NOTHING
        case _ if window is not None and window.exceeded(recent):
            return _stopped(policy, ended, StopCause.INTENSITY, now), NOTHING
        case _:
            at = now + policy.restart_delay.after(failures, event.jitter)
            return ended._replace(state=State.BACKOFF, next_at=at, due_at=at), NOTHING


def _ended(
    task: TaskState, now: float, *, succeeded_at: float | None = None, failures: int | None = None
) -> TaskState:
    """The run is over; nothing is planned yet."""
    return task._replace(
        next_at=None,
        running_since=None,
        restart_pending=False,
        failures=task.failures if failures is None else failures,
        succeeded_at=task.succeeded_at if succeeded_at is None else succeeded_at,
        duration=None if task.running_since is None else now - task.running_since,
        failure_record=task.failure_record
        if succeeded_at is None
        else replace(task.failure_record, failing_since=None),
    )


def _stopped(policy: Policy, task: TaskState, cause: StopCause, now: float) -> TaskState:
    past = replace(task.failure_record, stopped_by=cause)
    return _to_retry(policy, task._replace(state=State.STOPPED, failure_record=past), now)


def _to_retry(policy: Policy, task: TaskState, now: float) -> TaskState:
    """A stopped task waits for a person, or is on probation: tried again from time to time."""
    at = None if policy.stop_retry_every is None else now + policy.stop_retry_every
    return task._replace(next_at=at, due_at=task.due_at if at is None else at)


def _cancelled(policy: Policy, task: TaskState, now: float) -> Step:
    ended = _ended(task, now)
    if task.restart_pending:
        return _started(policy, ended, State.RUNNING, now)
    match task.state:
        case State.RUNNING:
            return ended._replace(state=State.WAITING, next_at=now, due_at=now), NOTHING
        case State.STOPPED:
            # A reload, or the end of a worker, cut a probe short: the next one comes all the same.
            return _to_retry(policy, ended, now), NOTHING
        case _:
            return ended, NOTHING


def _interrupted(policy: Policy, task: TaskState, event: Interrupted, now: float) -> Step:
    ended = _ended(task, now)._replace(
        failure_record=replace(task.failure_record, failed_at=now, failure=event.failure)
    )
    match task.state:
        case State.PAUSED:
            return ended, NOTHING
        case State.STOPPED:
            return _to_retry(policy, ended, now), NOTHING
        case _:
            # Released when the dependency is back; the time is for an outage that is over by now.
            at = now + policy.restart_delay.initial
            return ended._replace(state=State.HELD, next_at=at, due_at=at), NOTHING


def _dependency_down(policy: Policy, task: TaskState) -> Step:
    if task.state is State.HELD:
        return (task if task.next_at is None else task._replace(next_at=None)), NOTHING
    if policy.needs and task.state in (State.WAITING, State.BACKOFF):
        return task._replace(state=State.HELD, next_at=None), NOTHING
    return task, NOTHING


def _restart(policy: Policy, task: TaskState, by: str, now: float) -> Step:
    fresh = task._replace(
        state=State.RUNNING, failures=0, failure_record=replace(task.failure_record, last_actor=by, recent=())
    )
    if task.running_since is not None:
        return fresh._replace(restart_pending=True, next_at=None), STOP_RUN
    return _started(policy, fresh._replace(next_at=now), State.RUNNING, now)


def _pause(policy: Policy, task: TaskState, by: str) -> Step:
    if task.state is State.PAUSED:
        return task, NOTHING
    paused = task._replace(
        state=State.PAUSED, restart_pending=False, failure_record=replace(task.failure_record, last_actor=by)
    )
    if task.running_since is None:
        return paused._replace(next_at=None), NOTHING
    return paused, STOP_RUN if policy.continuous else ASK_TO_STOP


def _resume(policy: Policy, task: TaskState, by: str, now: float) -> Step:
    if task.state is not State.PAUSED:
        return task, NOTHING
    resumed = task._replace(failure_record=replace(task.failure_record, last_actor=by))
    if task.running_since is not None:
        # Its run was asked to stop: start the next one when it has.
        return resumed._replace(state=State.RUNNING, restart_pending=True), NOTHING
    return resumed._replace(state=State.WAITING, next_at=now, due_at=now), NOTHING


def _run_now(policy: Policy, task: TaskState, by: str, now: float) -> Step:
    if task.running_since is not None:
        return task, NOTHING
    asked = task._replace(next_at=now, failure_record=replace(task.failure_record, last_actor=by))
    state = task.state if task.state in (State.PAUSED, State.STOPPED) else State.RUNNING
    return _started(policy, asked, state, now)
