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
from tests.alerting.room import NAME, Room
from tests.alerting.story import Tasks, failure


async def test_five_failures_and_a_restart_are_three_messages_of_one_incident(room: Room) -> None:
    for _ in range(5):
        room.story.fail()
    room.story.restart("telegram:111")
    room.story.succeed()
    assert await room.told() == [
        ("repeated_errors", "warning", NAME, 1),
        ("critical_stop", "critical", NAME, 1),
        ("recovered", "info", NAME, 1),
    ]
    assert await room.incidents() == [(1, "critical_stop", "resolved", 0)]
    payload = await room.pool.fetchval("SELECT payload FROM dozor.notifications WHERE kind = 'recovered'")
    assert payload["by"] == "telegram:111"
    assert payload["lasted"] == pytest.approx(300.0, abs=61)


async def test_state_incident_and_message_of_a_failure_are_one_transaction(room: Room) -> None:
    for _ in range(3):
        room.story.fail()
    await room.journal.write()
    xmins = await room.pool.fetch(
        "SELECT xmin::text FROM dozor.tasks WHERE name = $1 UNION SELECT xmin::text FROM dozor.incidents"
        " UNION SELECT xmin::text FROM dozor.notifications",
        NAME,
    )
    assert len(xmins) == 1
    outcomes = await room.pool.fetch("SELECT outcome, attempt FROM dozor.runs ORDER BY finished_at")
    assert [tuple(row) for row in outcomes] == [("failed", 1), ("failed", 2), ("failed", 3)]


async def test_a_streak_that_ends_by_itself_before_the_threshold_is_silent(room: Room) -> None:
    room.story.fail()
    room.story.fail()
    room.story.succeed()
    assert await room.told() == []
    assert await room.incidents() == []


async def test_an_incident_goes_on_after_a_restart_of_the_runner(room: Room) -> None:
    for _ in range(3):
        room.story.fail()
    await room.again()
    room.story.fail()
    assert await room.incidents() == [(1, "repeated_errors", "open", 4)]
    room.story.fail()
    room.story.restart()
    room.story.succeed()
    assert [kind for kind, *_ in await room.told()] == ["repeated_errors", "critical_stop", "recovered"]
    room.clock.at += 86_400
    await room.again()
    for _ in range(3):
        room.story.fail()
    assert [number for number, *_ in await room.incidents()] == [1, 2]


async def test_an_incident_of_a_task_that_left_the_configuration_is_closed_quietly(room: Room) -> None:
    for _ in range(3):
        room.story.fail()
    await room.again()
    room.watch.resolve_removed_tasks(cast(Supervisor, Tasks()))
    assert [state for _, _, state, _ in await room.incidents()] == ["resolved"]
    assert [kind for kind, *_ in await room.told()] == ["repeated_errors"]


async def test_reminders_repeat_until_a_person_pauses_the_task(room: Room) -> None:
    for _ in range(5):
        room.story.fail()
    for _ in range(3):
        room.clock.at += 1000
        room.watch.tick(room.supervisor)
    told = [kind for kind, *_ in await room.told()]
    assert told == ["repeated_errors", "critical_stop", "reminder"]
    room.story.apply(Pause("telegram:111"))
    room.clock.at += 100_000
    room.watch.tick(room.supervisor)
    assert [kind for kind, *_ in await room.told()] == told


async def test_a_checkers_own_words_are_owed_with_its_severity(room: Room) -> None:
    room.watch.checker_alert(room.story.task, "ledger is off by 3", "critical")
    assert (await room.told())[0][:3] == ("checker", "critical", NAME)


async def test_an_overflow_is_told_with_its_figures(room: Room) -> None:
    room.journal.append(RunnerReports(room.watch, room.clock).dropped(Dropped(runs=7, notifications=2)))
    assert [kind for kind, *_ in await room.told()] == ["dropped"]
    text = await room.pool.fetchval("SELECT payload ->> 'text' FROM dozor.notifications")
    assert "7" in text
    assert "2" in text


async def test_cancelled_runs_are_history_and_no_incident(room: Room) -> None:
    room.story.fail(failure())
    room.story.cancel()
    await room.journal.write()
    outcomes = await room.pool.fetch("SELECT outcome FROM dozor.runs ORDER BY finished_at")
    assert [row["outcome"] for row in outcomes] == ["failed", "cancelled"]
    assert await room.told() == []


async def test_the_incident_says_who_waits_now_without_another_message(room: Room) -> None:
    def trouble(*waiting: str) -> Trouble:
        return Trouble(
            kind=TroubleKind.DEPENDENCY,
            subject="node",
            waiting=waiting,
            explains=("first", "second"),
            reason="refused",
        )

    room.watch.changed(trouble("first"))  # no incident: nothing to correct
    assert not list(room.watch.open_incidents)
    room.watch.raised(trouble())
    told = len(await room.told())
    [before] = list(room.watch.open_incidents)
    room.pass_time(10)
    room.watch.changed(trouble("first", "second"))
    [incident] = list(room.watch.open_incidents)
    assert stored_facts(incident).lines == ("first", "second")
    assert stored_facts(incident).text == "refused"
    assert incident.updated_at > before.updated_at  # its live message is edited
    assert incident.failures == before.failures
    assert len(await room.told()) == told
