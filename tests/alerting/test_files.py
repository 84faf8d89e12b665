"""The file under a message: whatever becomes of it, its message is sent once."""

from __future__ import annotations

import contextlib
import io
from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

import pytest
from aiogram import Bot
from loguru import logger

from dozor.alerting.delivery.attachments import ATTEMPTS, MOST
from dozor.alerting.delivery.console import ConsoleTransport
from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.transport import Delivered
from dozor.alerting.model.full_text import KEPT, WHOLE
from dozor.alerting.model.message import Message, Span
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.language import Translator
from dozor.log_writer import CONSOLE
from dozor_bot.telegram import transport as transport_module
from dozor_bot.telegram.session import Session
from dozor_bot.telegram.transport import TelegramTransport
from tests.alerting.scripted import Scripted
from tests.alerting.stage import NAME, Stage
from tests.alerting.story import failure
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi

GROUP, MOVED = -500, -1007
LONG = "Ledger is off\n" + "\n".join(f"account {number}: {number} wei 🦊" for number in range(400))


class Wire:
    """The stage's messages on their way to a Bot API over HTTP."""

    def __init__(self, stage: Stage, api: BotApi) -> None:
        self.stage, self.api = stage, api
        self.session = Session(api.url)
        self.transport = TelegramTransport(
            Bot(api.token, session=self.session), GROUP, None, Translator("ru")
        )
        self.console = Scripted(name="console")
        words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), stage.clock)
        self.dispatcher = Dispatcher(stage.pool, self.console, self.console, words, stage.clock)
        self.dispatcher.set_transport(self.transport, chat_id=GROUP)

    async def deliver(self, seconds: float = 60.0) -> None:
        """All that can leave within `seconds`, which pass."""
        await self.stage.journal.write()
        until = self.stage.clock.at + seconds
        while (pause := await self.dispatcher.deliver_next()) is not None:
            if self.stage.clock.at + pause > until:
                break
            self.stage.clock.at += pause
        self.stage.clock.at = max(self.stage.clock.at, until)

    def alert(self, text: str = LONG, severity: str = "warning") -> None:
        self.stage.manager.checker_alert(self.stage.story.task, text, severity)

    @property
    def texts(self) -> list[StoredMessage]:
        return [message for message in self.api.world.sent() if message.document is None]

    @property
    def files(self) -> list[StoredMessage]:
        return [message for message in self.api.world.sent() if message.document is not None]


@pytest.fixture
async def wire(stage: Stage) -> AsyncIterator[Wire]:
    api = BotApi()
    api.world.add_chat(GROUP, "group", "Дежурные")
    async with api:
        wire = Wire(stage, api)
        yield wire
        await wire.session.close()


async def test_a_long_text_is_a_message_and_its_whole_a_file_in_reply(wire: Wire) -> None:
    wire.alert()
    await wire.deliver()
    [text], [file] = wire.texts, wire.files
    assert text.text.startswith(f"⚠️ {NAME}: Ledger is off · №1\naccount 0: 0 wei 🦊")
    assert text.text.endswith("…\n📎 Целиком: в файле под этим сообщением")
    assert not text.silent
    assert file.content.decode() == LONG
    assert file.document == f"{NAME}-2025-11-24-160100.txt"
    assert file.reply_to == text.message_id
    assert file.silent
    assert all(call.unknown_fields == [] for call in wire.api.calls_of("sendMessage"))


async def test_an_edit_of_the_message_does_not_bring_the_file_again(wire: Wire) -> None:
    wire.alert()
    await wire.deliver()
    for _ in range(3):
        wire.alert()
        await wire.deliver(120)
    [text], [_] = wire.texts, wire.files
    assert len(text.history) > 1
    facts = await wire.stage.pool.fetchval("SELECT facts FROM dozor.incidents")
    assert "whole" not in facts
    assert len(facts["text"]) <= KEPT


async def test_a_long_error_brings_its_traceback_once(wire: Wire) -> None:
    long = failure("answered " + "<html>" * 300)
    for _ in range(5):
        wire.stage.story.fail(long)
        await wire.deliver(120)
    wire.stage.story.restart()
    wire.stage.story.succeed()
    await wire.deliver(120)
    told, stopped, _recovered = wire.texts
    assert [file.reply_to for file in wire.files] == [told.message_id, stopped.message_id]
    assert wire.files[0].content.decode() == long.traceback
    rows = await wire.stage.pool.fetch(
        "SELECT kind, payload ? 'whole' AS whole FROM dozor.notifications ORDER BY id"
    )
    assert [tuple(row) for row in rows] == [
        ("repeated_errors", True),
        ("critical_stop", True),
        ("recovered", False),
    ]


