"""What changes while something else is under way: between claim and answer, in one tick, across a storm."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dozor.alerting.delivery.transport import Outcome
from dozor.alerting.incidents.storm_gate import AT_ONCE, FEW
from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import AlertData
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.alerting.policy.routes import Route, Routing
from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.commands.commands import AlertCommand
from dozor.supervision.telemetry.observer import Trouble, TroubleKind
from tests.alerting.chat import Chat, Post
from tests.alerting.stage import NAME, Stage
from tests.alerting.story import Story, failure


@pytest.fixture
def post(stage: Stage) -> Post:
    return Post(stage)


class Meanwhile(Chat):
    """A chat in which something happens while a message is on its way."""

    async def send(self, message: Message) -> Outcome:
        happens = self.happens
        if happens is not None and message.plain.startswith(self.at):
            self.happens = None
            happens()
            await self._stage.journal.write()
        return await super().send(message)

    happens: Callable[[], None] | None = None
    at = ""
    """How the message begins."""


def meanwhile(post: Post) -> Meanwhile:
    post.chat = Meanwhile(post.stage)
    post.dispatcher.set_transport(post.chat, chat_id=-100)
    return post.chat


def together(stage: Stage, count: int, times: int = 3, first: int = 0) -> list[Story]:
    stories = [stage.new_task(f"task_{number:04}") for number in range(first, first + count)]
    again(stories, times)
    return stories


def again(stories: list[Story], times: int) -> None:
    for _ in range(times):
        for story in stories:
            story.fail(failure("refused", where="wallet.py:7 in ask"), after=0)


async def test_what_breaks_again_while_its_past_is_told_is_told(stage: Stage, post: Post) -> None:
    chat = meanwhile(post)
    for _ in range(5):
        stage.story.fail()
    stage.story.restart()
    stage.story.succeed()

    def stop_again() -> None:
        for _ in range(5):
            stage.story.fail(after=1)

    chat.happens = stop_again
    await post.deliver(60)
    assert [shown.texts[0][:1] for shown in post.messages] == ["✅", "⚠", "🛑"]


async def test_a_storm_that_becomes_critical_while_its_digest_leaves_is_told_anew(
    stage: Stage, post: Post
) -> None:
    chat = meanwhile(post)
    stories = together(stage, FEW + 1)

    def stop() -> None:
        stage.clock.at += 1
        again(stories[-1:], 2)

    chat.happens, chat.at = stop, "⚠️ Сбои"
    await post.deliver(60)
    assert [shown.texts[0][:1] for shown in post.messages[AT_ONCE:]] == ["⚠", "🔴"]


async def test_no_storm_swallows_that_a_chat_refuses_us_or_what_explains_others(
    stage: Stage, post: Post
) -> None:
    together(stage, FEW + 2)
    stage.manager.open_incident(IncidentKind.TELEGRAM, "-100", AlertData(text="kicked"), to=("111",))
    stage.manager.open_incident(IncidentKind.DEPENDENCY, "PostgreSQL", AlertData(text="refused"))
    await stage.journal.write()
    rows = await stage.pool.fetch(
        "SELECT destination, payload ->> 'subject' AS subject FROM dozor.notifications WHERE kind = 'trouble'"
    )
    assert [tuple(row) for row in rows] == [("111", "-100"), ("", "PostgreSQL")]


async def test_a_chat_of_some_tasks_hears_of_the_storm_that_takes_them_in(stage: Stage, post: Post) -> None:
    name = f"task_{FEW + 3:04}"
    stage.furnish(routes=Routing([Route(destination="222", tasks=frozenset({name}))]))
    theirs = Chat(stage)
    post.dispatcher.set_transport(post.chat, lambda key: (theirs, 222), chat_id=-100)
    stories = together(stage, FEW + 5)
    await post.deliver(30)
    await post.dispatcher.deliver_next("222")
    [shown] = theirs.messages
    assert shown.header.startswith("⚠️ Сбои сразу во многих задачах")
    again(stories, 2)
    await post.deliver(30)
    while await post.dispatcher.deliver_next("222") == 0:
        pass
    assert [one.header[:1] for one in theirs.messages][1:] == ["🔴"]
    for story in stories:
        story.restart()
        story.succeed(after=0)
    await post.deliver(60)
    while await post.dispatcher.deliver_next("222") == 0:
        pass
    assert theirs.messages[-1].header.startswith("✅")


async def test_a_silence_that_is_over_hides_nothing_that_comes_back(stage: Stage, post: Post) -> None:
    """Critical, for the fourth time, and the three times before nobody was told."""
    stage.ask(AlertCommand.SILENCE, NAME, seconds=600)
    for _ in range(3):
        stage.manager.open_incident(IncidentKind.HUNG, NAME, AlertData(), task=NAME)
        stage.clock.at += 100
        stage.manager.resolve_incident(IncidentKind.HUNG, NAME, task=NAME)
    stage.pass_time(400)
    stage.manager.open_incident(IncidentKind.HUNG, NAME, AlertData(), task=NAME)
    await post.deliver(60)
    assert len(post.messages) == 1
    [incident] = stage.manager.open_incidents
    assert incident.told
    assert not incident.quiet


async def test_what_two_silences_cover_is_told_when_the_second_ends(stage: Stage, post: Post) -> None:
    stage.ask(AlertCommand.SILENCE, NAME, seconds=600)
    stage.ask(AlertCommand.SILENCE, "all", seconds=1200)
    for _ in range(5):
        stage.story.fail(after=1)
    stage.pass_time(660)
    await post.deliver(10)
    assert [header for header in post.headers if NAME in header] == []
    stage.pass_time(660)
    await stage.journal.write()
    kinds = [kind for kind, _, task, _ in await stage.told() if task == NAME]
    assert kinds == ["critical_stop"]


async def test_the_end_of_one_of_two_silences_wakes_nobody_about_what_was_told(
    stage: Stage, post: Post
) -> None:
    for _ in range(3):
        stage.story.fail(after=1)
    await post.deliver(10)
    stage.ask(AlertCommand.SILENCE, "all", seconds=1200)
    stage.ask(AlertCommand.SILENCE, NAME, seconds=600)
    stage.pass_time(660)
    assert "reminder" not in [kind for kind, *_ in await stage.told()]
    stage.pass_time(660)
    assert [kind for kind, *_ in await stage.told()].count("reminder") == 1


async def test_a_storm_whose_incidents_end_in_the_tick_of_its_escalation_ends(
    stage: Stage, post: Post
) -> None:
    people = OnCall({"ann": Person(name="ann", destination="222", user_id=222)})
    stage.furnish(levels=(Level(3600.0, "everybody"),), oncall=people)
    for number in range(FEW + 4):
        story = stage.new_task(f"task_{number:04}")
        stage.manager.checker_alert(story.task, f"{'abcdefghijklmnop'[number]} is late", "critical")
    stage.pass_time(3700)
    await post.deliver(60)
    assert [(kind, state) for _, kind, state, _ in await stage.incidents() if state != "resolved"] == []


async def test_one_storm_after_another_and_both_end(stage: Stage, post: Post) -> None:
    """Warnings a while ago; now all of them stop, which is a storm of its own."""
    stories = together(stage, 30)
    await post.deliver(120)
    again(stories, 2)
    await post.deliver(120)
    for story in stories:
        story.restart()
        story.succeed(after=0)
    await post.deliver(120)
    assert [(kind, state) for _, kind, state, _ in await stage.incidents() if state != "resolved"] == []


async def test_a_storm_that_somebody_has_taken_on_and_that_becomes_critical_is_nobodys_again(
    stage: Stage, post: Post
) -> None:
    stories = together(stage, FEW + 5)
    await post.deliver(30)
    [storm] = [one for one in stage.manager.open_incidents if one.kind is IncidentKind.STORM]
    stage.ask(AlertCommand.ACK, str(storm.id))
    again(stories[-1:], 2)
    now = stage.manager.find_incident(storm.id)
    assert now is not None
    assert now.state == "open"


async def test_a_delivered_message_outlives_the_storm_that_took_it_in(stage: Stage, post: Post) -> None:
    stories = together(stage, FEW)
    await post.deliver(8)
    assert len(post.messages) == FEW
    stories += together(stage, 3, first=FEW)
    await post.deliver(60)
    for story in stories[:-1]:
        story.succeed(after=0)
    await post.deliver(60)
    assert [shown.header[0] for shown in post.messages] == ["✅"] * FEW + ["⚠"]
    stories[-1].succeed(after=0)
    await post.deliver(60)
    assert [shown.header[0] for shown in post.messages] == ["✅"] * (FEW + 1)


async def test_explained_by_a_dependency_it_stays_so_after_a_restart(stage: Stage, post: Post) -> None:
    trouble = Trouble(kind=TroubleKind.DEPENDENCY, subject="api", waiting=(NAME,))
    stage.manager.raised(trouble)
    for _ in range(3):
        stage.story.fail(after=1)
    await stage.again()
    stage.pass_time(5, step=1)
    assert [kind for kind, *_ in await stage.told()] == ["trouble"]


async def test_when_the_silence_over_a_storm_ends_one_message_says_how_it_stands(
    stage: Stage, post: Post
) -> None:
    together(stage, 30, times=5)
    await post.deliver(60)
    stage.ask(AlertCommand.SILENCE, "all", seconds=600)
    await stage.journal.write()
    before = len(await stage.told())
    stage.pass_time(660)
    kinds = [(kind, task) for kind, _, task, _ in (await stage.told())[before:]]
    assert [kind for kind, task in kinds if task is None] == ["silence_over", "reminder"]
    assert len(kinds) <= 2 + FEW
    stage.pass_time(60)
    await post.deliver(120)
    assert [kind for _, kind, state, _ in await stage.incidents() if kind == "storm"] == ["storm"]
