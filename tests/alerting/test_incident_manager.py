"""The incident manager: changes become incidents and queued messages in the transaction of the change."""

from __future__ import annotations

from typing import cast

import pytest

from dozor.alerting.model.codec import stored_facts
from dozor.alerting.reports.runner import RunnerReports
from dozor.storage.journal import Dropped
from dozor.supervision.core.events import Pause
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.observer import Trouble, TroubleKind
from tests.alerting.stage import NAME, Stage
from tests.alerting.story import Tasks, failure


async def test_five_failures_and_a_restart_are_three_messages_of_one_incident(stage: Stage) -> None:
    for _ in range(5):
        stage.story.fail()
    stage.story.restart("telegram:111")
    stage.story.succeed()
    assert await stage.told() == [
        ("repeated_errors", "warning", NAME, 1),
        ("critical_stop", "critical", NAME, 1),
        ("recovered", "info", NAME, 1),
    ]
    assert await stage.incidents() == [(1, "critical_stop", "resolved", 0)]
    payload = await stage.pool.fetchval("SELECT payload FROM dozor.notifications WHERE kind = 'recovered'")
    assert payload["by"] == "telegram:111"
    assert payload["lasted"] == pytest.approx(300.0, abs=61)


async def test_state_incident_and_message_of_a_failure_are_one_transaction(stage: Stage) -> None:
    for _ in range(3):
        stage.story.fail()
    await stage.journal.write()
    xmins = await stage.pool.fetch(
        "SELECT xmin::text FROM dozor.tasks WHERE name = $1 UNION SELECT xmin::text FROM dozor.incidents"
        " UNION SELECT xmin::text FROM dozor.notifications",
        NAME,
    )
    assert len(xmins) == 1
    outcomes = await stage.pool.fetch("SELECT outcome, attempt FROM dozor.runs ORDER BY finished_at")
    assert [tuple(row) for row in outcomes] == [("failed", 1), ("failed", 2), ("failed", 3)]


async def test_a_streak_that_ends_by_itself_before_the_threshold_is_silent(stage: Stage) -> None:
    stage.story.fail()
    stage.story.fail()
    stage.story.succeed()
    assert await stage.told() == []
    assert await stage.incidents() == []


async def test_an_incident_goes_on_after_a_restart_of_the_runner(stage: Stage) -> None:
    for _ in range(3):
        stage.story.fail()
    await stage.again()
    stage.story.fail()
    assert await stage.incidents() == [(1, "repeated_errors", "open", 4)]
    stage.story.fail()
    stage.story.restart()
    stage.story.succeed()
    assert [kind for kind, *_ in await stage.told()] == ["repeated_errors", "critical_stop", "recovered"]
    stage.clock.at += 86_400
    await stage.again()
    for _ in range(3):
        stage.story.fail()
    assert [number for number, *_ in await stage.incidents()] == [1, 2]


async def test_an_incident_of_a_task_that_left_the_configuration_is_closed_quietly(stage: Stage) -> None:
    for _ in range(3):
        stage.story.fail()
    await stage.again()
    stage.manager.resolve_removed_tasks(cast(Supervisor, Tasks()))
    assert [state for _, _, state, _ in await stage.incidents()] == ["resolved"]
    assert [kind for kind, *_ in await stage.told()] == ["repeated_errors"]


async def test_reminders_repeat_until_a_person_pauses_the_task(stage: Stage) -> None:
    for _ in range(5):
        stage.story.fail()
    for _ in range(3):
        stage.clock.at += 1000
        stage.manager.tick(stage.supervisor)
    told = [kind for kind, *_ in await stage.told()]
    assert told == ["repeated_errors", "critical_stop", "reminder"]
    stage.story.apply(Pause("telegram:111"))
    stage.clock.at += 100_000
    stage.manager.tick(stage.supervisor)
    assert [kind for kind, *_ in await stage.told()] == told


async def test_a_checkers_own_words_are_owed_with_its_severity(stage: Stage) -> None:
    stage.manager.checker_alert(stage.story.task, "ledger is off by 3", "critical")
    assert (await stage.told())[0][:3] == ("checker", "critical", NAME)


async def test_an_overflow_is_told_with_its_figures(stage: Stage) -> None:
    stage.journal.append(RunnerReports(stage.manager, stage.clock).dropped(Dropped(runs=7, notifications=2)))
    assert [kind for kind, *_ in await stage.told()] == ["dropped"]
    text = await stage.pool.fetchval("SELECT payload ->> 'text' FROM dozor.notifications")
    assert "7" in text
    assert "2" in text


async def test_cancelled_runs_are_history_and_no_incident(stage: Stage) -> None:
    stage.story.fail(failure())
    stage.story.cancel()
    await stage.journal.write()
    outcomes = await stage.pool.fetch("SELECT outcome FROM dozor.runs ORDER BY finished_at")
    assert [row["outcome"] for row in outcomes] == ["failed", "cancelled"]
    assert await stage.told() == []


async def test_the_incident_says_who_waits_now_without_another_message(stage: Stage) -> None:
    def trouble(*waiting: str) -> Trouble:
        return Trouble(
            kind=TroubleKind.DEPENDENCY,
            subject="node",
            waiting=waiting,
            explains=("first", "second"),
            reason="refused",
        )

    stage.manager.changed(trouble("first"))  # no incident: nothing to correct
    assert not list(stage.manager.open_incidents)
    stage.manager.raised(trouble())
    told = len(await stage.told())
    [before] = list(stage.manager.open_incidents)
    stage.pass_time(10)
    stage.manager.changed(trouble("first", "second"))
    [incident] = list(stage.manager.open_incidents)
    assert stored_facts(incident).lines == ("first", "second")
    assert stored_facts(incident).text == "refused"
    assert incident.updated_at > before.updated_at  # its live message is edited
    assert incident.failures == before.failures
    assert len(await stage.told()) == told
