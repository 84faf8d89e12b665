"""Each reason made to happen: what is recorded, after a restart too, and how it reads in both languages."""

from __future__ import annotations

from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    Outcome,
    Rejected,
    RetryAfter,
    Unavailable,
    Unknown,
)
from dozor.alerting.model.message import Message
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.alerting.policy.routes import Route, Routing
from dozor.control.commands.commands import AlertCommand
from dozor.supervision.core.events import Pause
from dozor.supervision.telemetry.observer import Trouble, TroubleKind
from tests.alerting.chat import Post
from tests.alerting.stage import NAME, Stage
from tests.alerting.test_second_channel import AFTER, Away
from tests.alerting.why import check_lines, reasons

PEOPLE = OnCall({"bob": Person(name="bob", destination="222")})


def fail(stage: Stage, times: int = 3) -> None:
    for _ in range(times):
        stage.story.fail()


async def test_sent_and_then_edited(stage: Stage) -> None:
    post = Post(stage)
    fail(stage)
    await post.deliver(1.0)
    fail(stage, 1)
    await post.deliver(5.0)
    stage.story.succeed()
    await post.deliver(5.0)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "sent repeated_errors",
        "counted open",
        "edited repeated_errors",
        "queued recovered",
        "edited recovered",
    ]
    await check_lines(stage, "sent_and_edited")


async def test_muted_by_a_silence_and_sent_when_it_is_lifted(stage: Stage) -> None:
    await stage.pool.execute("INSERT INTO dozor.people VALUES ('telegram:111', 'Ann')")
    stage.ask(AlertCommand.SILENCE, "all", seconds=7200, reason="deploy")
    fail(stage)
    stage.clock.at += 60
    stage.ask(AlertCommand.UNSILENCE, "all")
    assert await reasons(stage) == [
        "counted threshold",
        "muted repeated_errors",
        "queued repeated_errors",
        "waiting repeated_errors",
    ]
    await check_lines(stage, "muted")


async def test_a_silence_begun_while_it_is_open_holds_back_its_reminder(stage: Stage) -> None:
    fail(stage)
    stage.ask(AlertCommand.SILENCE, "#1")
    stage.pass_time(4000)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "muted",
        "muted reminder",
        "waiting repeated_errors",
    ]
    await check_lines(stage, "muted_reminder")


async def test_inhibited_by_the_incident_of_a_dependency(stage: Stage) -> None:
    trouble = Trouble(kind=TroubleKind.DEPENDENCY, subject="wallet node", waiting=(NAME,), reason="refused")
    stage.manager.raised(trouble)
    fail(stage)
    assert await reasons(stage, 2) == ["counted threshold", "inhibited repeated_errors"]
    await check_lines(stage, "inhibited", 2)


async def test_grouped_into_a_storm(stage: Stage) -> None:
    post = Post(stage)
    stories = [stage.new_task(f"task_{number}") for number in range(9)]
    for _ in range(2):
        for story in stories:
            story.fail(after=0)
    for story in stories:
        story.fail(after=0)
    await post.deliver(60.0)
    assert await reasons(stage, 9) == ["counted threshold", "grouped repeated_errors"]
    await check_lines(stage, "grouped", 8, 9)


async def test_taken_into_a_storm_before_its_own_message_has_left(stage: Stage) -> None:
    post = Post(stage)
    stories = [stage.new_task(f"task_{number}") for number in range(9)]
    for _ in range(3):
        for story in stories:
            story.fail(after=0)
    await post.deliver(60.0)
    assert await reasons(stage, 6) == [
        "counted threshold",
        "queued repeated_errors",
        "grouped",
        "grouped repeated_errors",
    ]
    await check_lines(stage, "taken_into_a_storm", 6)


async def test_only_counted(stage: Stage) -> None:
    fail(stage, 4)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "counted open",
        "waiting repeated_errors",
    ]
    await check_lines(stage, "counted")


async def test_quiet_hours(stage: Stage) -> None:
    stage.furnish(quiet_at=lambda now: True)
    fail(stage)
    assert await reasons(stage) == [
        "counted threshold",
        "quiet_hours repeated_errors",
        "waiting repeated_errors",
    ]
    await check_lines(stage, "quiet_hours")


async def test_a_reminder_that_waited_too_long_has_expired(stage: Stage) -> None:
    post = Post(stage)
    fail(stage)
    await post.deliver()
    stage.pass_time(1900)
    await stage.journal.write()
    stage.clock.at += 3700
    await post.deliver()
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "sent repeated_errors",
        "queued reminder",
        "expired reminder",
    ]
    await check_lines(stage, "expired")


