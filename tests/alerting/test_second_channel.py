"""Telegram accepts nothing: what the fallback channel sends, when, to whom, and the summary in the chats."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dozor.alerting.delivery.transport import NAME as TRANSPORT
from dozor.alerting.delivery.transport import Delivered, Rejected, Unavailable, Unknown
from dozor.alerting.fallback.failover import SOON, ChannelFailover
from dozor.alerting.fallback.outbox_failover import AT_ONCE, OutboxFailover
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.alerting.policy.routes import Route, Routing
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.language import Translator
from dozor.storage.tables.notifications import claim, put_back
from tests.alerting.chat import Chat, Post
from tests.alerting.stage import NAME, Stage
from tests.effort import cases

AFTER = 300.0
DOWN = Unavailable("unreachable")


class Away:
    """A stage whose Telegram is away, a worker for each chat, and a fallback channel."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        if options:
            stage.furnish(**options)
        self.stage = stage
        self.post = Post(stage)
        self.chats = {"": self.post.chat}
        self.post.dispatcher.set_transport(self.post.chat, self._open, chat_id=-100)
        self.said: list[tuple[str, str]] = []
        self.takes = True
        self.directly = self.post.dispatcher.directly
        self.channel = ChannelFailover(self._send, Translator("ru"), AFTER)
        words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), stage.clock)
        self.unsent = OutboxFailover(
            stage.pool, self.channel, words, Translator("ru"), stage.clock, self.directly
        )
        self.telegram_is(DOWN)

    def _open(self, key: str) -> tuple[Chat, int]:
        return self.chats.setdefault(key, Chat(self.stage)), int(key)

    async def _send(self, title: str, text: str) -> bool:
        if self.takes:
            self.said.append((title, text))
        return self.takes

    def telegram_is(self, outcome: Any, *keys: str) -> None:
        for key in keys or ("", "222", "333"):
            chat = self.chats.setdefault(key, Chat(self.stage))
            chat.script = [] if outcome is None else [outcome] * 10_000

    async def pass_time(self, seconds: float, step: float = 10.0) -> None:
        """Workers and the fallback channel, running."""
        until = self.stage.clock.at + seconds
        while self.stage.clock.at < until:
            await self.stage.journal.write()
            for key in self.chats:
                while await self.post.dispatcher.deliver_next(key) == 0.0:
                    pass
            await self.unsent.check()
            self.stage.clock.at += step

    async def states(self) -> list[tuple[str, str, str | None]]:
        rows = await self.stage.pool.fetch(
            "SELECT kind, state, transport FROM dozor.notifications ORDER BY id"
        )
        return [tuple(row) for row in rows]


@pytest.fixture
def away(stage: Stage) -> Away:
    return Away(stage)


def stop(stage: Stage) -> None:
    for _ in range(5):
        stage.story.fail(after=0)


async def test_after_a_while_the_second_channel_speaks_and_then_one_summary_comes(away: Away) -> None:
    stop(away.stage)
    await away.pass_time(AFTER - 10)
    assert away.said == []
    await away.pass_time(30)
    [(title, text)] = away.said
    assert title == "[Дозор, запасной канал: в Telegram не доставлено уже 5 мин]"
    assert text.index("⚠️") < text.index("🛑"), "of one incident the older first"
    await away.pass_time(600)
    assert len(away.said) == 1
    away.telegram_is(None)
    await away.pass_time(120)
    [summary] = away.post.messages
    assert summary.header == "✉️ Telegram снова доступен. За это время отправлено через запасной канал: 2"
    assert f"🛑 {NAME}" in summary.text
    assert [action.rpartition(":")[2] for action in summary.actions] == [NAME], "a button to restart it"
    away.stage.story.restart()
    away.stage.story.succeed()
    await away.pass_time(60)
    assert away.post.headers[1:] == [f"✅ {NAME} снова работает · №1"], "firing was told, so its end is"


async def test_what_was_told_and_what_ended_meanwhile_is_one_line_that_says_how_it_is_now(away: Away) -> None:
    stop(away.stage)
    await away.pass_time(AFTER + 10)
    away.stage.story.restart()
    away.stage.story.succeed()
    await away.pass_time(SOON + 10)
    assert f"✅ {NAME} снова работает" in away.said[-1][1], "the end follows the beginning"
    away.telegram_is(None)
    await away.pass_time(120)
    [summary] = away.post.messages
    assert "отправлено через запасной канал: 3" in summary.header
    assert f"✅ {NAME} снова работает" in summary.text
    assert "🛑" not in summary.text


