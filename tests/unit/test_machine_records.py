"""The state machine of a task: every value that it plans and records."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from dozor.config.sections.tasks import Cron, Every
from dozor.supervision.core.events import (
    NOTHING,
    START_RUN,
    STOP_RUN,
    TIME_OUT,
    Cancelled,
    DependencyDown,
    DependencyUp,
    Due,
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
from dozor.supervision.core.machine import restore, step
from dozor.supervision.core.policy import Intensity, Policy, RestartDelay
from dozor.supervision.core.state import FailureRecord, State, StopCause, TaskState
from tests.unit.machines import BOOM, FATAL, FOREVER, PERIODIC, PROBED, failing, play


def test_restore_keeps_first_runs_apart_and_forgets_what_was_in_progress() -> None:
    at_start = replace(PERIODIC, run_at_start=True)
    nightly = Policy(schedule=Cron("0 3 * * *", ZoneInfo("UTC")), run_at_start=True)
    for policy in (PERIODIC, at_start, nightly, FOREVER):
        task = restore(policy, None, 100.0, spread=7.0)
        assert (task.state, task.next_at, task.due_at) == (State.WAITING, 107.0, 107.0)
    at_three = replace(nightly, run_at_start=False)
    assert restore(at_three, None, 100.0, spread=7.0).next_at == 3 * 3600.0
    stored = TaskState(State.RUNNING, 130.0, 90.0, running_since=90.0, restart_pending=True)
    for one in (stored, stored._replace(state=State.HELD)):
        task = restore(PERIODIC, one, 100.0, spread=7.0)
        assert (task.next_at, task.due_at, task.running_since, task.restart_pending) == (
            107.0,
            107.0,
            None,
            False,
        )
    waiting = TaskState(State.WAITING, 150.0, 150.0)
    task = restore(at_start, waiting, 100.0, spread=7.0)
    assert (task.next_at, task.due_at) == (107.0, 107.0)
    assert restore(PERIODIC, waiting._replace(next_at=90.0, due_at=90.0), 100.0, spread=7.0).due_at == 107.0
    assert restore(PERIODIC, waiting._replace(next_at=None, due_at=None), 100.0, spread=7.0).due_at == 107.0


def test_restore_of_a_task_that_is_not_to_run_plans_only_its_probe() -> None:
    paused = TaskState(State.PAUSED, 130.0, 90.0, running_since=90.0)
    assert restore(PERIODIC, paused, 100.0).next_at is None
    stopped = TaskState(State.STOPPED, 130.0, 90.0)
    task = restore(PERIODIC, stopped, 100.0)
    assert (task.next_at, task.due_at) == (None, 90.0)
    task = restore(PROBED, stopped, 100.0)
    assert (task.next_at, task.due_at) == (700.0, 700.0)


@pytest.mark.parametrize(
    ("next_at", "expected"), [(None, 100.0), (90.0, 100.0), (104.0, 104.0), (111.0, 110.0)]
)
def test_restore_of_a_backoff_waits_no_longer_than_the_longest_delay(
    next_at: float | None, expected: float
) -> None:
    task = restore(PERIODIC, TaskState(State.BACKOFF, next_at, 50.0, failures=1), 100.0, spread=7.0)
    assert (task.state, task.next_at, task.due_at) == (State.BACKOFF, expected, expected)


@pytest.mark.parametrize(
    ("policy", "due", "expected"),
    [
        (PERIODIC, 160.0, 160.0),  # one interval from now: the rules are as they were
        (PERIODIC, 160.5, 107.0),  # further away: the interval is shorter now
        (replace(PERIODIC, offset=30.0), 160.0, 160.0),
        (FOREVER, 107.0, 107.0),
        (FOREVER, 108.0, 107.0),
        (Policy(schedule=Cron("0 1 * * *", ZoneInfo("UTC")), offset=30.0), 3630.0, 3630.0),
        (Policy(schedule=Cron("0 1 * * *", ZoneInfo("UTC")), offset=30.0), 7230.0, 3630.0),
        (PERIODIC, 100.0, 107.0),  # due now: late already, so apart from the others
        (replace(PERIODIC, skip_missed=True), 100.0, 160.0),
        (replace(FOREVER, skip_missed=True), 100.0, 107.0),
    ],
)
def test_restore_of_a_planned_run_follows_the_rules_of_now(
    policy: Policy, due: float, expected: float
) -> None:
    task = restore(policy, TaskState(State.WAITING, due, due), 100.0, spread=7.0)
    assert (task.next_at, task.due_at) == (expected, expected)
    assert restore(policy, TaskState(State.WAITING, 1.0, due), 100.0, spread=7.0).next_at == expected
    assert restore(policy, TaskState(State.WAITING, due, None), 100.0, spread=7.0).next_at == expected


def test_a_start_counts_the_run_and_keeps_what_is_known_of_earlier_ones() -> None:
    past = FailureRecord(failures_total=4, failed_at=1.0, failure=BOOM)
    task = TaskState(
        State.BACKOFF,
        50.0,
        50.0,
        failures=2,
        runs_total=7,
        succeeded_at=3.0,
        duration=2.0,
        failure_record=past,
    )
    running, _ = step(PERIODIC, task, Due(), 52.0)
    assert running == TaskState(
        *(State.RUNNING, None, 50.0, 52.0, False, 2, 8),
        started_at=52.0,
        succeeded_at=3.0,
        duration=2.0,
        failure_record=past,
    )
    assert step(PERIODIC, task._replace(next_at=None), Due(), 52.0)[0].due_at == 52.0


LIMITED = replace(FOREVER, timeout=300.0)


@pytest.mark.parametrize(
    ("policy", "failures", "looked_at"),
    [
        (PERIODIC, 2, None),
        (replace(PERIODIC, timeout=30.0), 2, 1030.0),
        (FOREVER, 0, None),
        (FOREVER, 2, 1100.0),
        (LIMITED, 0, 1300.0),
        (LIMITED, 2, 1100.0),
        (replace(FOREVER, timeout=50.0), 2, 1050.0),
    ],
)
def test_a_run_is_looked_at_when_it_proves_its_health_or_reaches_its_limit(
    policy: Policy, failures: int, looked_at: float | None
) -> None:
    running, _ = step(policy, TaskState(State.BACKOFF, 990.0, 990.0, failures=failures), Due(), 1000.0)
    assert running.next_at == looked_at
    # An early look, such as after the clock was set, changes nothing.
    assert step(policy, running, Due(), 1001.0) == (running, NOTHING)


@pytest.mark.parametrize("state", [State.RUNNING, State.STOPPED, State.PAUSED])
def test_a_proven_run_has_its_limit_left_and_a_late_look_ends_it(state: State) -> None:
    task = TaskState(
        *(state, 1100.0, 1000.0, 1000.0),
        failures=2,
        failure_record=FailureRecord(failures_total=2, failing_since=9.0),
    )
    proven, effects = step(LIMITED, task, Due(), 1100.0)
    assert (proven.failures, proven.next_at, effects) == (0, 1300.0, NOTHING)
    assert proven.state is (State.PAUSED if state is State.PAUSED else State.RUNNING)
    assert proven.failure_record == FailureRecord(failures_total=2)
    for late in (1300.0, 1305.0):
        ended, effects = step(LIMITED, proven, Due(), late)
        assert (ended.next_at, ended.running_since, effects) == (None, 1000.0, TIME_OUT)
    assert step(LIMITED, task, Due(), 1305.0)[1] is TIME_OUT, "the limit comes first"


def test_a_late_look_proves_a_run_as_well() -> None:
    running, _ = step(FOREVER, failing(FOREVER, 2), Due(), 20.0)
    assert step(FOREVER, running, Due(), 119.0)[0] == running
    assert step(FOREVER, running, Due(), 130.0)[0].failures == 0


def test_a_heartbeat_without_a_streak_or_a_run_changes_nothing() -> None:
    running = play(LIMITED, (0.0, Due()))
    assert step(LIMITED, running, Heartbeat(), 5.0)[0] is running
    idle = failing(LIMITED, 2)
    assert step(LIMITED, idle, Heartbeat(), 50.0) == (idle, NOTHING)


def test_a_look_at_a_paused_task_without_a_run_plans_nothing() -> None:
    task, effects = step(PERIODIC, TaskState(State.PAUSED, 5.0), Due(), 5.0)
    assert (task.state, task.next_at, task.runs_total, effects) == (State.PAUSED, None, 0, NOTHING)


def test_what_a_run_ends_with_before_a_restart_is_recorded_and_does_not_count() -> None:
    before = FailureRecord(failures_total=5, failing_since=1.0, recent=(1.0,))
    asked = TaskState(
        *(State.RUNNING, None, 0.0, 2.0, True), runs_total=3, succeeded_at=1.5, failure_record=before
    )
    failed, _ = step(PERIODIC, asked, Failed(BOOM), 6.0)
    assert failed.failure_record == replace(before, failures_total=6, failed_at=6.0, failure=BOOM)
    assert (failed.failures, failed.runs_total, failed.duration, failed.succeeded_at) == (0, 4, 4.0, 1.5)
    well, _ = step(PERIODIC, asked._replace(failures=2), Succeeded(), 6.0)
    assert well.failure_record == replace(before, failing_since=None)
    assert (well.failures, well.runs_total, well.duration, well.succeeded_at) == (0, 4, 4.0, 6.0)
    cancelled, _ = step(PERIODIC, asked, Cancelled(), 6.0)
    assert cancelled.failure_record == before
    assert (cancelled.runs_total, cancelled.duration, cancelled.succeeded_at) == (4, 4.0, 1.5)
    held, effects = step(PERIODIC, asked, Interrupted(BOOM), 6.0)
    assert (held.state, held.restart_pending, effects) == (State.HELD, False, NOTHING)


def test_the_end_of_a_paused_run_is_recorded_and_plans_nothing() -> None:
    paused = TaskState(
        State.PAUSED, 30.0, 0.0, 2.0, failures=1, failure_record=FailureRecord(failures_total=1)
    )
    well, _ = step(PROBED, paused, Succeeded(), 6.0)
    assert (well.state, well.failures, well.succeeded_at, well.duration) == (State.PAUSED, 0, 6.0, 4.0)
    failed, _ = step(PROBED, paused, Failed(BOOM), 6.0)
    assert (failed.state, failed.failures, failed.failure_record.failures_total) == (State.PAUSED, 2, 2)
    broken, _ = step(PROBED, paused, Interrupted(BOOM), 6.0)
    assert (broken.state, broken.failures, broken.failure_record.failed_at) == (State.PAUSED, 1, 6.0)
    for ended in (well, failed, broken, step(PROBED, paused, Cancelled(), 6.0)[0]):
        assert (ended.state, ended.next_at, ended.running_since) == (State.PAUSED, None, None)


def test_failures_within_a_time_stop_a_task_that_recovers_in_between() -> None:
    policy = Policy(schedule=Every(10.0), max_consecutive_failures=None, max_failures=Intensity(3, 100.0))

    def failed(*times: float) -> TaskState:
        events: list[tuple[float, Event]] = []
        for now in times:
            events += [(now, Due()), (now, Failed(BOOM)), (now + 1, Due()), (now + 2, Succeeded())]
        return play(policy, *events[:-2])

    stopped = failed(10.0, 50.0, 109.0)
    assert stopped.state is State.STOPPED
    assert stopped.failure_record.stopped_by is StopCause.INTENSITY
    assert stopped.failure_record.recent == (10.0, 50.0, 109.0)
    spread_out = failed(10.0, 50.0, 110.0)
    assert (spread_out.state, spread_out.failure_record.recent) == (State.BACKOFF, (50.0, 110.0))
    restarted, _ = step(policy, stopped, Restart("cli:ann"), 120.0)
    assert restarted.failure_record.recent == ()
    both = replace(policy, max_consecutive_failures=1)
    assert play(both, (0.0, Due()), (1.0, Failed(BOOM))).failure_record.stopped_by is StopCause.CONSECUTIVE
    assert play(both, (0.0, Due()), (1.0, Failed(FATAL))).failure_record.stopped_by is StopCause.FATAL


def test_the_streak_begins_with_its_first_failure_and_delays_grow_with_it() -> None:
    policy = Policy(schedule=Every(60.0), restart_delay=RestartDelay(10.0, 2.0, 100.0, 0.5))
    task = play(policy, (0.0, Due()), (1.0, Failed(BOOM)), (11.0, Due()), (12.0, Failed(BOOM, jitter=0.5)))
    assert (task.next_at, task.due_at, task.failure_record.failing_since) == (27.0, 27.0, 1.0)
    assert (task.failure_record.failures_total, task.failure_record.failed_at) == (2, 12.0)
    assert task.failure_record.recent == ()


def test_an_interrupted_run_is_tried_again_after_the_first_delay() -> None:
    policy = replace(PERIODIC, restart_delay=RestartDelay(10.0, 2.0, 100.0))
    running = play(policy, (0.0, Due()), state=TaskState(State.BACKOFF, 0.0, 0.0, failures=2))
    held, _ = step(policy, running, Interrupted(BOOM), 5.0)
    assert (held.state, held.next_at, held.due_at, held.duration) == (State.HELD, 15.0, 15.0, 5.0)
    assert (held.failure_record.failed_at, held.failure_record.failure) == (5.0, BOOM)
    assert held.failure_record.failures_total == 0
    still, _ = step(policy, held, DependencyDown(), 6.0)
    assert (still.state, still.next_at) == (State.HELD, None)
    assert step(policy, still, DependencyDown(), 7.0)[0] is still
    back, _ = step(policy, still, DependencyUp(2.0), 20.0)
    assert (back.state, back.next_at, back.due_at) == (State.WAITING, 22.0, 22.0)
    assert step(policy, back, DependencyUp(2.0), 30.0) == (back, NOTHING)


@pytest.mark.parametrize("state", list(State))
def test_an_outage_holds_only_what_waits_for_its_run(state: State) -> None:
    needing = replace(PERIODIC, requires=frozenset({"redis"}))
    task = TaskState(state, 50.0, 50.0)
    after, effects = step(needing, task, DependencyDown(), 5.0)
    assert effects is NOTHING
    if state in (State.WAITING, State.BACKOFF, State.HELD):
        assert (after.state, after.next_at, after.due_at) == (State.HELD, None, 50.0)
    else:
        assert after == task


def test_pause_and_resume_of_what_is_so_already_change_nothing() -> None:
    paused = play(PERIODIC, (0.0, Due()), (1.0, Pause("cli:ann")))
    assert paused.next_at is None
    assert step(PERIODIC, paused, Pause("cli:bob"), 2.0) == (paused, NOTHING)
    for state in State:
        task = TaskState(state, 50.0, 50.0)
        resumed, _ = step(PERIODIC, task, Resume("cli:bob"), 2.0)
        assert (resumed == task) == (state is not State.PAUSED)


def test_a_pause_keeps_the_limit_of_the_run_and_takes_back_a_restart() -> None:
    asked = play(LIMITED, (0.0, Due()), (1.0, Restart("cli:ann")))
    assert (asked.next_at, asked.restart_pending, asked.failure_record.last_actor) == (None, True, "cli:ann")
    paused, effects = step(LIMITED, asked, Pause("cli:bob"), 2.0)
    assert effects is STOP_RUN
    assert (paused.restart_pending, paused.failure_record.last_actor) == (False, "cli:bob")
    running = play(replace(PERIODIC, timeout=30.0), (0.0, Due()))
    paused, _ = step(PERIODIC, running, Pause("cli:bob"), 2.0)
    assert paused.next_at == 30.0
    resumed, effects = step(PERIODIC, paused, Resume("cli:eve"), 3.0)
    assert (resumed.next_at, resumed.restart_pending, effects) == (30.0, True, NOTHING)
    assert resumed.failure_record.last_actor == "cli:eve"


@pytest.mark.parametrize("state", list(State))
def test_run_now_of_a_stopped_or_paused_task_leaves_it_so(state: State) -> None:
    running, effects = step(PERIODIC, TaskState(state, 50.0, 50.0), RunNow("cli:ann"), 5.0)
    assert effects is START_RUN
    assert running.state is (state if state in (State.STOPPED, State.PAUSED) else State.RUNNING)
    assert (running.due_at, running.running_since, running.failure_record.last_actor) == (5.0, 5.0, "cli:ann")


def test_the_next_run_counts_from_the_planned_time_with_the_tasks_offset() -> None:
    hourly = Policy(schedule=Cron("0 * * * *", ZoneInfo("UTC")), offset=90.0)
    task = play(hourly, (90.0, Due()), (100.0, Succeeded()))
    assert (task.next_at, task.due_at) == (3690.0, 3690.0)
    rested = play(FOREVER, (0.0, Due()), (7.0, Succeeded()))
    assert (rested.next_at, rested.due_at, rested.started_at) == (17.0, 17.0, 0.0)
    skipping = replace(PERIODIC, skip_missed=True)
    assert play(skipping, (0.0, Due()), (150.0, Succeeded())).next_at == 180.0
    unplanned = TaskState(State.RUNNING, running_since=3.0)
    assert step(PERIODIC, unplanned, Succeeded(), 5.0)[0].next_at == 65.0
