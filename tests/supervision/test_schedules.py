"""Cron around every change of clocks: the table that docs/schedules.md explains."""

from __future__ import annotations

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from dozor.config.sections.tasks import Cron
from dozor.supervision.core.events import Due, Succeeded
from dozor.supervision.core.machine import restore, step
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.schedule import cron_after, next_due
from dozor.supervision.core.spec import offset
from dozor.supervision.core.state import State, TaskState
from tests.effort import SOAK

NY, BERLIN, LORD_HOWE = "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"
"""By an hour, at 02:00 and at 02:00 or 03:00; by half an hour, south of the equator."""

TICKS = [
    # --- spring: the clock jumps over the tick
    (NY, "30 2 * * *", "2026-03-07T12:00-05:00", ["03-08T03:00-04:00", "03-09T02:30-04:00"]),
    (NY, "0 2 * * *", "2026-03-07T12:00-05:00", ["03-08T03:00-04:00", "03-09T02:00-04:00"]),
    (NY, "59 2 * * *", "2026-03-07T12:00-05:00", ["03-08T03:00-04:00", "03-09T02:59-04:00"]),
    (NY, "0 3 * * *", "2026-03-07T12:00-05:00", ["03-08T03:00-04:00", "03-09T03:00-04:00"]),
    (NY, "59 1 * * *", "2026-03-07T12:00-05:00", ["03-08T01:59-05:00", "03-09T01:59-04:00"]),
    (NY, "15,45 2 * * *", "2026-03-07T12:00-05:00", ["03-08T03:00-04:00", "03-09T02:15-04:00"]),
    (NY, "30 2 * * 0", "2026-03-07T12:00-05:00", ["03-08T03:00-04:00", "03-15T02:30-04:00"]),
    (NY, "30 2 8 * *", "2026-03-07T12:00-05:00", ["03-08T03:00-04:00", "04-08T02:30-04:00"]),
    (BERLIN, "30 2 * * *", "2026-03-28T12:00+01:00", ["03-29T03:00+02:00", "03-30T02:30+02:00"]),
    (BERLIN, "30 3 * * *", "2026-03-28T12:00+01:00", ["03-29T03:30+02:00", "03-30T03:30+02:00"]),
    (BERLIN, "30 1 * * *", "2026-03-28T12:00+01:00", ["03-29T01:30+01:00", "03-30T01:30+02:00"]),
    (LORD_HOWE, "15 2 * * *", "2026-10-03T12:00+10:30", ["10-04T02:30+11:00", "10-05T02:15+11:00"]),
    (LORD_HOWE, "5 2 * * *", "2026-10-03T12:00+10:30", ["10-04T02:30+11:00", "10-05T02:05+11:00"]),
    (LORD_HOWE, "30 2 * * *", "2026-10-03T12:00+10:30", ["10-04T02:30+11:00", "10-05T02:30+11:00"]),
    # --- spring: a wildcard simply goes on
    (NY, "*/30 * * * *", "2026-03-08T01:00-05:00", ["03-08T01:30-05:00", "03-08T03:00-04:00"]),
    (NY, "0 * * * *", "2026-03-08T00:30-05:00", ["03-08T01:00-05:00", "03-08T03:00-04:00"]),
    (BERLIN, "*/10 * * * *", "2026-03-29T01:45+01:00", ["03-29T01:50+01:00", "03-29T03:00+02:00"]),
    (BERLIN, "0 */2 * * *", "2026-03-28T23:30+01:00", ["03-29T00:00+01:00", "03-29T04:00+02:00"]),
    (LORD_HOWE, "*/15 * * * *", "2026-10-04T01:30+10:30", ["10-04T01:45+10:30", "10-04T02:30+11:00"]),
    # --- autumn: the tick's time comes twice, it runs once
    (NY, "30 1 * * *", "2026-10-31T12:00-04:00", ["11-01T01:30-04:00", "11-02T01:30-05:00"]),
    (NY, "0 1 * * *", "2026-10-31T12:00-04:00", ["11-01T01:00-04:00", "11-02T01:00-05:00"]),
    (NY, "0 2 * * *", "2026-10-31T12:00-04:00", ["11-01T02:00-05:00", "11-02T02:00-05:00"]),
    (NY, "30 1 * * *", "2026-11-01T01:30-04:00", ["11-02T01:30-05:00"]),
    (NY, "30 1 * * *", "2026-11-01T01:10-05:00", ["11-02T01:30-05:00"]),
    (NY, "30 1 1 * *", "2026-10-31T12:00-04:00", ["11-01T01:30-04:00", "12-01T01:30-05:00"]),
    (BERLIN, "30 2 * * *", "2026-10-24T12:00+02:00", ["10-25T02:30+02:00", "10-26T02:30+01:00"]),
    (BERLIN, "30 2 * * 0", "2026-10-24T12:00+02:00", ["10-25T02:30+02:00", "11-01T02:30+01:00"]),
    (BERLIN, "0 3 * * *", "2026-10-24T12:00+02:00", ["10-25T03:00+01:00", "10-26T03:00+01:00"]),
    (LORD_HOWE, "45 1 * * *", "2026-04-04T12:00+11:00", ["04-05T01:45+11:00", "04-06T01:45+10:30"]),
    (LORD_HOWE, "30 1 * * *", "2026-04-04T12:00+11:00", ["04-05T01:30+11:00", "04-06T01:30+10:30"]),
    # --- autumn: a wildcard runs in both hours
    (
        NY,
        "0 * * * *",
        "2026-11-01T00:30-04:00",
        ["11-01T01:00-04:00", "11-01T01:00-05:00", "11-01T02:00-05:00"],
    ),
    (NY, "*/30 * * * *", "2026-11-01T01:00-04:00", ["11-01T01:30-04:00", "11-01T01:00-05:00"]),
    (BERLIN, "*/15 * * * *", "2026-10-25T02:45+02:00", ["10-25T02:00+01:00", "10-25T02:15+01:00"]),
    (BERLIN, "0 */2 * * *", "2026-10-25T00:30+02:00", ["10-25T02:00+02:00", "10-25T02:00+01:00"]),
    (LORD_HOWE, "*/15 * * * *", "2026-04-05T01:45+11:00", ["04-05T01:30+10:30", "04-05T01:45+10:30"]),
    # --- seconds
    (NY, "*/20 * * * * *", "2026-03-08T01:59:30-05:00", ["03-08T01:59:40-05:00", "03-08T03:00-04:00"]),
    (BERLIN, "*/10 * * * * *", "2026-10-25T02:59:45+02:00", ["10-25T02:59:50+02:00", "10-25T02:00+01:00"]),
    (BERLIN, "15 30 2 * * *", "2026-03-28T12:00+01:00", ["03-29T03:00+02:00", "03-30T02:30:15+02:00"]),
    # --- calendar
    (BERLIN, "0 0 31 * *", "2026-02-01T00:00+01:00", ["03-31T00:00+02:00", "05-31T00:00+02:00"]),
    (BERLIN, "0 0 29 2 *", "2027-01-01T00:00+01:00", ["2028-02-29T00:00+01:00", "2032-02-29T00:00+01:00"]),
    (NY, "0 0 1 1 *", "2026-06-01T00:00-04:00", ["2027-01-01T00:00-05:00", "2028-01-01T00:00-05:00"]),
    (NY, "0 12 * * 1-5", "2026-03-06T12:00-05:00", ["03-09T12:00-04:00", "03-10T12:00-04:00"]),
]


