"""When a task runs next."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dozor.config.sections.tasks import Continuous, Cron, Every
from dozor.supervision.core.schedule import cron_after, first_due, next_due

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
