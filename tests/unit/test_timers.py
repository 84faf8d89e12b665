"""The timetable of the control loop: what is due is looked at in order, whatever one of the looks does."""

from __future__ import annotations

import asyncio
import random

import pytest

from dozor.clock import SteadyClock
from dozor.supervision.timers import SLACK, TimerHeap
from tests.waiting import until


async def test_plans_are_due_in_the_order_of_their_times() -> None:
    clock = SteadyClock()
    seen: list[tuple[float, int]] = []
    early: list[float] = []

    def due(index: int, at: float, now: float) -> None:
        seen.append((at, index))
        early.append(at - clock.now())

    timetable = TimerHeap(clock, due)
    begin = clock.now() + 0.02
    plans = [(begin + random.Random(7).random() * 0.05 + index * 1e-6, index) for index in range(500)]
    for at, index in plans:
        timetable.plan(at, index)
    timetable.start()
    await until(lambda: len(seen) == len(plans))
    timetable.stop()
    assert seen == sorted(plans)
    assert max(early) <= SLACK


async def test_what_is_planned_while_plans_are_looked_at_is_seen() -> None:
    clock = SteadyClock()
    seen: list[int] = []

    def due(index: int, at: float, now: float) -> None:
        seen.append(index)
        if index < 100:
            timetable.plan(now if index % 2 else now + 2 * SLACK, index + 1)

    timetable = TimerHeap(clock, due)
    timetable.plan(clock.now(), 0)
    timetable.start()
    await until(lambda: len(seen) == 101)
    timetable.stop()
    assert seen == list(range(101))
    assert timetable.late_by(clock.now()) == 0.0


async def test_an_interruption_of_a_look_loses_no_other_plan() -> None:
    """A KeyboardInterrupt of a signal may be raised in any line of the control loop."""
    clock = SteadyClock()
    seen: list[int] = []

    def due(index: int, at: float, now: float) -> None:
        seen.append(index)
        if index == 1:
            raise InterruptedError

    timetable = TimerHeap(clock, due)
    at = clock.now()
    for index in range(4):
        timetable.plan(at + index * 1e-5, index)
    loop, caught = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: caught.append(context["exception"]))
    timetable.start()
    await until(lambda: len(seen) == 4)
    timetable.stop()
    assert seen == [0, 1, 2, 3]
    assert [type(error) for error in caught] == [InterruptedError]


@pytest.mark.parametrize("late", [0.0, 5.0])
async def test_how_late_it_is_counts_from_the_earliest_plan(late: float) -> None:
    clock = SteadyClock()
    timetable = TimerHeap(clock, lambda index, at, now: None)
    now = clock.now()
    assert timetable.late_by(now) == 0.0
    for offset in (0.0007, 0.0, 0.0003):
        timetable.plan(now + offset, 1)
    assert timetable.late_by(now + late) == pytest.approx(late, abs=1e-5)


async def test_a_backlog_of_due_plans_leaves_the_loop_to_others() -> None:
    """A leader with 10,000 due tasks on a busy machine must still renew its lease."""
    clock = SteadyClock()
    loop, seen, turns = asyncio.get_running_loop(), 0, 0

    def due(index: int, at: float, now: float) -> None:
        nonlocal seen
        seen += 1
        over = loop.time() + 0.0004
        while loop.time() < over:
            pass

    def turn() -> None:
        nonlocal turns
        turns += 1
        loop.call_soon(turn)

    timetable = TimerHeap(clock, due)
    at = clock.now()
    for index in range(640):
        timetable.plan(at, index)
    loop.call_soon(turn)
    timetable.start()
    await until(lambda: seen == 640)
    timetable.stop()
    assert turns > 5