def moment(text: str, year: str = "") -> float:
    return datetime.fromisoformat(f"{year}{text}").timestamp()


def expected(texts: list[str], after: str) -> list[float]:
    return [moment(text, "" if text[:2] == "20" else after[:5]) for text in texts]


@pytest.mark.parametrize(("zone", "expression", "after", "ticks"), TICKS)
def test_ticks_around_a_change_of_clocks(zone: str, expression: str, after: str, ticks: list[str]) -> None:
    cron, at = Cron(expression, ZoneInfo(zone)), moment(after)
    found = []
    for _ in ticks:
        at = cron_after(cron, at)
        found.append(at)
    assert found == expected(ticks, after)


def test_the_table_has_at_least_forty_cases_in_three_zones() -> None:
    assert len(TICKS) >= 40
    assert len({zone for zone, *_ in TICKS}) == 3


YEAR = [("2025-12-31", "2026-12-31")]
CHANGES = [("2026-03-05", "2026-04-08"), ("2026-10-01", "2026-11-04")]
"""The weeks with all changes of the clocks in 2026 in the three zones."""


@pytest.mark.parametrize("zone", [NY, BERLIN, LORD_HOWE])
@pytest.mark.parametrize("expression", ["0 * * * *", "*/15 * * * *", "30 2 * * *", "30 1 * * *", "0 0 * * *"])
def test_a_year_of_ticks_goes_forward_and_loses_no_day(zone: str, expression: str) -> None:
    """Daily ones run once each calendar day, hourly ones once each real hour."""
    cron = Cron(expression, ZoneInfo(zone))
    ticks, gaps = [], []
    for first, last in YEAR if SOAK or not expression.startswith("*/15") else CHANGES:
        at, end, found = moment(f"{first}T12:00+00:00"), moment(f"{last}T12:00+00:00"), []
        while (at := cron_after(cron, at)) < end:
            found.append(at)
        ticks += found
        gaps += [later - earlier for earlier, later in itertools.pairwise(found)]
    assert ticks == sorted(set(ticks))
    if expression.startswith(("0 *", "*/15")):
        # 02:00 does not exist on Lord Howe when half an hour is left out: 01:00, then 03:00.
        assert max(gaps) <= (5400 if zone == LORD_HOWE else 3600)
    else:
        assert len(ticks) == 365
        days = {datetime.fromtimestamp(tick, ZoneInfo(zone)).date() for tick in ticks}
        assert len(days) == 365


