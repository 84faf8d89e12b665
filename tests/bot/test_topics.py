"""Alerts to topics: a closed one costs one refused call, not one each, and is found again when it opens."""

from __future__ import annotations

import pytest
from aiogram import Bot

from dozor.alerting.delivery.destination import TOPIC_AGAIN
from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.transport import Delivered, Gone, Rejected
from dozor.alerting.model.codec import to_row
from dozor.alerting.model.message import Document, Message, Span
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.config.values.incident_kinds import Severity
from dozor.language import Translator
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import notifications
from dozor_bot.telegram.transport import TelegramTransport
from tests.alerting.scripted import Scripted
from tests.alerting.story import ManualClock
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import FORUM, TOPIC, ZONE

NOTE = "тема"


class Post:
    """Messages owed to the topics of one forum, delivered over HTTP, by a clock moved by hand."""

    def __init__(self, pool: Pool, client: Bot) -> None:
        self._pool, self._client = pool, client
        self.clock = ManualClock()
        console = Scripted(name="console")
        words = MessageRenderer(Translator("ru"), ZONE, self.clock)
        self.dispatcher = Dispatcher(pool, console, console, words, self.clock)
        self.dispatcher.set_transport(
            self._to(TOPIC), lambda key: (self._to(int(key.partition(":")[2])), FORUM), chat_id=FORUM
        )

    def _to(self, topic: int) -> TelegramTransport:
        return TelegramTransport(self._client, FORUM, topic, Translator("ru"))

    async def owe(self, *texts: str, to: str = "") -> None:
        rows = [
            to_row(
                Notification(
                    key=text,
                    kind=NotificationKind.CHECKER,
                    severity=Severity.WARNING,
                    created_at=self.clock.now(),
                    task="a",
                    facts=AlertData(text=text),
                    destination=to,
                )
            )
            for text in texts
        ]
        async with self._pool.acquire() as connection:
            await notifications.enqueue(connection, rows)

    async def deliver(self, *keys: str) -> None:
        """All that is owed to these, taking turns."""
        for _ in range(100):
            pauses = [await self.dispatcher.deliver_next(key) for key in keys or ("",)]
            waits = [pause for pause in pauses if pause is not None]
            if not waits:
                return
            self.clock.at += min(waits)
        raise AssertionError("it goes on for ever")


@pytest.fixture
def post(pool: Pool, client: Bot) -> Post:
    return Post(pool, client)


def said(api: BotApi) -> list[tuple[int | None, str]]:
    return [(message.thread_id, message.text) for message in api.world.sent(FORUM)]


async def test_a_closed_topic_is_asked_once_and_found_again_when_it_opens(post: Post, api: BotApi) -> None:
    api.world.chats[FORUM].topics[TOPIC] = False
    await post.owe("one", "two", "three")
    await post.deliver()
    assert [(thread, NOTE in text.lower()) for thread, text in said(api)] == [(None, True)] * 3
    assert len(api.calls_of("sendMessage")) == 4  # one refused, whatever the number of messages

    api.world.chats[FORUM].topics[TOPIC] = True
    await post.owe("soon after")
    await post.deliver()
    assert said(api)[-1][0] is None
    post.clock.at += TOPIC_AGAIN
    await post.owe("much later", "and on")
    await post.deliver()
    assert [(thread, NOTE in text.lower()) for thread, text in said(api)[-2:]] == [(TOPIC, False)] * 2


async def test_a_topic_that_stays_closed_is_tried_seldom(post: Post, api: BotApi) -> None:
    api.world.chats[FORUM].topics[TOPIC] = False
    for number in range(4):
        await post.owe(f"one of round {number}", f"another of round {number}")
        await post.deliver()
        post.clock.at += TOPIC_AGAIN + 1
    assert len(said(api)) == 8
    refused = [call for call in api.calls_of("sendMessage") if call.status == 400]
    assert len(refused) == 4


async def test_topics_of_one_chat_share_its_pace(post: Post, api: BotApi) -> None:
    api.world.chats[FORUM].topics = {TOPIC: True, 18: True, 19: True}
    keys = ("", f"{FORUM}:18", f"{FORUM}:19")
    for key in keys:
        await post.owe(*(f"{number} to {key}" for number in range(10)), to=key)
    began = post.clock.at
    await post.deliver(*keys)
    assert len(said(api)) == 30
    assert post.clock.at - began >= 30 - 3 - 1  # three at once, then one a second, whoever sends it


