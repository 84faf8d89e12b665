"""Somebody is called: in a group it rings for a person with an "@name", and for one without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from aiogram import Bot

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.model.codec import facts_from_json
from dozor.alerting.model.message import Message, Span, Style
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.alerting.rendering.render import bounded, render
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.config.values.incident_kinds import Severity
from dozor.language import Translator
from dozor_bot.telegram.session import Session
from dozor_bot.telegram.transport import TelegramTransport
from dozor_bot.telegram.wire import to_text
from tests.alerting.scripted import Scripted
from tests.alerting.stage import Stage
from tests.alerting.story import NOW
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.refusal import Refusal
from tests.bot.botapi.server import BotApi
from tests.bot.botapi.validation import TEXT_LIMIT, check_text

GROUP = -500
PEOPLE = OnCall(
    {
        "ann": Person(name="ann", mention="@ann", user_id=111),
        "Олег 🦊": Person(name="Олег 🦊", user_id=222),
        "eve": Person(name="eve", mention="Ева", user_id=333),
        "mob": Person(name="mob"),
    }
)
LINE = (
    "🔴 @ann, Олег 🦊, Ева, mob: нужна реакция. "
    "presale_checker: инцидент всё ещё открыт, уже 17 мин, с 15:44:00 UTC"
)


def call(facts: AlertData) -> Message:
    note = Notification(
        key="1",
        kind=NotificationKind.ESCALATION,
        severity=Severity.CRITICAL,
        created_at=NOW,
        task="presale_checker",
        facts=replace(facts, failing_since=NOW - 1020, level=1),
    )
    return render(note, Translator("ru"), ZoneInfo("UTC"), NOW)


def mentions(message: StoredMessage) -> list[tuple[str, int]]:
    """(name, id) as Telegram would show them: by UTF-16 offsets."""
    units = message.text.encode("utf-16-le")
    return [
        (units[2 * e["offset"] : 2 * (e["offset"] + e["length"])].decode("utf-16-le"), e["user"]["id"])
        for e in message.entities
        if e["type"] == "text_mention"
    ]


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    api = BotApi()
    api.world.add_chat(GROUP, "group", "Дежурные")
    for user_id, name in ((111, "Анна"), (222, "Олег"), (333, "Ева")):
        api.world.add_user(user_id, name)
    async with api:
        yield api


async def escalate(stage: Stage, api: BotApi) -> StoredMessage:
    """A task stops and nobody reacts: the message that calls people, as the group has it."""
    stage.furnish(levels=(Level(900.0, "everybody"),), oncall=PEOPLE)
    for _ in range(5):
        stage.story.fail()
    stage.pass_time(960)
    await stage.journal.write()
    session = Session(api.url)
    try:
        transport = TelegramTransport(Bot(api.token, session=session), GROUP, None, Translator("ru"))
        words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), stage.clock)
        dispatcher = Dispatcher(stage.pool, Scripted(), Scripted(name="console"), words, stage.clock)
        dispatcher.set_transport(transport, chat_id=GROUP)
        while (pause := await dispatcher.deliver_next()) is not None:
            stage.clock.at += pause
    finally:
        await session.close()
    return api.world.sent(GROUP)[-1]


async def test_everybody_who_is_called_is_notified(stage: Stage, api: BotApi) -> None:
    message = await escalate(stage, api)
    assert message.text.startswith("🔴 @ann, Олег 🦊, Ева, mob: нужна реакция")
    assert mentions(message) == [("Олег 🦊", 222), ("Ева", 333)]  # "@ann" is Telegram's own business
    assert not message.silent
    assert all(call.unknown_fields == [] for call in api.calls_of("sendMessage"))


async def test_a_person_whom_the_bot_has_never_met_costs_nothing(stage: Stage, api: BotApi) -> None:
    del api.world.users[222]
    message = await escalate(stage, api)
    assert "Олег 🦊" in message.text
    assert mentions(message) == [("Ева", 333)]


async def test_refused_mentions_leave_the_text(stage: Stage, api: BotApi) -> None:
    api.fail(FaultKind.BAD_ENTITIES, times=None)
    message = await escalate(stage, api)
    assert "Олег 🦊, Ева, mob: нужна реакция" in message.text
    assert message.entities == []


def test_the_header_stays_bold_from_end_to_end_with_the_names_inside() -> None:
    called = tuple((person.called, person.mention_id) for person in PEOPLE.people.values())
    message = call(AlertData(called=called))
    text, entities = to_text(message)
    assert text.partition("\n")[0] == LINE
    assert check_text(text, entities, TEXT_LIMIT) == text
    bold = sum(entity["length"] for entity in entities if entity["type"] == "bold")
    assert bold == len(LINE.encode("utf-16-le")) // 2


def test_a_call_owed_by_an_older_version_still_names_its_people() -> None:
    old = facts_from_json({"mention": "@ann, bob", "mention_id": 222})
    assert call(old).plain.startswith("🔴 @ann, bob: нужна реакция")
    assert call(AlertData()).plain.startswith("🔴 Dozor: нужна реакция")


def test_a_call_of_a_hundred_people_is_one_message() -> None:
    called = tuple((f"человек {number} " + "😀" * 60, number + 1) for number in range(100))
    text, entities = to_text(call(AlertData(called=called)))
    check_text(text, entities, TEXT_LIMIT)
    assert len([entity for entity in entities if entity["type"] == "text_mention"]) == 20
    assert "80" in text.partition(": нужна")[0]
    assert "presale_checker" in text


def test_a_name_that_is_cut_still_rings_and_nothing_rings_inside_code() -> None:
    [span] = bounded([Span("Олег" * 10, Style.BOLD, 222)], 10)
    assert (span.text, span.user_id) == ("ОлегОлегО…", 222)
    _, entities = to_text(Message(spans=(Span("Олег", Style.CODE, 222),)))
    assert [entity["type"] for entity in entities] == ["code"]


@pytest.mark.parametrize(
    "entities",
    [
        [{"type": "text_mention", "offset": 0, "length": 2}],
        [{"type": "text_mention", "offset": 0, "length": 2, "user": {"id": "222"}}],
        [{"type": "bold", "offset": 0, "length": 3}, {"type": "italic", "offset": 2, "length": 3}],
        [{"type": "code", "offset": 0, "length": 4}, {"type": "bold", "offset": 1, "length": 2}],
    ],
)
def test_the_stand_in_refuses_what_telegram_would_not_show(entities: list[dict[str, object]]) -> None:
    with pytest.raises(Refusal):
        check_text("abcdef", entities, TEXT_LIMIT)