async def test_refused_by_the_chat_and_sent_later(stage: Stage) -> None:
    post = Post(stage)
    post.chat.script = [Rejected("Bad Request: chat not found")] * 2
    fail(stage)
    await post.deliver(600.0)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "refused repeated_errors",
        "sent repeated_errors",
    ]
    await check_lines(stage, "refused")


async def test_given_up_when_others_get_through(stage: Stage) -> None:
    def refuse_first(message: Message) -> Outcome:
        bad = message.plain.startswith("⚠️ presale_checker")
        return Rejected("some new rule", of_message=True) if bad else Delivered(1)

    post = Post(stage)
    post.chat.script = [refuse_first] * 40
    fail(stage)
    other = stage.new_task("b")
    for _ in range(3):
        other.fail()
    await post.deliver(1200.0)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "refused repeated_errors",
        "given_up repeated_errors",
    ]
    await check_lines(stage, "given_up")


async def test_put_off_or_without_an_answer_is_tried_again(stage: Stage) -> None:
    post = Post(stage)
    post.chat.script = [Unavailable("connection refused"), Unavailable("connection refused"), RetryAfter(7.0)]
    post.chat.script += [ChatMoved(-1005), Unknown("timed out")]
    fail(stage)
    await post.deliver(120.0)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "put_off repeated_errors",
        "put_off told_to_wait repeated_errors",
        "put_off moved repeated_errors",
        "unknown repeated_errors",
        "sent repeated_errors",
    ]
    await check_lines(stage, "put_off")


async def test_through_the_second_channel(stage: Stage) -> None:
    away = Away(stage)
    fail(stage)
    await away.pass_time(AFTER + 10, step=100.0)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "put_off repeated_errors",
        "fallback repeated_errors",
    ]
    await check_lines(stage, "second_channel")


async def test_over_before_the_message_left(stage: Stage) -> None:
    post = Post(stage)
    post.chat.script = [Unavailable("x")]
    fail(stage)
    await post.deliver()
    fail(stage, 2)
    stage.story.restart()
    stage.story.succeed()
    await post.deliver(60.0)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "put_off repeated_errors",
        "counted open",
        "queued critical_stop",
        "queued recovered",
        "sent repeated_errors",
        "superseded said critical_stop",
        "superseded said recovered",
    ]
    await check_lines(stage, "over")


async def test_a_reminder_of_what_is_acknowledged_or_paused(stage: Stage) -> None:
    fail(stage)
    stage.ask(AlertCommand.ACK, "1")
    stage.pass_time(4000)
    other = stage.new_task("b")
    for _ in range(3):
        other.fail()
    other.apply(Pause("telegram:111"))
    stage.pass_time(4000)
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "acknowledged reminder",
        "waiting repeated_errors",
    ]
    assert await reasons(stage, 2) == [
        "counted threshold",
        "queued repeated_errors",
        "paused reminder",
        "waiting repeated_errors",
    ]
    await check_lines(stage, "acknowledged_and_paused", 1, 2)


async def test_an_escalation_that_a_silence_holds_back_and_one_that_leaves(stage: Stage) -> None:
    stage.furnish(levels=(Level(900.0, "bob"),), oncall=PEOPLE)
    stage.ask(AlertCommand.SILENCE, "all", seconds=3600)
    fail(stage, 5)
    stage.pass_time(1500)
    held = ["counted threshold", "muted repeated_errors", "counted open", "muted critical_stop"]
    assert await reasons(stage) == [*held, "muted escalation"]
    stage.ask(AlertCommand.UNSILENCE, "all")
    stage.pass_time(1000)
    assert await reasons(stage) == [
        *held,
        "muted escalation",
        "queued critical_stop",
        "queued escalation",
        "waiting critical_stop",
        "waiting escalation",
    ]
    await check_lines(stage, "muted_escalation")