async def test_a_recovery_after_telegram_is_back_comes_after_the_summary_that_explains_it(away: Away) -> None:
    stop(away.stage)
    await away.pass_time(AFTER + 10)
    away.stage.story.restart()
    away.stage.story.succeed()
    await away.stage.journal.write()
    away.telegram_is(None)
    await away.post.deliver(120)
    first, second = away.post.headers
    assert first.startswith("✉️ Telegram снова доступен")
    assert second == f"✅ {NAME} снова работает · №1"


async def test_what_was_over_before_it_could_be_told_is_one_line_of_the_past(away: Away) -> None:
    stop(away.stage)
    away.stage.story.restart()
    away.stage.story.succeed()
    await away.pass_time(AFTER + 10)
    [(_, text)] = away.said
    assert "🛑" not in text
    assert text.count(NAME) == 1
    assert {state for _, state, _ in await away.states()} <= {"delivered", "superseded", "pending"}
    away.telegram_is(None)
    await away.pass_time(120)
    assert len(away.post.messages) == 1, "the summary; nothing is replayed"


async def test_while_it_is_in_use_what_is_urgent_does_not_wait_so_long(away: Away) -> None:
    stop(away.stage)
    await away.pass_time(AFTER + 100)
    assert len(away.said) == 1
    late = away.stage.new_task("late")
    for _ in range(5):
        late.fail(after=0)
    await away.pass_time(SOON + 10)
    assert "🛑 late" in away.said[-1][1]
    away.telegram_is(None)
    await away.pass_time(120)
    [summary] = away.post.messages
    assert f"🛑 {NAME}" in summary.text
    assert "🛑 late" in summary.text, "one summary of both"
    # It is back: the second channel rests again.
    away.telegram_is(DOWN)
    again = away.stage.new_task("again")
    for _ in range(5):
        again.fail(after=0)
    await away.pass_time(AFTER - 30)
    assert len(away.said) == 2


async def test_a_channel_that_takes_nothing_loses_nothing_and_is_not_hammered(away: Away) -> None:
    away.takes = False
    asked: list[str] = []
    away.channel._send = lambda title, text: _note(asked, title)
    stop(away.stage)
    await away.pass_time(AFTER + 300)
    assert 5 <= len(asked) <= 12
    away.telegram_is(None)
    await away.pass_time(120)
    assert [header[0] for header in away.post.headers] == ["⚠", "🛑"]


async def _note(asked: list[str], title: str) -> bool:
    asked.append(title)
    return False


async def test_hundreds_of_messages_are_told_in_few_and_none_is_claimed_that_was_not(away: Away) -> None:
    count = cases(105, 300)
    assert 2 * count > AT_ONCE
    for number in range(count):
        story = away.stage.new_task(f"t{number}")
        away.stage.clock.at += 20  # no storm
        for _ in range(5):
            story.fail(after=0)
    await away.stage.journal.write()
    owed = await away.stage.pool.fetchval("SELECT count(*) FROM dozor.notifications")
    assert owed == 2 * count
    await away.pass_time(5)
    [(_, first)] = away.said
    told = await away.stage.pool.fetch("SELECT task FROM dozor.notifications WHERE transport = $1", TRANSPORT)
    assert 10 < len({row["task"] for row in told}) < count
    for row in told:
        assert f"{row['task']} " in first or f"{row['task']}:" in first
    assert "🛑" in first.partition("\n")[0] or "🛑" in first[:600], "the most urgent are in it"
    assert " ещё " in first.rpartition("\n")[2]
    await away.pass_time(900, step=SOON / 2)
    left = await away.stage.pool.fetchval(
        "SELECT count(*) FROM dozor.notifications WHERE state IN ('pending', 'sending') AND kind <> 'summary'"
    )
    assert left == 0
    assert len(away.said) <= 900 / SOON
    away.telegram_is(None)
    await away.pass_time(300, step=SOON / 2)
    [summary] = away.post.messages
    assert f"канал: {2 * count}" in summary.header
    assert len(summary.text.splitlines()) <= 25


async def test_an_attempt_under_way_is_settled_by_whatever_ends_first(away: Away) -> None:
    """Telegram hangs on a message while the second channel tells it: it is not put back, to be replayed."""
    stop(away.stage)
    await away.stage.journal.write()
    held = await claim(away.stage.pool)
    assert held is not None
    away.stage.clock.at += AFTER
    await away.unsent.check()
    assert len(away.said) == 1
    await put_back(away.stage.pool, held.id, "timed out", unknown=True, retry_in=1.0)
    away.telegram_is(None)
    await away.pass_time(60)
    [summary] = away.post.messages
    assert summary.header.startswith("✉️")


