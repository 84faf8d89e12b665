"""How many runs were due while no runner was running."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from dozor.config.sections.tasks import Continuous, Cron, Every
from dozor.storage.tables.tasks import TaskRow
from dozor.supervision.core.misfires import CRON_TICKS, Misfires, missed
from dozor.supervision.core.policy import Policy

SINCE = 1_764_000_000.0  # 16:00:00 UTC
EVERY = Policy(schedule=Every(60.0))
MINUTELY = Policy(schedule=Cron("* * * * *", ZoneInfo("UTC")))
ROW = TaskRow(
    name="t",
    state="waiting",
    consecutive_failures=0,
    runs_total=7,
    failures_total=0,
    last_started_at=None,
    last_success_at=None,
    last_duration=None,
    failing_since=None,
    last_failed_at=None,
    last_error_type=None,
    last_error_text=None,
    last_error_where=None,
    next_run_at=SINCE + 10,
    running_since=None,
    state_by=None,
)


@pytest.mark.parametrize(
    ("gap", "expected"), [(0.0, 0), (9.9, 0), (10.0, 1), (69.9, 1), (70.0, 2), (190.0, 4)]
)
def test_ticks_of_a_fixed_rate_are_those_in_the_gap(gap: float, expected: int) -> None:
    assert missed([(EVERY, ROW)], SINCE, SINCE + gap).runs == expected


def test_a_row_older_than_the_last_sign_of_life_does_not_count_what_was_run() -> None:
    stale = replace(ROW, next_run_at=SINCE - 50)
    assert missed([(EVERY, stale)], SINCE, SINCE + 70).runs == 2
    older = replace(ROW, next_run_at=SINCE - 130)
    assert [missed([(EVERY, older)], SINCE, SINCE + gap).runs for gap in (49, 50, 109, 110)] == [0, 1, 1, 2]
    at_the_sign = replace(ROW, next_run_at=SINCE)
    assert [missed([(EVERY, at_the_sign)], SINCE, SINCE + gap).runs for gap in (59, 60)] == [0, 1]
    assert missed([(EVERY, replace(ROW, next_run_at=None))], SINCE, SINCE + 600).runs == 0


def test_a_first_tick_further_away_than_one_interval_is_waited_for() -> None:
    far = replace(ROW, next_run_at=SINCE + 150)
    assert [missed([(EVERY, far)], SINCE, SINCE + gap).runs for gap in (149, 150, 210)] == [0, 1, 2]


def test_a_run_that_was_cut_off_counts_from_its_start() -> None:
    running = replace(ROW, state="running", next_run_at=None, running_since=SINCE - 5)
    assert missed([(EVERY, running)], SINCE, SINCE + 54).runs == 0
    assert missed([(EVERY, running)], SINCE, SINCE + 55).runs == 1


def test_a_restart_after_a_failure_is_one_run() -> None:
    backoff = replace(ROW, state="backoff")
    assert missed([(EVERY, backoff)], SINCE, SINCE + 600).runs == 1
    assert missed([(EVERY, backoff)], SINCE, SINCE + 9).runs == 0
    assert missed([(EVERY, backoff)], SINCE, SINCE + 10).runs == 1
    assert missed([(EVERY, backoff)], SINCE + 10, SINCE + 600).runs == 0, "it was run"
    assert missed([(EVERY, backoff)], SINCE + 60, SINCE + 600).runs == 0
    assert missed([(EVERY, replace(backoff, next_run_at=None))], SINCE, SINCE + 600).runs == 0


@pytest.mark.parametrize("state", ["stopped", "paused", "held"])
def test_what_was_not_to_run_has_missed_nothing(state: str) -> None:
    assert missed([(EVERY, replace(ROW, state=state))], SINCE, SINCE + 600) == Misfires()


def test_a_continuous_task_has_no_schedule_to_miss() -> None:
    continuous = Policy(schedule=Continuous())
    assert missed([(continuous, ROW)], SINCE, SINCE + 600) == Misfires()


def test_ticks_of_cron_are_counted_with_the_tasks_own_offset() -> None:
    assert missed([(MINUTELY, ROW)], SINCE, SINCE + 180).runs == 3
    late = replace(MINUTELY, offset=30.0)
    assert missed([(late, ROW)], SINCE, SINCE + 180).runs == 3
    assert missed([(late, ROW)], SINCE, SINCE + 29).runs == 0


def test_all_tasks_together_and_no_more_ticks_than_are_cheap() -> None:
    policies = (EVERY, MINUTELY, Policy(schedule=Continuous()))
    count = missed([(policy, ROW) for policy in policies], SINCE, SINCE + 60)
    assert count == Misfires(tasks=2, runs=2)
    week = missed([(MINUTELY, ROW)] * 3, SINCE, SINCE + 7 * 86_400)
    assert week.runs == CRON_TICKS
    assert week.more
    assert missed([(MINUTELY, ROW)], SINCE, SINCE + 60 * (CRON_TICKS - 1)) == Misfires(1, CRON_TICKS - 1)
