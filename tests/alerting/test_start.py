"""The report of a start; an unclean end is an incident, and never a flood of messages."""

from __future__ import annotations

from typing import Any

import pytest

from dozor.alerting.incidents.rules import STEADY
from dozor.alerting.incidents.startup import LONG_GAP, RESTART_LOOP, SHORT_GAP, report_severity
from dozor.alerting.incidents.storm_gate import FEW
from dozor.alerting.model.incident import AlertSettings, from_row
from dozor.alerting.model.notification import AlertData
from dozor.alerting.rendering.callback_data import CallbackData, Origin, decode
from dozor.alerting.rendering.live_message import buttons, live_notification
from dozor.alerting.rendering.phrases import Phrasebook
from dozor.clock import to_datetime
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.language import Translator
from dozor.storage.tables import incidents
from dozor.storage.tables.incidents import IncidentRow
from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from tests.alerting.chat import Post
from tests.alerting.stage import NAME, Stage


async def _payload(stage: Stage, kind: str) -> dict[str, Any]:
    """Of the newest message of this kind."""
    await stage.journal.write()
    found: dict[str, Any] = await stage.pool.fetchval(
        "SELECT payload FROM dozor.notifications WHERE kind = $1 ORDER BY id DESC LIMIT 1", kind
    )
    return found


async def _row(stage: Stage) -> IncidentRow:
    await stage.journal.write()
    async with stage.pool.acquire() as connection:
        [row] = [row for row in await incidents.read_recent(connection) if row.id == 1]
    return row


async def test_the_first_start_ever_is_one_quiet_line(stage: Stage) -> None:
    stage.start()
    assert await stage.told() == [("runner_started", "info", None, None)]
    assert await _payload(stage, "runner_started") == {"count": 1, "starts": 1}


async def test_a_quick_restart_is_told_without_a_sound_and_is_no_incident(stage: Stage) -> None:
    stage.start()
    await stage.again()
    stage.story.apply(Pause("telegram:111"))
    stage.start()
    assert await stage.told() == [("runner_started", "info", None, None)] * 2
    payload = await _payload(stage, "runner_started")
    assert 0 <= payload["off_for"] < SHORT_GAP
    assert payload["paused_tasks"] == [NAME]
    assert "unclean_end" not in payload
    assert await stage.incidents() == []


async def test_a_clean_restart_is_loud_when_it_took_long_or_something_waits_for_a_person(
    stage: Stage,
) -> None:
    stage.start()
    await stage.again()
    stage.start(off_for=SHORT_GAP)
    assert (await stage.told())[-1] == ("runner_started", "warning", None, None)
    for _ in range(5):
        stage.story.fail()
    await stage.again()
    stage.start()
    assert (await stage.told())[-1] == ("runner_started", "warning", None, None)
    payload = await _payload(stage, "runner_started")
    assert payload["stopped_tasks"] == [NAME]
    assert payload["open_before"] == 1


async def test_an_unclean_end_is_an_incident_and_the_start_is_its_one_message(stage: Stage) -> None:
    for _ in range(5):
        stage.story.fail()
    await stage.again(killed=True)
    stage.start(lost_tasks=("b",), missed_runs=3, missed_tasks=2)
    assert (await stage.told())[2:] == [("trouble", "warning", None, 2)]
    assert (await stage.incidents())[1:] == [(2, "unclean_end", "open", 1)]
    payload = await _payload(stage, "trouble")
    assert payload["unclean_end"]
    assert payload["stopped_tasks"] == [NAME]
    assert payload["lost_tasks"] == ["b"]
    assert payload["open_before"] == 1
    assert payload["missed_runs"] == 3


async def test_a_runner_that_is_killed_again_and_again_is_told_once_and_counted(stage: Stage) -> None:
    stage.start()
    for number in range(5):
        await stage.again(killed=True)
        stage.clock.at += 5
        stage.start(lost_tasks=(f"run_{number}",))
    assert await stage.told() == [("runner_started", "info", None, None), ("trouble", "warning", None, 1)]
    assert await stage.incidents() == [(1, "unclean_end", "open", 5)]
    living = live_notification(from_row(await _row(stage)))
    assert living.facts.failures == 5
    assert living.facts.lost_tasks == ("run_4",)  # of the newest start


async def test_a_runner_that_cannot_be_kept_up_is_reminded_of(stage: Stage) -> None:
    stage.start()
    await stage.again(killed=True)
    for _ in range(40):
        stage.start()
        stage.pass_time(60)
    told = [kind for kind, *_ in await stage.told()]
    assert told == ["runner_started", "trouble", "reminder"]
    assert (await _payload(stage, "reminder"))["failures"] == 30


async def test_one_unclean_end_needs_no_reminder_and_is_over_when_the_runner_has_stayed_up(
    stage: Stage,
) -> None:
    stage.furnish()
    for _ in range(5):
        stage.story.fail()
    await stage.again(killed=True)
    stage.start()
    stage.pass_time(STEADY - 1)
    assert (await stage.incidents())[1] == (2, "unclean_end", "open", 1)
    stage.story.restart()
    stage.story.succeed(after=0)
    stage.pass_time(2)
    told = await stage.told()
    assert told[2:] == [
        ("trouble", "warning", None, 2),
        ("recovered", "info", NAME, 1),
        ("recovered", "info", None, 2),
    ]
    assert (await stage.incidents())[1] == (2, "unclean_end", "resolved", 0)
    payload = await _payload(stage, "recovered")
    assert "stopped_tasks" not in payload  # a person has brought it back meanwhile
    assert payload["off_since"]