LATER = [
    (FaultKind.RETRY_AFTER, {"seconds": 7}, 1, None),
    (FaultKind.FLOOD_BARE, {}, 1, None),
    (FaultKind.SERVER_ERROR, {"status": 502}, 1, None),
    (FaultKind.SERVER_ERROR_JSON, {"status": 500}, 1, None),
    (FaultKind.RESET, {}, 1, "Возможно, повтор: неизвестно, дошло ли это сообщение раньше."),
    (FaultKind.CUT_AFTER_ACCEPT, {}, 2, "Возможно, повтор: неизвестно, дошло ли это сообщение раньше."),
    (FaultKind.HALF_BODY, {}, 2, "Возможно, повтор: неизвестно, дошло ли это сообщение раньше."),
    (FaultKind.HANG, {"seconds": 30}, 1, "Возможно, повтор: неизвестно, дошло ли это сообщение раньше."),
]


@pytest.mark.parametrize(("kind", "more", "arrived", "caption"), LATER, ids=[row[0] for row in LATER])
async def test_a_file_that_does_not_get_through_comes_later_and_its_message_not_again(
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
    kind: FaultKind,
    more: dict[str, float],
    arrived: int,
    caption: str | None,
) -> None:
    if kind is FaultKind.HANG:
        monkeypatch.setattr(transport_module, "SEND_TIMEOUT", 0.3)
    wire.api.fail(kind, method="sendDocument", **more)
    wire.alert()
    await wire.deliver()
    [text] = wire.texts
    assert len(wire.api.calls_of("sendMessage")) == 1
    assert len(wire.files) == arrived
    assert {file.content.decode() for file in wire.files} == {LONG}
    assert wire.files[-1].reply_to == text.message_id
    assert (wire.files[-1].text or None) == caption
    row = await wire.stage.pool.fetchrow("SELECT state, attempts, unknown_outcomes FROM dozor.notifications")
    assert tuple(row or ()) == ("delivered", 1, 0)
    assert wire.console.delivered == []


@pytest.mark.parametrize(
    ("said", "forms"),
    [
        ("not enough rights to send documents to the chat", 1),
        ("CHAT_SEND_DOCS_FORBIDDEN", 1),
        ("something unheard of", 2),
    ],
)
async def test_a_refused_file_is_given_up_and_its_text_is_on_the_console(
    wire: Wire, said: str, forms: int
) -> None:
    logged: list[str] = []
    sink = logger.add(lambda line: logged.append(str(line)), level="ERROR", format="{message}")
    wire.api.fail(
        FaultKind.REFUSE, method="sendDocument", status=400, description=f"Bad Request: {said}", times=None
    )
    wire.alert()
    await wire.deliver(3600)
    logger.remove(sink)
    assert len(wire.api.calls_of("sendMessage")) == 1
    assert len(wire.api.calls_of("sendDocument")) == forms
    assert wire.console.delivered == [f"{NAME}-2025-11-24-160100.txt\n{LONG}"]
    [line] = logged
    assert line.endswith("Its text is on the console.\n")
    row = await wire.stage.pool.fetchrow("SELECT state, attempts FROM dozor.notifications")
    assert tuple(row or ()) == ("delivered", 1)


async def test_a_file_that_never_gets_through_holds_up_no_message_and_is_given_up(wire: Wire) -> None:
    wire.api.fail(FaultKind.SERVER_ERROR, method="sendDocument", status=502, times=None)
    wire.alert()
    await wire.deliver(10)
    for number in range(5):
        wire.alert(f"short {'abcde'[number]}")
        before = len(wire.texts)
        await wire.deliver(5)
        assert len(wire.texts) == before + 1
    await wire.deliver(4 * 3600)
    assert len(wire.api.calls_of("sendDocument")) == ATTEMPTS
    assert [text.partition("\n")[2] for text in wire.console.delivered] == [LONG]
    assert len(wire.api.calls_of("sendMessage")) == 6


async def test_files_wait_for_messages_and_too_many_of_them_are_given_up(wire: Wire) -> None:
    wire.api.fail(FaultKind.RETRY_AFTER, method="sendDocument", seconds=5, times=3)
    for number in range(MOST + 5):
        wire.alert(f"{number} " + "x" * 3000, "info")
    await wire.deliver(600)
    methods = [call.method for call in wire.api.calls]
    assert len(wire.texts) == MOST + 5
    assert methods.index("sendDocument") > methods.index("sendMessage") + MOST
    assert len(wire.files) == MOST
    assert len(wire.console.delivered) == 5
    replied = [file.reply_to for file in wire.files]
    assert replied == [text.message_id for text in wire.texts][5:]


