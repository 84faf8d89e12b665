"""A wall clock that is set, a machine that sleeps: who follows, and who goes on as before."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from dozor.clock import ClockChange, SteadyClock
from dozor.config.sections.tasks import Continuous, Cron, Every, Schedule
from dozor.supervision.core.clock_change import after_change
from dozor.supervision.core.events import Due, Succeeded
from dozor.supervision.core.machine import step
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.monitoring.task_monitor import TaskMonitor
from tests.supervision.stage import Seen, spec, state_of, supervising

HOUR = 3600.0
TEN = 1_782_900_000.0 - 1_782_900_000.0 % HOUR
"""Some full hour, as seconds since the epoch."""
HOURLY = Cron("0 * * * *", ZoneInfo("UTC"))
HALF_PAST = TEN - HOUR / 2


class Machine:
    """The clocks of a machine, turned by the test."""

    def __init__(self) -> None:
        self.wall = HALF_PAST
        self.awake = 100.0
        self.slept = 0.0

    def clock(self) -> SteadyClock:
        return SteadyClock(
            wall=lambda: self.wall,
            awake=lambda: self.awake,
            awake_and_asleep=lambda: self.awake + self.slept,
        )

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.awake += seconds

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.slept += seconds


def waiting(at: float) -> TaskState:
    return TaskState(State.WAITING, at, at)


def test_the_steady_clock_tells_a_clock_that_was_set_from_a_machine_that_slept() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wait(10)
    assert clock.look() == ClockChange(slept=0.0, step=0.0)
    machine.wall -= 2 * HOUR
    machine.sleep(600)
    change = clock.look()
    assert (change.slept, change.step) == (600.0, -2 * HOUR)
    assert clock.now() == HALF_PAST + 10, "nobody is surprised before everybody follows"
    clock.follow(change)
    assert clock.now() == machine.wall
    assert clock.look().total == 0.0


@pytest.mark.parametrize(("slept", "step_by"), [(0.0, 24 * HOUR), (8 * HOUR, 0.0), (0.0, -24 * HOUR)])
def test_time_that_passed_is_known_across_a_change_of_the_wall_clock(slept: float, step_by: float) -> None:
    machine = Machine()
    clock = machine.clock()
    before = clock.now()
    machine.wait(10)
    machine.sleep(slept)
    machine.wall += step_by
    clock.follow(clock.look())
    after = clock.now()
    machine.wait(5)
    assert clock.now() - clock.in_present_time(before) == pytest.approx(15.0)
    assert clock.now() - clock.in_present_time(after) == pytest.approx(5.0)
    machine.wall += 60.0
    clock.follow(clock.look())
    assert clock.now() - clock.in_present_time(before) == pytest.approx(15.0)
    assert clock.now() - clock.in_present_time(after) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("name", "schedule", "skip", "slept", "step_by", "next_at"),
    [
        # cron follows the wall clock: it is 09:30, the next tick is at 10:00
        ("forward, no tick between", HOURLY, False, 0.0, 600.0, TEN),
        ("forward over one tick: made up for at once", HOURLY, False, 0.0, HOUR, TEN),
        ("forward over one tick: skipped", HOURLY, True, 0.0, HOUR, TEN + HOUR),
        ("forward over five ticks: made up for once", HOURLY, False, 0.0, 5 * HOUR, TEN),
        ("forward over five ticks: skipped", HOURLY, True, 0.0, 5 * HOUR, TEN + 5 * HOUR),
        ("back by an hour: 09:00 is not made again", HOURLY, False, 0.0, -HOUR, TEN),
        ("back by three hours: nothing is made again", HOURLY, False, 0.0, -3 * HOUR, TEN),
        ("back by more than three hours: made again", HOURLY, False, 0.0, -3 * HOUR - 1, TEN - 3 * HOUR),
        ("back by a day: it was wrong before", HOURLY, False, 0.0, -24 * HOUR, TEN - 24 * HOUR),
        ("asleep over one tick", HOURLY, False, HOUR, 0.0, TEN),
        ("asleep over one tick: skipped", HOURLY, True, HOUR, 0.0, TEN + HOUR),
        ("asleep over eight ticks", HOURLY, False, 8 * HOUR, 0.0, TEN),
        ("asleep, and the clock set back", HOURLY, False, 2 * HOUR, -HOUR, TEN),
        # intervals go by time that passed: due in half an hour
        ("every: forward", Every(HOUR), False, 0.0, 5 * HOUR, TEN + 5 * HOUR),
        ("every: back", Every(HOUR), False, 0.0, -5 * HOUR, TEN - 5 * HOUR),
        ("every: asleep past its time", Every(HOUR), False, 2 * HOUR, 0.0, TEN),
        ("every: asleep past its time, skipped", Every(HOUR), True, 2 * HOUR, 0.0, TEN + 2 * HOUR),
        ("every: asleep, not yet due", Every(HOUR), False, 600.0, 0.0, TEN),
        ("every: asleep, not yet due, skipped", Every(600.0), True, 600.0, 0.0, TEN),
        ("every: asleep until it is due, skipped", Every(600.0), True, HOUR / 2, 0.0, TEN),
        ("every: asleep past four of its times, skipped", Every(600.0), True, HOUR + 300, 0.0, TEN + 2400),
        ("every: forward, skipped", Every(HOUR), True, 0.0, 5 * HOUR, TEN + 5 * HOUR),
        ("every: asleep, and the clock set back, skipped", Every(HOUR), True, 2 * HOUR, -HOUR, TEN + HOUR),
        ("continuous: forward", Continuous(), False, 0.0, HOUR, TEN + HOUR),
        ("continuous: back", Continuous(), False, 0.0, -HOUR, TEN - HOUR),
    ],
)
def test_what_is_planned_for_ten_at_half_past_nine(
    name: str,
    schedule: Schedule,
    skip: bool,
    slept: float,
    step_by: float,
    next_at: float,
) -> None:
    policy = Policy(schedule=schedule, skip_missed=skip)
    change = ClockChange(slept=slept, step=step_by)
    after = after_change(policy, waiting(TEN), change, HALF_PAST + change.total)
    assert after.next_at == next_at


@pytest.mark.parametrize("step_by", [-3 * HOUR, -HOUR, HOUR])
def test_a_tick_that_was_made_is_not_made_again_after_the_clock_was_set(step_by: float) -> None:
    policy = Policy(schedule=HOURLY)
    task, _ = step(policy, waiting(TEN), Due(), TEN)
    change = ClockChange(slept=0.0, step=step_by)
    now = TEN + 10 + step_by
    task = after_change(policy, task, change, now)
    task, _ = step(policy, task, Succeeded(), now)
    assert task.next_at is not None
    assert task.next_at > TEN
    assert task.next_at <= max(TEN + HOUR, now)


@pytest.mark.parametrize(("slept", "step_by"), [(8 * HOUR, 0.0), (0.0, 8 * HOUR), (0.0, -8 * HOUR)])
def test_a_time_limit_counts_time_awake(slept: float, step_by: float) -> None:
    policy = Policy(schedule=Every(HOUR), timeout=60.0)
    task, _ = step(policy, waiting(TEN), Due(), TEN)
    change = ClockChange(slept=slept, step=step_by)
    now = TEN + 10 + change.total
    task = after_change(policy, task, change, now)
    assert task.next_at == now + 50
    same, effects = step(policy, task, Due(), now + 40)
    assert (same.running_since, effects) == (now - 10, ())


@pytest.mark.parametrize("step_by", [-HOUR, HOUR])
def test_a_backoff_lasts_as_long_as_it_should(step_by: float) -> None:
    policy = Policy(schedule=HOURLY)
    task = TaskState(State.BACKOFF, TEN + 60, TEN + 60, failures=1)
    after = after_change(policy, task, ClockChange(slept=0.0, step=step_by), TEN + step_by)
    assert after.next_at == TEN + 60 + step_by


@pytest.mark.parametrize("state", [State.BACKOFF, State.HELD, State.STOPPED, State.PAUSED])
@pytest.mark.parametrize("schedule", [HOURLY, Every(HOUR), Continuous()])
def test_only_ticks_are_skipped_and_a_delay_that_a_sleep_has_used_up_is_over(
    state: State, schedule: Schedule
) -> None:
    policy = Policy(schedule=schedule, skip_missed=True)
    task = TaskState(state, TEN, TEN)
    after = after_change(policy, task, ClockChange(slept=2 * HOUR, step=600.0), TEN + 2 * HOUR)
    assert (after.next_at, after.due_at) == (TEN + 600.0, TEN + 600.0)
    unplanned = task._replace(next_at=None)
    assert after_change(policy, unplanned, ClockChange(slept=0.0, step=HOUR), TEN) is unplanned


@pytest.mark.parametrize(
    ("schedule", "step_by", "due"),
    [
        (Every(HOUR), -HOUR, TEN - HOUR),
        (Every(HOUR), HOUR, TEN + HOUR),
        (Continuous(), -4 * HOUR, TEN - 4 * HOUR),
        (HOURLY, HOUR, TEN),
        (HOURLY, -3 * HOUR, TEN),
        (HOURLY, -3 * HOUR - 1, TEN - 3 * HOUR + 9),
    ],
)
def test_the_times_of_a_run_in_progress_follow_the_clock(
    schedule: Schedule, step_by: float, due: float
) -> None:
    running = TaskState(State.RUNNING, TEN + 60, TEN, TEN + 1, started_at=TEN + 1)
    change = ClockChange(slept=0.0, step=step_by)
    after = after_change(Policy(schedule=schedule), running, change, TEN + 10 + step_by)
    assert after.due_at == due
    assert after.running_since == after.started_at == TEN + 1 + step_by
    assert after.next_at == TEN + 60 + step_by
    bare = running._replace(next_at=None, due_at=None, started_at=None)
    after = after_change(Policy(schedule=schedule), bare, change, TEN + 10 + step_by)
    assert after == bare._replace(running_since=TEN + 1 + step_by)


def test_a_sleep_moves_the_run_and_not_the_tick_of_its_interval() -> None:
    running = TaskState(State.RUNNING, TEN + 60, TEN, TEN + 1, started_at=TEN + 1)
    change = ClockChange(slept=600.0, step=0.0)
    after = after_change(Policy(schedule=Every(HOUR)), running, change, TEN + 610)
    assert (after.due_at, after.running_since, after.next_at) == (TEN, TEN + 601, TEN + 660)


@pytest.mark.parametrize(("skip", "step_by", "next_at"), [(True, HOUR, 90.0), (False, -24 * HOUR, 90.0)])
def test_cron_keeps_the_offset_of_its_task(skip: bool, step_by: float, next_at: float) -> None:
    """It is half a minute after the tick by the new time, and the task comes a minute and a half after it."""
    policy = Policy(schedule=HOURLY, skip_missed=skip, offset=90.0)
    now = TEN + 30.0 + step_by
    task = waiting(now - 3600.0 if skip else TEN + 90.0)
    after = after_change(policy, task, ClockChange(slept=0.0, step=step_by), now)
    assert after.next_at == TEN + step_by + next_at


async def nothing() -> None:
    pass


async def test_the_patrol_follows_the_wall_clock_and_nobody_is_overdue_for_it() -> None:
    machine = Machine()
    clock = machine.clock()
    hourly = spec("hourly", nothing, schedule=HOURLY, overdue_after=2 * HOUR)
    often = spec("often", nothing, schedule=Every(HOUR), overdue_after=2 * HOUR)
    async with supervising(hourly, often, clock=clock) as (supervisor, _):
        seen = Seen()
        monitor = TaskMonitor(supervisor, seen, clock)
        before = state_of(supervisor, "hourly").next_at
        monitor.check()
        assert state_of(supervisor, "hourly").next_at == before
        machine.wall += 600.0
        monitor.check()
        assert clock.now() == machine.wall
        assert state_of(supervisor, "hourly").next_at == TEN
        machine.wall += 12 * HOUR
        monitor.check()
        assert not seen.troubles
        machine.wait(3 * HOUR)
        for name in ("hourly", "often"):
            task = supervisor.find(name)
            assert task is not None
            task.state = task.state._replace(state=State.WAITING)
        monitor.check()
        assert {trouble.subject for trouble in seen.troubles} == {"hourly", "often"}
