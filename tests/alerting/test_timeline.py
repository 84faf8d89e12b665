"""What time brings, under a clock that the test moves: reminders, escalation, expiry, silences, the night."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from dozor.alerting.model.notification import AlertData
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person, Rotation
from dozor.alerting.policy.quiet_hours import QuietHours
from dozor.alerting.reports.daily import DailyReports
from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.commands.commands import AlertCommand, CommandReason
from dozor.supervision.telemetry.observer import Trouble, TroubleKind
from tests.alerting.stage import NAME, Stage
from tests.alerting.story import NOW

BERLIN = ZoneInfo("Europe/Berlin")
LEVELS = (Level(900.0, "oncall"), Level(1800.0, "second"), Level(3600.0, "everybody"))
PEOPLE = OnCall(
    {
        "ann": Person(name="ann", destination="111", mention="@ann"),
        "bob": Person(name="bob", destination="222", mention="@bob"),
    },
    Rotation(
        people=("ann", "bob"),
        start=datetime.fromisoformat("2025-01-06 10:00"),
        shift=timedelta(days=7),
        timezone=BERLIN,
    ),
)


async def timeline(stage: Stage) -> list[tuple[int, str, str]]:
    """(minutes since the start, kind, destination)."""
    await stage.journal.write()
    rows = await stage.pool.fetch(
        "SELECT extract(epoch FROM created_at)::float8 AS at, kind, destination FROM dozor.notifications"
        " ORDER BY id"
    )
    return [(round((row["at"] - stage.began) / 60), row["kind"], row["destination"]) for row in rows]


@pytest.fixture
def stopped(stage: Stage) -> Stage:
    """A task that has stopped; minutes are counted from then."""
    stage.furnish(levels=LEVELS, oncall=PEOPLE)
    for _ in range(5):
        stage.story.fail()
    stage.began = stage.clock.at
    return stage


async def test_nobody_reacts_and_more_and_more_people_are_called(stopped: Stage) -> None:
    stopped.pass_time(10 * 3600)
    told = [event for event in await timeline(stopped) if event[0] > 0]
    assert told == [
        (15, "escalation", "111"),
        (30, "reminder", ""),
        (30, "escalation", "222"),
        (60, "escalation", "111"),
        (60, "escalation", "222"),
        (60, "escalation", ""),
        (90, "reminder", ""),
        (210, "reminder", ""),
        (450, "reminder", ""),
    ]
    # Each reminder takes twice as long, up to eight times half an hour.
    stopped.pass_time(10 * 3600)
    later = [minute for minute, kind, _ in await timeline(stopped) if kind == "reminder"]
    assert later == [30, 90, 210, 450, 690, 930, 1170]


async def test_an_acknowledgement_stops_all_of_it_and_its_end_begins_it_anew(stopped: Stage) -> None:
    stopped.pass_time(20 * 60)
    assert stopped.ask(AlertCommand.ACK, "1") is CommandReason.DONE
    assert stopped.ask(AlertCommand.ACK, "1") is CommandReason.ALREADY
    stopped.pass_time(8 * 3600 - 60)
    assert [event for event in await timeline(stopped) if event[0] > 15] == []
    stopped.pass_time(17 * 60)
    expired = 20 + 480
    assert [event for event in await timeline(stopped) if event[0] > 15] == [
        (expired, "reminder", ""),
        (expired + 15, "escalation", "111"),
    ]
    payload = await stopped.pool.fetchval("SELECT payload FROM dozor.notifications WHERE kind = 'reminder'")
    assert payload["acknowledged_by"] == "telegram:111"


async def test_a_recovery_ends_it(stopped: Stage) -> None:
    stopped.pass_time(16 * 60)
    stopped.story.restart()
    stopped.story.succeed()
    stopped.pass_time(24 * 3600)
    assert [event[1] for event in await timeline(stopped) if event[0] > 15] == ["recovered"]


async def test_a_warning_is_reminded_of_and_never_escalated(stage: Stage) -> None:
    stage.furnish(levels=LEVELS, oncall=PEOPLE)
    for _ in range(3):
        stage.story.fail()
    stage.began = stage.clock.at
    stage.pass_time(2 * 3600)
    assert [event[:2] for event in await timeline(stage) if event[0] > 0] == [
        (30, "reminder"),
        (90, "reminder"),
    ]


async def test_who_took_over_is_called(stopped: Stage) -> None:
    oncall = PEOPLE.now(stopped.clock.at)
    assert oncall is not None
    other = "bob" if oncall.person == "ann" else "ann"
    assert stopped.ask(AlertCommand.ONCALL, other) is CommandReason.DONE
    assert stopped.ask(AlertCommand.ONCALL, other) is CommandReason.ALREADY
    assert stopped.ask(AlertCommand.ONCALL, "nobody") is CommandReason.UNKNOWN_PERSON
    stopped.pass_time(16 * 60)
    where = {"ann": "111", "bob": "222"}[other]
    assert (await timeline(stopped))[-1] == (15, "escalation", where)


async def test_a_silence_keeps_quiet_until_its_end_and_says_then_what_is_still_broken(stage: Stage) -> None:
    assert stage.ask(AlertCommand.SILENCE, NAME, seconds=3600, reason="deploy") is CommandReason.DONE
    stage.began = stage.clock.at
    for _ in range(5):
        stage.story.fail()
    assert await stage.told() == []
    assert await stage.incidents() == [(1, "critical_stop", "open", 5)]
    stage.pass_time(3600)
    assert await timeline(stage) == [(60, "silence_over", ""), (60, "critical_stop", "")]
    assert await stage.pool.fetchval("SELECT ended_at IS NOT NULL FROM dozor.silences")
    stage.story.restart()
    stage.story.succeed()
    assert (await timeline(stage))[-1][1] == "recovered"


async def test_what_broke_and_recovered_under_a_silence_is_never_told(stage: Stage) -> None:
    stage.ask(AlertCommand.SILENCE, "all", seconds=3600)
    for _ in range(5):
        stage.story.fail()
    stage.story.restart()
    stage.story.succeed()
    stage.pass_time(7200)
    assert await stage.told() == []


async def test_a_silence_of_what_is_told_already_stops_reminders_and_can_be_lifted(stopped: Stage) -> None:
    assert stopped.ask(AlertCommand.SILENCE, "#1", seconds=14_400) is CommandReason.DONE
    stopped.pass_time(3 * 3600)
    assert [event for event in await timeline(stopped) if event[0] > 0] == []
    assert stopped.ask(AlertCommand.UNSILENCE, "#1") is CommandReason.DONE
    assert stopped.ask(AlertCommand.UNSILENCE, "#1") is CommandReason.ALREADY
    assert [event[1] for event in await timeline(stopped) if event[0] > 0] == ["silence_over", "reminder"]


async def test_a_silence_until_it_is_over_ends_with_its_incident(stopped: Stage) -> None:
    assert stopped.ask(AlertCommand.SILENCE, "#1") is CommandReason.DONE
    stopped.story.restart()
    stopped.story.succeed()
    stopped.pass_time(60)
    await stopped.journal.write()
    row = await stopped.pool.fetchrow("SELECT scope, ends_at, ended_at FROM dozor.silences")
    assert (row["scope"], row["ends_at"]) == ("incident", None)
    assert row["ended_at"] is not None


@pytest.mark.parametrize(
    ("target", "args", "reason"),
    [
        ("nothing_such", {"seconds": 60}, CommandReason.UNKNOWN_TASK),
        ("#99", {"seconds": 60}, CommandReason.UNKNOWN_INCIDENT),
        ("#", {"seconds": 60}, CommandReason.UNKNOWN_INCIDENT),
        ("kind:sideways", {"seconds": 60}, CommandReason.INVALID),
        ("all", {}, CommandReason.INVALID),
        ("all", {"seconds": -5}, CommandReason.INVALID),
        ("all", {"seconds": "an hour"}, CommandReason.INVALID),
        ("all", {"seconds": True}, CommandReason.INVALID),
        ("kind:overdue", {"seconds": 1e12}, CommandReason.DONE),
    ],
)
async def test_silences_that_make_no_sense_are_refused(
    stage: Stage, target: str, args: dict[str, object], reason: CommandReason
) -> None:
    assert stage.ask(AlertCommand.SILENCE, target, **args) is reason
    assert len(stage.manager.silences) == (reason is CommandReason.DONE)


async def test_a_dependencys_incident_swallows_those_it_explains(stage: Stage) -> None:
    trouble = Trouble(kind=TroubleKind.DEPENDENCY, subject="wallet node", waiting=(NAME,), reason="refused")
    stage.manager.raised(trouble)
    for _ in range(5):
        stage.story.fail()
    assert [kind for kind, *_ in await stage.told()] == ["trouble"]
    assert await stage.pool.fetchval("SELECT explained_by FROM dozor.incidents WHERE task = $1", NAME) == 1
    stage.manager.cleared(trouble)
    stage.pass_time(60)
    # The node is back, and the task is still stopped: now it is told.
    assert [kind for kind, *_ in await stage.told()] == ["trouble", "recovered", "critical_stop"]


async def test_a_dependency_that_explains_everything_is_told_alone(stage: Stage) -> None:
    trouble = Trouble(kind=TroubleKind.DEPENDENCY, subject="wallet node", waiting=(NAME,))
    stage.manager.raised(trouble)
    for _ in range(3):
        stage.story.fail()
    stage.story.succeed()
    stage.manager.cleared(trouble)
    stage.pass_time(600)
    assert [kind for kind, *_ in await stage.told()] == ["trouble", "recovered"]


async def test_by_night_only_what_is_critical_makes_a_sound_and_the_morning_sums_up(stage: Stage) -> None:
    night = QuietHours(begin=time(23), end=time(8), timezone=BERLIN)
    stage.furnish(quiet_at=night.covers)
    daily = DailyReports(
        stage.pool, stage.manager, stage.clock, BERLIN, lambda: 1, quiet=night, all_clear_at=time(9, 30)
    )
    stage.clock.at = datetime(2026, 10, 24, 23, 30, tzinfo=BERLIN).timestamp()  # the clocks change this night
    for _ in range(3):
        stage.story.fail()
    await daily.look()
    for _ in range(2):
        stage.story.fail()
    await stage.journal.write()
    quiet = await stage.pool.fetch(
        "SELECT kind, payload ? 'quiet' AS quiet FROM dozor.notifications ORDER BY id"
    )
    assert [tuple(row) for row in quiet] == [("repeated_errors", True), ("critical_stop", False)]
    stage.clock.at = datetime(2026, 10, 25, 7, 59, tzinfo=BERLIN).timestamp()
    await daily.look()
    for _ in range(3):
        stage.clock.at = datetime(2026, 10, 25, 8, 0, 30, tzinfo=BERLIN).timestamp()
        await daily.look()
    stage.clock.at = datetime(2026, 10, 25, 9, 31, tzinfo=BERLIN).timestamp()
    await daily.look()
    kinds = [kind for kind, *_ in await stage.told()]
    assert kinds == ["repeated_errors", "critical_stop", "morning", "all_clear"]
    payload = await stage.pool.fetchval("SELECT payload FROM dozor.notifications WHERE kind = 'morning'")
    assert payload["count"] == 1
    assert payload["lines"][0].startswith(f"🔴 {NAME}: ConnectionError")
    # A restart in the morning says nothing twice: the key is the day's.
    again = DailyReports(
        stage.pool, stage.manager, stage.clock, BERLIN, lambda: 1, quiet=night, all_clear_at=time(9, 30)
    )
    await again.look()
    assert [kind for kind, *_ in await stage.told()] == kinds


async def test_all_clear_says_how_many_are_watched(stage: Stage) -> None:
    stage.clock.at = datetime(2026, 10, 20, 9, 30, tzinfo=BERLIN).timestamp()
    await DailyReports(
        stage.pool, stage.manager, stage.clock, BERLIN, lambda: 12, all_clear_at=time(9, 30)
    ).look()
    await stage.journal.write()
    row = await stage.pool.fetchrow("SELECT severity, payload FROM dozor.notifications")
    assert (row["severity"], row["payload"]["count"]) == ("info", 12)


async def test_everything_about_an_incident_survives_a_restart_of_the_runner(stopped: Stage) -> None:
    stopped.ask(AlertCommand.ACK, "1")
    await stopped.again()
    assert stopped.ask(AlertCommand.ACK, "1") is CommandReason.ALREADY
    stopped.pass_time(8 * 3600 + 60)
    assert (await timeline(stopped))[-1][1] == "reminder"


async def test_what_flaps_is_told_three_times_and_then_once_when_it_is_calm(stage: Stage) -> None:
    for _ in range(8):
        for _ in range(3):
            stage.story.fail(after=20)
        stage.story.succeed(after=20)
        stage.pass_time(60)
    told = [kind for kind, *_ in await stage.told()]
    assert told == [
        "repeated_errors",
        "recovered",
        "repeated_errors",
        "recovered",
        "flapping",
    ]
    stage.pass_time(900)
    assert [kind for kind, *_ in await stage.told()] == [*told, "recovered"]
    assert await stage.pool.fetchval("SELECT occurrences FROM dozor.incidents") == 8


async def test_a_checker_that_repeats_itself_is_counted_not_told_again(stage: Stage) -> None:
    for number in range(50):
        stage.manager.checker_alert(stage.story.task, f"ledger is off by {number}", "warning")
    stage.manager.checker_alert(stage.story.task, "another thing", "critical")
    assert [row[:2] for row in await stage.told()] == [("checker", "warning"), ("checker", "critical")]
    stage.pass_time(2 * 3600, step=600)
    assert {state for _, _, state, _ in await stage.incidents()} == {"resolved"}


async def test_a_trouble_of_the_runner_itself_is_an_incident(stage: Stage) -> None:
    stage.manager.open_incident(IncidentKind.TELEGRAM, "-100", AlertData(text="bot was kicked"), to=("111",))
    stage.manager.open_incident(IncidentKind.TELEGRAM, "-100", AlertData(text="bot was kicked"), to=("111",))
    stage.manager.resolve_incident(IncidentKind.TELEGRAM, "-100", to=("111",))
    await stage.journal.write()
    rows = await stage.pool.fetch("SELECT kind, destination FROM dozor.notifications ORDER BY id")
    assert [tuple(row) for row in rows] == [("trouble", "111"), ("recovered", "111")]
    assert stage.clock.at == NOW