async def test_a_group_that_becomes_a_supergroup_between_message_and_file_gets_both(wire: Wire) -> None:
    wire.alert()
    await wire.stage.journal.write()
    while not wire.texts:
        wire.stage.clock.at += await wire.dispatcher.deliver_next() or 0.0
    wire.api.world.add_chat(MOVED, "supergroup", "Дежурные")
    wire.api.world.chats[GROUP].migrated_to = MOVED
    await wire.deliver()
    [file] = wire.files
    assert file.chat.id == MOVED
    [first, anew] = wire.texts
    assert (first.chat.id, anew.chat.id) == (GROUP, MOVED)
    assert "Отправлено сюда заново" in anew.text


async def test_a_file_follows_its_message_into_the_topic_and_out_of_it(wire: Wire) -> None:
    chat = wire.api.world.add_chat(MOVED, "supergroup", "Команда", is_forum=True, topics={17: True})
    wire.transport = TelegramTransport(Bot(wire.api.token, session=wire.session), MOVED, 17, Translator("ru"))
    wire.dispatcher.set_transport(wire.transport, chat_id=MOVED)
    wire.alert()
    await wire.deliver()
    chat.topics[17] = False
    wire.alert("again\n" + LONG)
    await wire.deliver()
    assert [message.thread_id for message in wire.api.world.sent()] == [17, 17, None, None]
    assert len(wire.files) == 2


async def test_a_process_that_ends_says_which_files_it_owed(wire: Wire) -> None:
    logged: list[str] = []
    sink = logger.add(lambda line: logged.append(str(line)), level="WARNING", format="{message}")
    wire.api.fail(FaultKind.SERVER_ERROR, method="sendDocument", status=502, times=None)
    wire.alert()
    await wire.deliver(10)
    wire.dispatcher.set_transport(Scripted())
    logger.remove(sink)
    assert logged == [
        f"The file {NAME}-2025-11-24-160100.txt is not sent any more; its message has arrived\n"
    ]


async def test_what_went_past_the_database_has_its_file_when_the_database_is_back(wire: Wire) -> None:
    wire.alert()
    [row] = wire.stage.journal.unwritten_notifications
    sent = wire.api.world.store(wire.api.world.chats[GROUP], wire.api.world.bot, "straight from memory")
    wire.dispatcher.directly.delivered[row.key] = sent.message_id
    await wire.deliver()
    [file] = wire.files
    assert file.reply_to == sent.message_id
    assert file.content.decode() == LONG
    assert wire.api.calls_of("sendMessage") == []


async def test_a_megabyte_of_what_no_database_takes_arrives_at_the_first_attempt(wire: Wire) -> None:
    text = "off\x00\ud800 by 3\n" * 80_000
    wire.alert(text)
    await wire.deliver()
    [sent], [file] = wire.texts, wire.files
    shown = file.content.decode()
    assert shown.startswith("off\ufffd\ufffd by 3\noff")
    assert shown.endswith("[Дальше обрезано: Дозор хранит первые 65\xa0536 знаков.]")
    assert "\ud800" not in sent.text
    stored = await wire.stage.pool.fetchval("SELECT length(payload ->> 'whole') FROM dozor.notifications")
    assert stored == WHOLE + 1


async def test_while_the_database_is_away_files_do_not_fill_the_memory(stage: Stage) -> None:
    for number in range(300):
        stage.manager.checker_alert(stage.story.task, f"{number}\n" + "x" * 100_000, "info")
    waiting = stage.journal.unwritten_notifications
    assert len(waiting) == 300
    assert sum("whole" in row.payload for row in waiting) == 200
    assert all(len(row.payload["text"]) <= KEPT for row in waiting)


@pytest.mark.parametrize("as_json", [False, True])
async def test_an_alert_is_shown_while_standard_error_is_redirected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    monkeypatch.setattr(CONSOLE, "json", as_json)
    console = ConsoleTransport()
    with contextlib.redirect_stderr(io.StringIO()) as theirs:
        assert isinstance(await console.send(Message(spans=(Span("Ledger is off"),))), Delivered)
    assert "Ledger is off" in capsys.readouterr().err
    assert theirs.getvalue() == ""


async def test_the_console_shows_the_whole_text(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    console = ConsoleTransport()
    words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), stage.clock)
    dispatcher = Dispatcher(stage.pool, console, console, words, stage.clock)
    stage.manager.checker_alert(stage.story.task, LONG, "warning")
    await stage.journal.write()
    while await dispatcher.deliver_next() is not None:
        pass
    shown = capsys.readouterr().err
    assert shown.startswith(f"╭──\n│ ⚠️ {NAME}: Ledger is off · №1\n")
    assert f"├── {NAME}-2025-11-24-160100.txt\n│ Ledger is off\n│ account 0: 0 wei" in shown
    assert shown.endswith("│ account 399: 399 wei 🦊\n╰──\n")
    assert "Целиком" not in shown
