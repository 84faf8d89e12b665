"""Every answer of Telegram to an alert, over real HTTP, becomes one of the closed set of outcomes."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramNetworkError
from aiogram.methods import GetMe

from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    Outcome,
    Rejected,
    RetryAfter,
    Unavailable,
    Unknown,
)
from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.language import Translator
from dozor_bot.telegram import transport as transport_module
from dozor_bot.telegram.errors import unauthorized
from dozor_bot.telegram.session import Session
from dozor_bot.telegram.transport import TelegramTransport
from tests.bot.botapi.faults import Fault, FaultKind
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import FORUM, GROUP, TOPIC

ALERT = Message(
    spans=(
        Span("🦊 task: 3 errors", Style.BOLD),
        Span("\n"),
        Span("ValueError: <b>*_`[x]", Style.CODE),
        Span("\nrestart in 60 s"),
    ),
    buttons=((Button("Restart", "a:restart:task"),),),
)


@pytest.fixture
def to_group(client: Bot) -> TelegramTransport:
    return TelegramTransport(client, GROUP, None, Translator("ru"))


@pytest.fixture
def to_topic(client: Bot) -> TelegramTransport:
    return TelegramTransport(client, FORUM, TOPIC, Translator("ru"))


def _answer(body: Any, status: int = 200, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(FaultKind.ANSWER, status=status, body=body, headers=named, times=None)


def _wait(retry_after: object) -> Fault:
    """A 429 with this in place of the seconds."""
    return _answer({"ok": False, "error_code": 429, "parameters": {"retry_after": retry_after}}, 429)


def _refuse(status: int, description: str) -> Fault:
    return Fault(FaultKind.REFUSE, status=status, description=description, times=None)


Expected = Outcome | type[Rejected] | type[Unavailable] | type[Unknown]

TABLE: list[tuple[str, Fault, Expected, int]] = [
    # what happens, the fault, the outcome it must give, messages that arrived all the same
    ("429", Fault(FaultKind.RETRY_AFTER, seconds=7), RetryAfter(7.0), 0),
    ("429 without seconds", Fault(FaultKind.FLOOD_BARE), Unavailable, 0),
    ("429 in words only", _refuse(429, "Too Many Requests: retry after 9"), RetryAfter(9.0), 0),
    ("429 with a fraction", _wait(7.5), RetryAfter(8.0), 0),
    ("429 with text", _wait("7"), RetryAfter(7.0), 0),
    ("429 with a fraction in text", _wait("7.5"), RetryAfter(8.0), 0),
    ("429 of no time", _wait(0), RetryAfter(1.0), 0),
    ("429 of less than no time", _wait(-5), RetryAfter(1.0), 0),
    ("429 of six hours", _wait(21_600), RetryAfter(21_600.0), 0),
    ("429 of years", _wait(10**12), RetryAfter(86_400.0), 0),
    ("429 of years in text", _wait("1e400"), RetryAfter(86_400.0), 0),
    ("429 with words for seconds", _wait("soon"), Unavailable, 0),
    ("429 with a list for seconds", _wait([7]), Unavailable, 0),
    ("429 with null", _wait(None), Unavailable, 0),
    ("429 of no time in words", _refuse(429, "Too Many Requests: retry after 0"), RetryAfter(1.0), 0),
    ("429 in the header alone", _answer({"ok": False}, 429, Retry_After="9"), RetryAfter(9.0), 0),
    ("429 of a proxy", _answer("<html>Too many</html>", 429, Retry_After="9"), RetryAfter(9.0), 0),
    ("429 of a proxy, with a date", _answer("<html>", 429, Retry_After="Sat, 28 Nov 2026"), Unavailable, 0),
    ("parameters that are a list", _answer({"ok": False, "parameters": [1]}, 400), Rejected, 0),
    ("a code in words", _answer({"ok": False, "error_code": "many"}, 500), Unavailable, 0),
    ("a code in text", _answer({"ok": False, "error_code": "403", "description": "x"}), Rejected("x"), 0),
    ("ok with an error's status", _answer({"ok": True, "result": {}}, 502), Unavailable, 0),
    ("ok without a result", _answer({"ok": True}), Delivered(None), 0),
    ("ok with another result", _answer({"ok": True, "result": True}), Delivered(None), 0),
    ("ok with a list", _answer({"ok": True, "result": []}), Delivered(None), 0),
    ("502 with HTML", Fault(FaultKind.SERVER_ERROR, status=502), Unavailable, 0),
    ("503 with HTML", Fault(FaultKind.SERVER_ERROR, status=503), Unavailable, 0),
    ("504: carried out or not", Fault(FaultKind.SERVER_ERROR, status=504), Unknown, 0),
    ("500 in JSON", Fault(FaultKind.SERVER_ERROR_JSON, status=500), Unavailable, 0),
    ("302 of a captive portal", Fault(FaultKind.SERVER_ERROR, status=302), Unavailable, 0),
    ("403 page of a proxy", Fault(FaultKind.SERVER_ERROR, status=403), Unavailable, 0),
    ("reset", Fault(FaultKind.RESET), Unknown, 0),
    ("cut after accept", Fault(FaultKind.CUT_AFTER_ACCEPT), Unknown, 1),
    ("hang", Fault(FaultKind.HANG, seconds=30), Unknown, 0),
    ("hang after accept", Fault(FaultKind.HANG_AFTER_ACCEPT, seconds=30), Unknown, 1),
    ("half a body", Fault(FaultKind.HALF_BODY), Unknown, 1),
    ("half a JSON", Fault(FaultKind.HALF_JSON), Unknown, 1),
    ("nonsense", Fault(FaultKind.NONSENSE), Unknown, 0),
    ("nonsense in JSON", Fault(FaultKind.NONSENSE_JSON), Unknown, 0),
    ("401", Fault(FaultKind.UNAUTHORIZED), Rejected(unauthorized()), 0),
    ("404", _refuse(404, "Not Found"), Rejected, 0),
    ("kicked", Fault(FaultKind.KICKED), Rejected("bot was kicked from the supergroup chat"), 0),
    ("blocked", Fault(FaultKind.BLOCKED), Rejected("bot was blocked by the user"), 0),
    ("no such chat", Fault(FaultKind.CHAT_NOT_FOUND), Rejected("chat not found"), 0),
    ("in capitals", _refuse(400, "BAD REQUEST: CHAT NOT FOUND"), Rejected("CHAT NOT FOUND"), 0),
    ("no right to write", _refuse(400, "Bad Request: not enough rights to send text messages"), Rejected, 0),
    ("409", Fault(FaultKind.CONFLICT), Unavailable, 0),
    ("unheard of, whatever the form", _refuse(400, "Bad Request: GO_AWAY"), Rejected, 0),
    ("no description at all", _refuse(400, ""), Rejected, 0),
    ("an unheard-of status", _refuse(418, "I'm a teapot"), Unavailable, 0),
]


@pytest.mark.parametrize(
    ("fault", "expected", "arrived"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
async def test_each_fault_has_its_outcome(
    api: BotApi,
    to_group: TelegramTransport,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    expected: Expected,
    arrived: int,
) -> None:
    if "hang" in fault.kind:
        monkeypatch.setattr(transport_module, "SEND_TIMEOUT", 0.3)
    api.faults.add(replace(fault))
    outcome = await to_group.send(ALERT)
    if isinstance(expected, type):
        assert isinstance(outcome, expected)
    else:
        assert outcome == expected
    assert len(api.world.sent(GROUP)) == arrived


async def test_a_message_arrives_with_its_styles_and_buttons(
    api: BotApi, to_group: TelegramTransport
) -> None:
    outcome = await to_group.send(ALERT)
    [message] = api.world.sent(GROUP)
    assert outcome == Delivered(message.message_id)
    assert message.text == ALERT.plain
    assert message.entities == [
        {"type": "bold", "offset": 0, "length": 17},
        {"type": "code", "offset": 18, "length": 21},
    ]
    assert message.buttons == [("Restart", "a:restart:task")]
    [call] = api.calls_of("sendMessage")
    assert "parse_mode" not in call.params
    assert call.unknown_fields == []


async def test_nobody_listening_is_certainly_not_sent(api: BotApi, to_group: TelegramTransport) -> None:
    await api.stop()
    outcome = await to_group.send(ALERT)
    assert isinstance(outcome, Unavailable)
    assert "cannot connect to 127.0.0.1" in outcome.reason
    await api.start()
    assert isinstance(await to_group.send(ALERT), Delivered)


async def test_a_name_that_does_not_resolve_is_certainly_not_sent() -> None:
    session = Session("http://no-such-host.invalid")
    try:
        outcome = await TelegramTransport(Bot("1:x", session=session), 1, None, Translator("ru")).send(ALERT)
    finally:
        await session.close()
    assert isinstance(outcome, Unavailable)


async def test_a_leader_outside_its_window_calls_nothing(api: BotApi) -> None:
    leads = True
    session = Session(api.url, may_act=lambda: leads)
    try:
        bot = Bot(api.token, session=session)
        transport = TelegramTransport(bot, GROUP, None, Translator("ru"))
        assert isinstance(await transport.send(ALERT), Delivered)
        leads = False
        assert isinstance(await transport.send(ALERT), Unavailable)
        with pytest.raises(TelegramNetworkError):
            await bot(GetMe())
    finally:
        await session.close()
    assert len(api.world.sent(GROUP)) == 1


async def test_a_group_that_became_a_supergroup_is_followed(api: BotApi, to_group: TelegramTransport) -> None:
    api.world.add_chat(-1009, "supergroup", "Дежурные")
    api.world.chats[GROUP].migrated_to = -1009
    assert await to_group.send(ALERT) == ChatMoved(-1009)
    assert isinstance(await to_group.send(ALERT), Delivered)
    assert len(api.world.sent(-1009)) == 1


async def test_refused_entities_become_plain_text(api: BotApi, to_group: TelegramTransport) -> None:
    api.fail(FaultKind.BAD_ENTITIES, times=None)
    assert isinstance(await to_group.send(ALERT), Delivered)
    [message] = api.world.sent(GROUP)
    assert message.text == ALERT.plain
    assert message.entities == []
    assert message.buttons


async def test_refused_plain_text_becomes_one_bare_line(api: BotApi, to_group: TelegramTransport) -> None:
    for words in ("can't parse entities: x", "can't parse entities: y"):
        api.fail(FaultKind.REFUSE, method="sendMessage", status=400, description=f"Bad Request: {words}")
    assert isinstance(await to_group.send(ALERT), Delivered)
    [message] = api.world.sent(GROUP)
    assert (message.text, message.buttons) == ("🦊 task: 3 errors", [])


async def test_refused_buttons_are_left_out(api: BotApi, to_group: TelegramTransport) -> None:
    message = Message(spans=ALERT.spans, buttons=((Button("b", "x" * 65),),))
    assert isinstance(await to_group.send(message), Delivered)
    [stored] = api.world.sent(GROUP)
    assert (stored.text, stored.buttons) == (ALERT.plain, [])
    assert stored.entities


@pytest.mark.parametrize("how", ["closed", "deleted"])
async def test_a_closed_or_deleted_topic_falls_back_to_the_chat_with_a_note(
    api: BotApi, to_topic: TelegramTransport, how: str
) -> None:
    assert isinstance(await to_topic.send(ALERT), Delivered)
    if how == "closed":
        api.world.chats[FORUM].topics[TOPIC] = False
    else:
        del api.world.chats[FORUM].topics[TOPIC]
    assert isinstance(await to_topic.send(ALERT), Delivered)
    in_topic, in_chat = api.world.sent(FORUM)
    assert (in_topic.thread_id, in_chat.thread_id) == (TOPIC, None)
    assert in_chat.text.endswith("Тема для оповещений закрыта или удалена, пишу сюда.")


@pytest.mark.parametrize(
    "text",
    ["\x00", "\ud800 and \udfff", "x" * 1_000_000, "🦊" * 5000, "", " \n ", "\u202e" * 10, "e\u0301" * 9000],
)
async def test_hostile_texts_arrive_at_the_first_attempt(
    api: BotApi, to_group: TelegramTransport, text: str
) -> None:
    message = Message(spans=(Span(text, Style.BOLD), Span(text, Style.CODE)))
    assert isinstance(await to_group.send(message), Delivered)
    assert len(api.calls_of("sendMessage")) == 1


async def test_a_silent_message_makes_no_sound(api: BotApi, to_group: TelegramTransport) -> None:
    await to_group.send(Message(spans=(Span("x"),), silent=True))
    assert api.world.sent(GROUP)[0].silent


async def test_no_error_holds_the_token(api: BotApi, client: Bot) -> None:
    """Of a refused connection, of a bad address: the token stands in every URL."""
    await api.stop()
    with pytest.raises(TelegramNetworkError) as caught:
        await client(GetMe())
    error: BaseException | None = caught.value
    seen = []
    while error is not None:
        seen.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__
    assert "stand-in-token" not in " ".join(seen)


async def test_an_http_proxy_is_used(api: BotApi) -> None:
    """The stand-in plays the proxy: it is asked for an address that nobody else could answer."""
    session = Session("http://telegram.invalid", proxy=api.url)
    try:
        bot = Bot(api.token, session=session)
        outcome = await TelegramTransport(bot, GROUP, None, Translator("ru")).send(ALERT)
    finally:
        await session.close()
    assert isinstance(outcome, Delivered)


async def test_the_certificates_are_read_once_and_not_for_each_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[object] = []

    def context(**options: object) -> ssl.SSLContext:
        read.append(options)
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    monkeypatch.setattr(ssl, "create_default_context", context)
    session = Session("https://telegram.invalid")
    await session.create_session()
    await session.close()
    assert read == []
