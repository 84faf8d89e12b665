"""When a task runs next."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dozor.config.sections.tasks import Continuous, Cron, Every
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.schedule import cron_after, first_due, next_due, stagger

MOSCOW = ZoneInfo("Europe/Moscow")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_fixed_rate_keeps_its_phase_whatever_the_runs_last() -> None:
    assert next_due(Every(10.0), 100.0, 103.0, rest=0) == 110.0
    assert next_due(Every(10.0), 100.0, 110.0, rest=0) == 110.0
    assert next_due(Every(10.0), 100.0, 137.0, rest=0) == 130.0


def test_skipping_missed_ticks_waits_for_the_next_one() -> None:
    assert next_due(Every(10.0), 100.0, 137.0, rest=0, skip_missed=True) == 140.0


def test_a_continuous_task_that_returned_rests() -> None:
    assert next_due(Continuous(), 0.0, 50.0, rest=60.0) == 110.0


def test_cron_ticks_are_local_times() -> None:
    nine = Cron("0 9 * * *", MOSCOW)
    assert cron_after(nine, at("2026-11-24T05:59:00")) == at("2026-11-24T06:00:00")
    assert first_due(nine, at("2026-11-24T06:00:00"), spread=0.5) == at("2026-11-25T06:00:00")


def test_cron_makes_up_for_missed_ticks_once_or_skips_them() -> None:
    hourly = Cron("0 * * * *", ZoneInfo("UTC"))
    due, now = at("2026-11-24T05:00:00"), at("2026-11-24T08:20:00")
    assert next_due(hourly, due, now, rest=0) == now
    assert next_due(hourly, due, now, rest=0, skip_missed=True) == at("2026-11-24T09:00:00")
    assert next_due(hourly, now, now + 5, rest=0) == at("2026-11-24T09:00:00")


def test_the_offset_of_a_task_is_kept_between_its_ticks() -> None:
    hourly = Cron("0 * * * *", ZoneInfo("UTC"))
    five = at("2026-11-24T05:00:00")
    assert first_due(hourly, five + 89, spread=7.0, offset=90.0) == five + 90
    assert first_due(hourly, five + 90, spread=7.0, offset=90.0) == five + 3690
    assert next_due(hourly, five + 90, five + 100, rest=0, offset=90.0) == five + 3690
    assert next_due(hourly, five + 90, five + 3690, rest=0, offset=90.0) == five + 3690
    late = five + 3 * 3600 + 89
    assert next_due(hourly, five + 90, late, rest=0, offset=90.0) == late
    assert next_due(hourly, five + 90, late, rest=0, skip_missed=True, offset=90.0) == late + 1
    assert next_due(hourly, five + 90, late + 1, rest=0, skip_missed=True, offset=90.0) == late + 3601


def test_the_first_run_of_a_task_without_ticks_is_put_off_by_spread_and_offset() -> None:
    assert first_due(Every(60.0), 100.0, spread=7.0, offset=30.0) == 137.0
    assert first_due(Continuous(), 100.0, spread=7.0) == 107.0


def test_an_end_at_a_tick_of_a_fixed_rate_has_not_missed_it() -> None:
    assert next_due(Every(10.0), 100.0, 120.0, rest=0) == 120.0
    assert next_due(Every(10.0), 100.0, 120.0, rest=0, skip_missed=True) == 130.0
    assert next_due(Every(0.5), 100.0, 101.25, rest=0) == 101.0


def test_starts_are_spread_over_a_second_for_each_thousand_and_within_one_interval() -> None:
    rarely, often = Policy(schedule=Every(60.0)), Policy(schedule=Every(0.5))
    assert [stagger(rarely, index, 4000) for index in (0, 1, 2000, 3999)] == [0.0, 0.001, 2.0, 3.999]
    assert [stagger(often, index, 4000) for index in (0, 2000, 4000)] == [0.0, 0.25, 0.5]
    assert [stagger(often, index, 100) for index in (0, 50)] == [0.0, 0.05]
    assert stagger(Policy(schedule=Continuous()), 3000, 4000) == 3.0
    assert stagger(Policy(schedule=Cron("* * * * *", ZoneInfo("UTC"))), 3000, 4000) == 3.0