async def test_what_may_have_arrived_says_so_there_too(away: Away) -> None:
    away.telegram_is(Unknown("no answer"))
    stop(away.stage)
    await away.pass_time(AFTER + 10)
    assert "Возможно, повтор" in away.said[0][1]


async def test_messages_on_the_console_of_a_chat_that_refuses_go_the_other_way_as_well(away: Away) -> None:
    away.telegram_is(Rejected("bot was kicked"))
    stop(away.stage)
    await away.pass_time(AFTER + 60)
    assert away.post.console.delivered
    assert "🛑" in away.said[0][1]


async def test_killed_between_telling_and_the_summary_it_is_owed_by_the_next_process(away: Away) -> None:
    stop(away.stage)
    await away.stage.journal.write()
    await away.stage.pool.execute(
        "UPDATE dozor.notifications SET state = 'delivered', transport = $1, delivered_at = to_timestamp($2)",
        TRANSPORT,
        away.stage.clock.at,
    )
    await away.unsent.check()
    await away.unsent.check()
    assert [kind for kind, state, _ in await away.states() if state == "pending"] == ["summary"]


# -- people and other chats

PEOPLE = OnCall({"ann": Person(name="ann", destination="222", user_id=222)})
LEVELS = (Level(60.0, "ann"),)


async def test_a_call_for_a_person_gets_out_while_telegram_is_away(stage: Stage) -> None:
    away = Away(stage, levels=LEVELS, oncall=PEOPLE)
    stop(stage)
    stage.pass_time(120)
    await away.pass_time(AFTER + 10)
    assert "🔴 ann: нужна реакция" in away.said[0][1]
    away.telegram_is(None)
    await away.pass_time(120)
    for key in ("", "222"):
        [summary] = away.chats[key].messages
        assert summary.header.startswith("✉️ Telegram снова доступен"), key


async def test_a_person_who_cannot_be_written_to_is_called_the_other_way(stage: Stage) -> None:
    """The chat works, and knows of the incident; the person was never told."""
    away = Away(stage, levels=LEVELS, oncall=PEOPLE)
    away.telegram_is(None)
    away.telegram_is(Rejected("bot was blocked by the user"), "222")
    stop(stage)
    stage.pass_time(120)
    await away.pass_time(AFTER + 30)
    [(_, text)] = away.said
    assert "нужна реакция" in text
    # The group is called as well: two messages about the task, and the call.
    assert len(away.chats[""].messages) == 3


async def test_a_person_who_cannot_be_written_to_takes_nothing_from_a_chat_that_works(stage: Stage) -> None:
    """What has just become owed to the chat is not swept along with what waits for the person."""
    away = Away(stage, levels=LEVELS, oncall=PEOPLE)
    away.telegram_is(None)
    away.telegram_is(Rejected("bot was blocked by the user"), "222")
    stop(stage)
    stage.pass_time(120)
    await away.pass_time(AFTER - 10)
    late = stage.new_task("late")
    for _ in range(5):
        late.fail(after=0)
    await stage.journal.write()
    stage.clock.at += 20
    await away.unsent.check()
    [(_, text)] = away.said
    assert "нужна реакция" in text
    assert "late" not in text
    await away.pass_time(60)
    assert any(header.startswith("🛑 late") for header in away.post.headers)


async def test_one_more_chat_that_is_gone_brings_nothing_that_another_chat_has(stage: Stage) -> None:
    away = Away(stage, routes=Routing((Route(destination="333"),)))
    away.telegram_is(None)
    away.telegram_is(Rejected("bot was kicked"), "333")
    stop(stage)
    await away.pass_time(AFTER + 30)
    assert away.said == []
    assert len(away.chats[""].messages) == 2


async def test_the_same_for_several_chats_is_said_once_and_settled_for_all(stage: Stage) -> None:
    away = Away(stage, routes=Routing((Route(destination="333"),)))
    stop(stage)
    await away.pass_time(AFTER + 30)
    [(_, text)] = away.said
    assert text.count("🛑") == 1
    away.telegram_is(None)
    await away.pass_time(60)
    for key in ("", "333"):
        [summary] = away.chats[key].messages
        assert "отправлено через запасной канал: 2" in summary.header


async def test_a_storm_is_told_as_a_digest(away: Away) -> None:
    for number in range(10):
        story = away.stage.new_task(f"t{number}")
        for _ in range(5):
            story.fail(after=0)
    await away.pass_time(AFTER + 10)
    [(_, text)] = away.said
    assert "t9" in text or "…" in text
    away.telegram_is(None)
    await away.pass_time(60)
    assert len([one for one in away.post.messages if one.header.startswith("✉️")]) == 1
    assert isinstance(await away.post.chat.send(away.post.messages[0].message), Delivered)