async def test_each_level_that_is_held_back_is_recorded_once(stage: Stage) -> None:
    stage.furnish(levels=(Level(900.0, "bob"), Level(1800.0, "bob")), oncall=PEOPLE)
    fail(stage, 5)
    stage.ask(AlertCommand.ACK, "1")
    stage.pass_time(5000)
    held = ["acknowledged escalation", "acknowledged reminder"]
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "counted open",
        "queued critical_stop",
        *held,
        "waiting repeated_errors",
        "waiting critical_stop",
    ]
    stage.ask(AlertCommand.UNACK, "1")
    stage.pass_time(1000)
    stage.ask(AlertCommand.SILENCE, "#1", seconds=3600)
    stage.pass_time(2000)
    decided = [one for one in await reasons(stage) if not one.startswith("waiting")]
    assert decided[6:] == ["queued escalation", "muted", "muted reminder", "muted escalation"]


async def test_an_escalation_of_what_a_dependency_explains(stage: Stage) -> None:
    stage.furnish(levels=(Level(900.0, "bob"),), oncall=PEOPLE)
    trouble = Trouble(kind=TroubleKind.DEPENDENCY, subject="wallet node", waiting=(NAME,), reason="refused")
    stage.manager.raised(trouble)
    fail(stage, 5)
    stage.pass_time(1000)
    stop = ["inhibited repeated_errors", "counted open", "inhibited critical_stop"]
    assert await reasons(stage, 2) == ["counted threshold", *stop, "inhibited escalation"]


async def storm(stage: Stage, failures: int) -> None:
    """Nine tasks fail at once: incidents 1 to 6 get messages of their own, 8 is the storm of 7, 9 and 10."""
    stories = [stage.new_task(f"task_{number}") for number in range(9)]
    for _ in range(failures):
        for story in stories:
            story.fail(after=0)
    assert (await reasons(stage, 9))[-1].startswith("grouped")


async def test_reminders_and_escalations_of_a_storms_members_are_grouped_into_it(stage: Stage) -> None:
    stage.furnish(levels=(Level(900.0, "bob"),), oncall=PEOPLE)
    await storm(stage, 5)
    stage.pass_time(1000)
    assert (await reasons(stage, 9))[-1] == "grouped escalation"
    stage.pass_time(9000)
    assert (await reasons(stage, 9))[-2:] == ["grouped escalation", "grouped reminder"], "once each"
    members = [stage.manager.find_incident(number) for number in (7, 9)]
    assert [one.reminders for one in members if one is not None] == [0, 0]
    escalated = [kind for kind, *_ in await stage.told() if kind == "escalation"]
    assert len(escalated) < 9, "those with messages of their own, and the storm for its members"


async def test_an_acknowledgement_that_expires_reminds_of_the_storm_not_of_its_members(
    stage: Stage,
) -> None:
    await storm(stage, 3)
    number = next(one.id for one in stage.manager.open_incidents if one.kind == "storm")
    stage.ask(AlertCommand.ACK, str(number), seconds=600)
    before = await stage.told()
    stage.pass_time(700)
    reminded = [row[3] for row in (await stage.told())[len(before) :] if row[0] == "reminder"]
    assert reminded == [number]
    assert (await reasons(stage, 9))[-1] == "grouped reminder"


async def test_an_acknowledgement_that_expires_under_a_silence_reminds_when_the_silence_ends(
    stage: Stage,
) -> None:
    fail(stage)
    stage.ask(AlertCommand.ACK, "1", seconds=600)
    stage.ask(AlertCommand.SILENCE, "#1", seconds=1200)
    stage.pass_time(900)
    assert "queued reminder" not in await reasons(stage)
    assert "muted reminder" in await reasons(stage)
    stage.pass_time(600)
    assert "queued reminder" in await reasons(stage)


async def test_flapping_is_only_counted(stage: Stage) -> None:
    for _ in range(5):
        fail(stage)
        stage.story.succeed()
    assert await reasons(stage) == [
        "counted threshold",
        "queued repeated_errors",
        "queued recovered",
        "counted threshold",
        "queued repeated_errors",
        "queued recovered",
        "counted threshold",
        "queued flapping",
        "counted calming recovered",
        "counted flapping",
        "counted calming recovered",
        "counted flapping",
        "counted calming recovered",
        "waiting repeated_errors",
        "waiting recovered",
        "waiting repeated_errors",
        "waiting recovered",
        "waiting flapping",
    ]
    await check_lines(stage, "flapping")


async def test_to_several_places_and_to_people(stage: Stage) -> None:
    stage.furnish(
        routes=Routing([Route(destination="-1001:17")]),
        levels=(Level(900.0, "bob"),),
        oncall=OnCall({"bob": Person(name="bob", destination="222")}),
    )
    fail(stage, 5)
    stage.pass_time(1000)
    await check_lines(stage, "places")