@pytest.mark.parametrize(
    ("ended", "skip", "due"),
    [
        ("10:00:30", False, "11:00:00"),
        ("10:00:30", True, "11:00:00"),
        ("10:59:59", False, "11:00:00"),
        ("11:00:00", False, "11:00:00"),
        ("11:20:00", False, "11:20:00"),
        ("11:20:00", True, "12:00:00"),
        ("15:20:00", False, "15:20:00"),
        ("15:20:00", True, "16:00:00"),
    ],
)
def test_ticks_missed_by_a_long_run_or_a_stopped_process(ended: str, skip: bool, due: str) -> None:
    hourly = Cron("0 * * * *", ZoneInfo("UTC"))
    day = "2026-07-01T{}+00:00"
    started, now = moment(day.format("10:00:00")), moment(day.format(ended))
    assert next_due(hourly, started, now, rest=0, skip_missed=skip) == moment(day.format(due))


@pytest.mark.parametrize("skip", [False, True])
def test_a_missed_tick_is_made_up_for_once_and_then_the_ticks_go_on(skip: bool) -> None:
    hourly = Policy(schedule=Cron("0 * * * *", ZoneInfo("UTC")), skip_missed=skip)
    ten = moment("2026-07-01T10:00:00+00:00")
    task = TaskState(State.WAITING, ten, ten)
    starts, now = [], ten
    for seconds in (4 * 3600 + 1200, 10, 10):
        task, _ = step(hourly, task, Due(), now)
        starts.append(now - ten)
        task, _ = step(hourly, task, Succeeded(), now + seconds)
        assert task.next_at is not None
        now = max(now + seconds, task.next_at)
    assert starts == ([0, 5 * 3600, 6 * 3600] if skip else [0, 4 * 3600 + 1200, 5 * 3600])


def test_run_at_start_runs_once_and_then_as_scheduled() -> None:
    nightly = Policy(schedule=Cron("0 3 * * *", ZoneInfo("UTC")), run_at_start=True)
    noon = moment("2026-07-01T12:00:00+00:00")
    task = restore(nightly, None, noon)
    assert task.next_at == noon
    task, _ = step(nightly, task, Due(), noon)
    task, _ = step(nightly, task, Succeeded(), noon + 60)
    assert task.next_at == moment("2026-07-02T03:00:00+00:00")
    assert restore(nightly, task, noon + 120).next_at == noon + 120, "the next start is a start again"


def test_a_thousand_tasks_of_one_tick_start_apart_and_lose_none() -> None:
    hourly = Cron("0 * * * *", ZoneInfo("UTC"))
    ten = moment("2026-07-01T10:00:00+00:00")
    starts = []
    for number in range(1000):
        late = offset(f"task_{number}", 60.0)
        policy = Policy(schedule=hourly, offset=late)
        task = TaskState(State.WAITING, ten + late, ten + late)
        for hour in range(3):
            assert task.next_at == ten + hour * 3600 + late, "always as late, never a tick left out"
            starts.append(task.next_at)
            task, _ = step(policy, task, Due(), task.next_at)
            task, _ = step(policy, task, Succeeded(), (task.running_since or 0) + 1)
    first = sorted(starts)[:1000]
    assert 50 < first[-1] - first[0] < 60
    assert len({round(start, 2) for start in first}) > 900