async def test_after_a_clean_restart_the_runner_has_to_prove_itself_anew(stage: Stage) -> None:
    await stage.again(killed=True)
    stage.start()
    stage.pass_time(STEADY - 60)
    await stage.again()
    stage.start()
    stage.pass_time(120)
    assert await stage.incidents() == [(1, "unclean_end", "open", 1)]
    stage.pass_time(STEADY)
    assert [state for _, _, state, _ in await stage.incidents()] == ["resolved"]


async def test_what_comes_back_every_quarter_of_an_hour_flaps_and_is_then_only_counted(stage: Stage) -> None:
    await stage.again(killed=True)
    for _ in range(8):
        stage.start(unclean_end=True, off_for=5.0)
        stage.pass_time(STEADY + 120)
    told = [kind for kind, *_ in await stage.told() if kind != "recovered"]
    # Later ones change the message alone; that it goes on for long is said by a reminder.
    assert told[:3] == ["trouble", "trouble", "flapping"]
    assert set(told[3:]) <= {"reminder"}
    assert (await _row(stage)).occurrences == 8
    stage.pass_time(3600)
    assert [state for _, _, state, _ in await stage.incidents()] == ["resolved"]


async def test_a_start_after_a_long_gap_is_told_whatever_was_told_before(stage: Stage) -> None:
    await stage.again(killed=True)
    stage.start(off_for=3.0)
    stage.start(unclean_end=True, off_for=LONG_GAP - 1)
    stage.start(unclean_end=True, off_for=LONG_GAP)
    assert [kind for kind, *_ in await stage.told()] == ["trouble", "trouble"]
    assert await stage.incidents() == [(1, "unclean_end", "open", 3)]


async def test_clean_starts_in_a_row_are_told_loudly_once_and_then_no_more(stage: Stage) -> None:
    stage.start()
    for _ in range(RESTART_LOOP + 2):
        await stage.again()
        stage.start()
    severities = [severity for _, severity, _, _ in await stage.told()]
    assert severities == ["info"] * (RESTART_LOOP - 1) + ["warning"]
    assert await stage.incidents() == []


async def test_its_severity_is_that_of_the_configuration(stage: Stage) -> None:
    loud = AlertSettings(severities={IncidentKind.UNCLEAN_END: Severity.CRITICAL})
    await stage.again(killed=True)
    stage.manager.use_settings({"": loud})
    stage.start()
    assert await stage.told() == [("trouble", "critical", None, 1)]


async def test_a_storm_of_before_does_not_swallow_the_start(stage: Stage) -> None:
    for number in range(FEW + 1):
        story = stage.new_task(f"task_{number}")
        for _ in range(3):
            story.fail(after=0.1)
    assert (await stage.told())[-1][0] == "storm"
    await stage.again(killed=True)
    stage.start()
    assert (await stage.told())[-1][:2] == ("trouble", "warning")


async def test_its_buttons_restart_what_is_stopped_and_stay_when_it_is_over(stage: Stage) -> None:
    for _ in range(5):
        stage.story.fail()
    await stage.again(killed=True)
    stage.start()
    say = Phrasebook(Translator("ru"), to_datetime(0).tzinfo, stage.clock.now())  # type: ignore[arg-type]

    def presses() -> list[CallbackData | None]:
        [incident] = [
            one for one in stage.manager.store._by_id.values() if one.kind is IncidentKind.UNCLEAN_END
        ]
        return [decode(button.data) for row in buttons(incident, say) for button in row]

    restart = CallbackData(Origin.ALERT, "restart", NAME)
    assert presses()[0] == restart
    assert len(presses()) == 5
    stage.pass_time(STEADY + 60)
    assert presses() == [restart]
    assert stage.story.task.state.state is State.STOPPED


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (AlertData(count=3), Severity.INFO),
        (AlertData(off_for=SHORT_GAP - 1), Severity.INFO),
        (AlertData(off_for=SHORT_GAP), Severity.WARNING),
        (AlertData(off_for=1.0, lost_tasks=("a",)), Severity.WARNING),
        (AlertData(off_for=1.0, stopped_tasks=("a",)), Severity.WARNING),
        (AlertData(off_for=1.0, paused_tasks=("a",), missed_runs=7, missed_tasks=7), Severity.INFO),
        (AlertData(off_for=1.0, starts=RESTART_LOOP), Severity.WARNING),
        (AlertData(off_for=1.0, starts=RESTART_LOOP + 1), None),
        (AlertData(off_for=1.0, unclean_end=True), None),
    ],
)
def test_how_loudly_a_clean_start_is_told(found: AlertData, expected: Severity | None) -> None:
    assert report_severity(found) is expected


@pytest.mark.parametrize(
    ("language", "words"), [("ru", "Возможные причины аварии"), ("en", "Possible causes of")]
)
async def test_suspects_of_a_crash_loop_are_told_once_before_one_is_stopped(
    stage: Stage, language: str, words: str
) -> None:
    post = Post(stage, language=language)
    for number in range(4):
        await stage.again(killed=True)
        suspects = (NAME, "b") if number >= 2 else ()
        stage.start(
            unclean_end=True, off_for=1.0, off_since=stage.clock.at, suspects=suspects, suspects_hold=12.0
        )
        await post.deliver(5)
        stage.clock.at += 30
    await post.deliver(60)
    told = [shown for shown in post.messages if words in shown.versions[0][1].plain]
    assert len(told) == 1
    [line] = [line for line in told[0].versions[0][1].plain.splitlines() if words in line]
    assert f"{NAME}, b" in line
    assert not told[0].message.silent