async def test_a_topic_closed_in_mid_incident_does_not_swallow_what_replies_to_it(
    post: Post, api: BotApi, client: Bot
) -> None:
    """A reply lands in the topic of its first message, so General gets none."""
    transport = TelegramTransport(client, FORUM, TOPIC, Translator("ru"))
    first = await transport.send(Message(spans=(Span("⚠️ errors"),)))
    assert isinstance(first, Delivered)
    api.world.chats[FORUM].topics[TOPIC] = False
    stop = Message(
        spans=(Span("🛑 stopped"),), reply_to=first.message_id, document=Document("a.txt", "x", "y")
    )
    sent = await transport.send(stop)
    assert isinstance(sent, Delivered)
    attached = await transport.attach(Document("a.txt", "x", "y"), first.message_id, possible_duplicate=False)
    assert isinstance(attached, Delivered)
    await transport.send(Message(spans=(Span("✅ works"),), reply_to=sent.message_id))
    general = api.world.sent(FORUM)[1:]
    assert [message.thread_id for message in general] == [None] * 3
    assert [message.reply_to for message in general[:2]] == [None, None]
    assert NOTE in general[0].text.lower()


async def test_an_edit_in_a_closed_topic_is_sent_instead_and_closes_no_chat(client: Bot, api: BotApi) -> None:
    transport = TelegramTransport(client, FORUM, TOPIC, Translator("ru"))
    first = await transport.send(Message(spans=(Span("⚠️ errors"),)))
    assert isinstance(first, Delivered)
    api.fail(FaultKind.TOPIC_CLOSED)
    outcome = await transport.edit(Message(spans=(Span("✅ works"),)), first.message_id or 0)
    assert isinstance(outcome, Gone)


async def test_a_reply_to_a_message_in_general_that_is_closed_goes_to_its_topic(
    client: Bot, api: BotApi
) -> None:
    forum = api.world.chats[FORUM]
    forum.topics[TOPIC] = False
    transport = TelegramTransport(client, FORUM, TOPIC, Translator("ru"))
    first = await transport.send(Message(spans=(Span("⚠️ errors"),)))
    assert isinstance(first, Delivered)
    forum.topics[TOPIC], forum.general_closed = True, True
    sent = await transport.send(Message(spans=(Span("🛑 stopped"),), reply_to=first.message_id))
    assert isinstance(sent, Delivered)
    assert said(api)[-1] == (TOPIC, "🛑 stopped")
    assert not transport.topic_lost


async def test_a_message_in_the_chat_has_the_topic_tried_again_at_once(post: Post, api: BotApi) -> None:
    api.world.chats[FORUM].topics[TOPIC] = False
    await post.owe("one")
    await post.deliver()
    api.world.chats[FORUM].topics[TOPIC] = True
    await post.dispatcher.reopen(FORUM)  # as the bot does for "the topic was reopened"
    await post.owe("two")
    await post.deliver()
    assert [thread for thread, _ in said(api)] == [None, TOPIC]


async def test_general_closed_as_well_is_a_refusal_until_either_opens(post: Post, api: BotApi) -> None:
    forum = api.world.chats[FORUM]
    forum.topics[TOPIC], forum.general_closed = False, True
    await post.owe("one")
    await post.dispatcher.deliver_next()
    assert said(api) == []
    assert post.dispatcher.refused is not None
    forum.topics[TOPIC] = True
    await post.deliver()
    assert [thread for thread, _ in said(api)] == [TOPIC]


async def test_general_that_is_closed_as_well_is_a_refusal_of_the_chat(client: Bot, api: BotApi) -> None:
    api.fail(FaultKind.TOPIC_CLOSED, times=None)
    outcome = await TelegramTransport(client, FORUM, None, Translator("ru")).send(Message(spans=(Span("x"),)))
    assert isinstance(outcome, Rejected)
    assert not outcome.of_message
    assert len(api.calls_of("sendMessage")) == 1
