"""The state machine of a task, event by event: pure, no clock, no loop."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.config.sections.tasks import Continuous, Cron, Every, Schedule
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
from dozor.supervision.core.policy import Policy, RestartDelay
from dozor.supervision.core.state import FailureRecord, State, TaskState
from tests.unit.machines import BOOM, FATAL, FOREVER, PERIODIC, PROBED, failing, play


def test_a_new_task_waits_and_starts_when_it_is_due() -> None:
    task = restore(PERIODIC, None, 5.0)
    assert (task.state, task.next_at) == (State.WAITING, 5.0)
    running, effects = step(PERIODIC, task, Due(), 5.0)
    assert effects is START_RUN
    assert (running.state, running.running_since, running.runs_total) == (State.RUNNING, 5.0, 1)


def test_success_waits_for_the_next_tick_of_the_fixed_rate() -> None:
    task = play(PERIODIC, (0.0, Due()), (7.0, Succeeded()))
    assert (task.state, task.next_at, task.succeeded_at, task.duration) == (State.WAITING, 60.0, 7.0, 7.0)


def test_ticks_missed_by_a_long_run_become_one() -> None:
    task = play(PERIODIC, (0.0, Due()), (150.0, Succeeded()))
    assert task.next_at == 120.0
    task = play(PERIODIC, (0.0, Due()), (150.0, Succeeded()), (150.0, Due()), (151.0, Succeeded()))
    assert task.next_at == 180.0


def test_a_failure_waits_for_the_restart_delay_and_counts() -> None:
    task = play(PERIODIC, (0.0, Due()), (1.0, Failed(BOOM)))
    assert (task.state, task.failures, task.next_at) == (State.BACKOFF, 1, 11.0)
    assert task.failure_record == FailureRecord(
        failures_total=1, failing_since=1.0, failed_at=1.0, failure=BOOM
    )


def test_a_success_after_failures_resets_the_streak_and_keeps_the_last_error() -> None:
    task = play(PERIODIC, (20.0, Due()), (21.0, Succeeded()), state=failing(PERIODIC, 2))
    assert (task.state, task.failures, task.failure_record.failing_since) == (State.WAITING, 0, None)
    assert task.failure_record.failure == BOOM
    assert task.failure_record.failures_total == 2


def test_failures_in_a_row_stop_the_task_and_nothing_is_planned() -> None:
    task = failing(PERIODIC, 3)
    assert (task.state, task.failures, task.next_at) == (State.STOPPED, 3, None)
    assert step(PERIODIC, task, Due(), 1e9)[0].state is State.STOPPED


def test_without_a_limit_a_task_is_never_stopped() -> None:
    endless = Policy(schedule=Every(60.0), max_consecutive_failures=None)
    assert failing(endless, 50).state is State.BACKOFF


def test_a_fatal_failure_stops_at_once() -> None:
    task = play(PERIODIC, (0.0, Due()), (1.0, Failed(FATAL)))
    assert (task.state, task.failures) == (State.STOPPED, 1)


def test_a_stopped_task_with_a_retry_is_probed_and_comes_back_by_itself() -> None:
    policy = Policy(schedule=Every(60.0), max_consecutive_failures=1, stop_retry_every=600.0)
    task = play(policy, (0.0, Due()), (0.0, Failed(BOOM)))
    assert (task.state, task.next_at) == (State.STOPPED, 600.0)
    probing, effects = step(policy, task, Due(), 600.0)
    assert effects is START_RUN
    assert probing.state is State.STOPPED
    assert step(policy, probing, Failed(BOOM), 601.0)[0].next_at == 1201.0
    assert step(policy, probing, Succeeded(), 601.0)[0].state is State.WAITING


def test_restart_of_a_stopped_task_starts_now_with_a_new_streak() -> None:
    task, effects = step(PERIODIC, failing(PERIODIC, 3), Restart("cli:ann"), 100.0)
    assert effects is START_RUN
    assert (task.state, task.failures, task.running_since, task.failure_record.last_actor) == (
        State.RUNNING,
        0,
        100.0,
        "cli:ann",
    )
    assert task.failure_record.failing_since == 0.0, (
        "since when it is broken is not forgotten before it works"
    )


def test_restart_of_a_running_task_stops_the_run_and_starts_anew_when_it_has_ended() -> None:
    running = play(FOREVER, (0.0, Due()))
    asked, effects = step(FOREVER, running, Restart("cli:ann"), 5.0)
    assert effects is STOP_RUN
    assert asked.restart_pending
    for ending in (Cancelled(), Succeeded(), Failed(BOOM)):
        anew, effects = step(FOREVER, asked, ending, 6.0)
        assert effects is START_RUN
        assert (anew.state, anew.running_since, anew.restart_pending, anew.failures) == (
            State.RUNNING,
            6.0,
            False,
            0,
        )


def test_pause_of_a_waiting_task_plans_nothing_and_resume_runs_now() -> None:
    paused, effects = step(PERIODIC, restore(PERIODIC, None, 0.0), Pause("cli:ann"), 1.0)
    assert (paused.state, paused.next_at, effects) == (State.PAUSED, None, NOTHING)
    resumed, _ = step(PERIODIC, paused, Resume("cli:bob"), 50.0)
    assert (resumed.state, resumed.next_at, resumed.failure_record.last_actor) == (
        State.WAITING,
        50.0,
        "cli:bob",
    )


def test_pause_lets_a_periodic_run_finish_and_asks_a_continuous_one_to_stop() -> None:
    for policy, asked in ((PERIODIC, ASK_TO_STOP), (FOREVER, STOP_RUN)):
        paused, effects = step(policy, play(policy, (0.0, Due())), Pause("cli:ann"), 1.0)
        assert effects is asked
        assert (paused.state, paused.running_since) == (State.PAUSED, 0.0)
        ended, effects = step(policy, paused, Succeeded(), 2.0)
        assert (ended.state, ended.next_at, ended.running_since, effects) == (
            State.PAUSED,
            None,
            None,
            NOTHING,
        )


def test_resume_while_the_paused_run_still_finishes_starts_anew_after_it() -> None:
    paused = play(FOREVER, (0.0, Due()), (1.0, Pause("cli:ann")), (2.0, Resume("cli:ann")))
    assert paused.state is State.RUNNING
    anew, effects = step(FOREVER, paused, Cancelled(), 3.0)
    assert effects is START_RUN
    assert anew.running_since == 3.0


@pytest.mark.parametrize("state", [State.WAITING, State.BACKOFF, State.STOPPED, State.PAUSED, State.HELD])
def test_run_now_starts_one_run_and_a_second_one_does_not_start_beside_it(state: State) -> None:
    task = TaskState(state=state)
    running, effects = step(PERIODIC, task, RunNow("cli:ann"), 5.0)
    assert effects is START_RUN
    assert running.running_since == 5.0
    assert step(PERIODIC, running, RunNow("cli:ann"), 6.0) == (running, NOTHING)


def test_a_timeout_asks_for_the_end_of_the_run() -> None:
    policy = Policy(schedule=Every(60.0), timeout=30.0)
    running = play(policy, (0.0, Due()))
    assert running.next_at == 30.0
    assert step(policy, running, Due(), 30.0)[1] is TIME_OUT


def test_a_continuous_run_that_stays_healthy_ends_the_streak() -> None:
    running, _ = step(FOREVER, failing(FOREVER, 2), Due(), 20.0)
    assert running.next_at == 120.0
    proven, effects = step(FOREVER, running, Due(), 120.0)
    assert (proven.state, proven.failures, proven.running_since, effects) == (State.RUNNING, 0, 20.0, NOTHING)


def test_a_heartbeat_of_a_continuous_run_ends_the_streak_and_that_of_a_periodic_one_does_not() -> None:
    running, _ = step(FOREVER, failing(FOREVER, 2), Due(), 20.0)
    assert step(FOREVER, running, Heartbeat(), 21.0)[0].failures == 0
    running, _ = step(PERIODIC, failing(PERIODIC, 2), Due(), 20.0)
    assert step(PERIODIC, running, Heartbeat(), 21.0)[0].failures == 2


def test_an_outage_holds_the_task_and_leaves_its_streak_alone() -> None:
    running, _ = step(PERIODIC, failing(PERIODIC, 2), Due(), 20.0)
    held, _ = step(PERIODIC, running, Interrupted(BOOM), 21.0)
    assert (held.state, held.failures, held.next_at) == (State.HELD, 2, 31.0)
    assert step(PERIODIC, held, Due(), 31.0)[1] is START_RUN, "also when nobody tells that the outage is over"
    back, _ = step(PERIODIC, held, DependencyUp(spread=0.5), 400.0)
    assert (back.state, back.next_at) == (State.WAITING, 400.5)


def test_only_tasks_that_require_the_database_are_held_before_they_run() -> None:
    needing = Policy(schedule=Every(60.0), requires_database=True)
    assert step(needing, TaskState(next_at=5.0), DependencyDown(), 1.0)[0].state is State.HELD
    assert step(PERIODIC, TaskState(next_at=5.0), DependencyDown(), 1.0)[0].state is State.WAITING


def test_the_end_of_the_process_is_neither_success_nor_failure() -> None:
    task = play(PERIODIC, (0.0, Due()), (5.0, Cancelled()))
    assert (task.state, task.next_at, task.failures, task.succeeded_at) == (State.WAITING, 5.0, 0, None)


@pytest.mark.parametrize(
    ("stored", "expected", "next_at"),
    [
        (TaskState(State.STOPPED, None, failures=3), State.STOPPED, None),
        (TaskState(State.PAUSED, None), State.PAUSED, None),
        (TaskState(State.BACKOFF, 105.0, 105.0, failures=2), State.BACKOFF, 105.0),
        (TaskState(State.BACKOFF, 50.0, 50.0, failures=2), State.BACKOFF, 100.0),
        (TaskState(State.BACKOFF, 9999.0, 9999.0, failures=2), State.BACKOFF, 110.0),
        (TaskState(State.RUNNING, None, 90.0, running_since=90.0), State.WAITING, 100.0),
        (TaskState(State.HELD, None), State.WAITING, 100.0),
        (TaskState(State.WAITING, 130.0, 130.0), State.WAITING, 130.0),
        (TaskState(State.WAITING, 40.0, 40.0), State.WAITING, 100.0),
        (TaskState(State.WAITING, 9999.0, 9999.0), State.WAITING, 100.0),
    ],
)
def test_a_new_process_begins_where_the_old_one_ended(
    stored: TaskState, expected: State, next_at: float | None
) -> None:
    task = restore(PERIODIC, stored, 100.0)
    assert (task.state, task.next_at, task.running_since) == (expected, next_at, None)
    assert task.failures == stored.failures


@pytest.mark.parametrize(
    ("schedule", "due", "next_at"),
    [
        (Every(60.0), 40.0, 160.0),
        (Every(60.0), 130.0, 130.0),
        (Cron("0 * * * *", ZoneInfo("UTC")), 3600.0 * 5, 3600.0 * 6),
        (Continuous(), 40.0, 100.0),
    ],
)
def test_ticks_missed_while_nobody_was_on_watch_are_skipped_where_asked(
    schedule: Schedule, due: float, next_at: float
) -> None:
    policy = Policy(schedule=schedule, skip_missed=True)
    now = 100.0 if due < 200 else 3600.0 * 5 + 60
    assert restore(policy, TaskState(State.WAITING, due, due), now).next_at == next_at


def test_exponential_delays_grow_to_their_cap_and_jitter_only_shortens_them() -> None:
    delay = RestartDelay(initial=1.0, factor=2.0, max=60.0, jitter=0.5)
    assert [delay.after(n, 0.0) for n in (1, 2, 3, 7, 5000)] == [1.0, 2.0, 4.0, 60.0, 60.0]
    assert delay.after(3, 1.0) == 2.0


EVENTS = st.sampled_from(
    [
        Due(), Succeeded(), Failed(BOOM), Failed(FATAL), Cancelled(), Interrupted(BOOM), Heartbeat(),
        DependencyDown(), DependencyUp(), Restart("a"), Pause("a"), Resume("a"), RunNow("a"),
    ]
)  # fmt: skip
RUN_EVENTS = (Succeeded, Failed, Cancelled, Interrupted)


@given(st.lists(EVENTS, max_size=60), st.sampled_from([PERIODIC, FOREVER]))
def test_whatever_happens_there_is_never_a_second_run_and_never_a_task_without_a_next_step(
    events: list[Event], policy: Policy
) -> None:
    task, now, in_progress = restore(policy, None, 0.0), 0.0, False
    for event in events:
        if isinstance(event, RUN_EVENTS) and not in_progress:
            continue  # no run, so none can end
        if isinstance(event, Due):
            if task.next_at is None:
                continue
            now = max(now, task.next_at)
        now += 0.5
        if isinstance(event, RUN_EVENTS):
            in_progress = False
        task, effects = step(policy, task, event, now)
        if effects is START_RUN:
            assert not in_progress
            in_progress = True
        assert (task.running_since is not None) == in_progress
        # A task that is held before it ran waits for `DependencyUp`, which follows every `DependencyDown`.
        waits_for_somebody = task.state in (State.STOPPED, State.PAUSED, State.HELD)
        assert in_progress or task.next_at is not None or waits_for_somebody
        assert task.failures <= 3 or task.state in (State.STOPPED, State.PAUSED, State.RUNNING)


def test_a_probe_that_was_cut_short_is_followed_by_the_next_one() -> None:
    """A reload of its rules, or the end of the worker that ran it, cancels a probe."""
    probing = play(PROBED, (0.0, Due()), (0.0, Failed(BOOM)), (600.0, Due()))
    for ending in (Cancelled(), Interrupted(BOOM), Failed(BOOM)):
        ended, effects = step(PROBED, probing, ending, 605.0)
        assert (ended.state, ended.next_at, ended.due_at) == (State.STOPPED, 1205.0, 1205.0)
        assert (ended.running_since, ended.duration, effects) == (None, 5.0, NOTHING)
    without = replace(PROBED, stop_retry_every=None)
    asked = play(without, (0.0, Due()), (0.0, Failed(BOOM)), (600.0, RunNow("cli:ann")))
    assert step(without, asked, Cancelled(), 605.0)[0].next_at is None
