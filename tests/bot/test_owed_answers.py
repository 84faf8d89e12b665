"""Answers wait out a 429, take a simpler form, and go to private where the chat is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loguru import logger

from dozor.language import Language
from dozor.storage import retention
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor_bot.telegram import replies
from tests.bot import scenery
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import (
    ADMIN,
    FORUM,
    GROUP,
    OPERATOR,
    STRANGER,
    TOPIC,
    VIEWER,
    Running,
    build,
    on_the_loop,
)
from tests.bot.executor import Executor
from tests.waiting import until

RESTART = "/restart presale_checker"
RESTARTED = {
    Language.RU: "🔄 presale_checker перезапущена, сейчас выполняется",
    Language.EN: "🔄 presale_checker restarted, now running",
}


@on_the_loop(params=list(Language))
async def spoken(request: pytest.FixtureRequest, api: BotApi, pool: Pool, executor: Executor) -> Language:
    """The language of the bot that `started` starts."""
    await executor.alive()
    await executor.add("presale_checker", State.STOPPED, 5)
    return Language(request.param)


@on_the_loop()
async def started(api: BotApi, pool: Pool, spoken: Language) -> AsyncIterator[Running]:
    running = Running(build(api, pool, spoken))
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")))
    yield running
    await running.close()


async def _told(api: BotApi, chat: int, count: int = 1, timeout: float = 15.0) -> StoredMessage:
    await api.wait_until(lambda: len(api.world.sent(chat)) >= count, timeout, what=f"an answer in {chat}")
    return api.world.sent(chat)[count - 1]


async def test_an_answer_waits_out_a_long_429_and_nothing_else_waits_with_it(
    api: BotApi, executor: Executor, spoken: Language, started: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PATIENCE", 0.2)
    for _ in range(2):  # and it is told to wait once more
        api.fail(FaultKind.RETRY_AFTER, method="sendMessage", chat_id=GROUP, seconds=2)
    api.say(OPERATOR, RESTART, chat_id=GROUP)
    # The first one is refused, and the database takes its time to keep that: the others must not overtake it.
    owed = started.telegram._replies._owed
    assert owed is not None
    refused, behind = owed.refused, asyncio.Event()

    async def slowly(update_id: int) -> None:
        await behind.wait()
        await refused(update_id)

    monkeypatch.setattr(owed, "refused", slowly)
    await api.wait_until(lambda: any(call.status == 429 for call in api.calls), what="the refusal")
    for _ in range(3):
        api.say(OPERATOR, "/whoami", chat_id=GROUP)
    api.say(ADMIN, "/whoami")
    await _told(api, ADMIN)
    assert api.world.sent(GROUP) == []
    behind.set()
    first = await _told(api, GROUP)
    assert first.text.startswith(RESTARTED[spoken])
    await _told(api, GROUP, 4)  # in their order, each once
    assert len(executor.done) == 1


async def test_what_waits_at_the_stop_is_ended_and_logged(
    api: BotApi, pool: Pool, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PATIENCE", 0.0)
    logged: list[str] = []
    sink = logger.add(lambda line: logged.append(str(line)), level="INFO")
    running = Running(build(api, pool))
    api.fail(FaultKind.RETRY_AFTER, method="sendMessage", seconds=60)
    api.say(ADMIN, "/whoami")
    try:
        await api.wait_until(lambda: any("an answer waits" in line for line in logged), what="the log")
    finally:
        await running.close()
        logger.remove(sink)
    assert any("answers not sent at the stop: 1" in line for line in logged)


async def test_an_answer_survives_an_outage_and_is_marked_where_it_may_have_arrived(
    api: BotApi, executor: Executor, spoken: Language, started: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "FIRST_PAUSE", 0.1)
    api.fail(FaultKind.SERVER_ERROR, method="sendMessage", chat_id=OPERATOR)
    api.fail(FaultKind.CUT_AFTER_ACCEPT, method="sendMessage", chat_id=OPERATOR)
    api.say(OPERATOR, RESTART)
    second = await _told(api, OPERATOR, 2)
    assert second.text.startswith(RESTARTED[spoken])
    assert second.text.endswith(
        {
            Language.RU: "Возможно, повтор: неизвестно, дошло ли это сообщение раньше.",
            Language.EN: "Possibly a duplicate: it is not known whether this message arrived before.",
        }[spoken]
    )


async def test_a_closed_topic_is_answered_in_the_chat_and_not_as_a_reply(
    api: BotApi, executor: Executor, spoken: Language, started: Running
) -> None:
    api.world.chats[FORUM].topics[TOPIC] = False
    api.say(OPERATOR, RESTART, chat_id=FORUM, thread_id=TOPIC)
    answer = await _told(api, FORUM)
    assert (answer.thread_id, answer.reply_to) == (None, None)
    assert (
        answer.text.splitlines()[-1]
        == {
            Language.RU: "Тема закрыта или удалена, отвечаю сюда.",
            Language.EN: "The topic is closed or deleted, so I answer here.",
        }[spoken]
    )
    last = api.calls_of("sendMessage")[-1]
    assert "reply_parameters" not in last.params  # a reply would land in the closed topic


PRIVATE = {
    Language.RU: "Ответ на команду в чате «{}»: туда я сейчас писать не могу.",
    Language.EN: "Answer to a command in the chat “{}”: I cannot write there now.",
}


@pytest.mark.parametrize("how", ["restricted", "kicked", "general is closed as well"])
async def test_a_closed_chat_is_answered_in_private(
    api: BotApi, executor: Executor, spoken: Language, started: Running, how: str
) -> None:
    chat, title, thread = (FORUM, "Команда", TOPIC) if "general" in how else (GROUP, "Дежурные", None)
    match how:
        case "restricted":
            api.world.chats[chat].forbids = {"text messages"}
        case "kicked":
            api.world.chats[chat].kicked = True
        case _:
            api.fail(FaultKind.TOPIC_CLOSED, method="sendMessage", chat_id=FORUM, times=None)
    api.say(OPERATOR, RESTART, chat_id=chat, thread_id=thread)
    answer = await _told(api, OPERATOR)
    assert answer.text.startswith(RESTARTED[spoken])
    assert answer.text.splitlines()[-1] == PRIVATE[spoken].format(title)
    assert answer.buttons
    assert api.world.sent(chat) == []


async def test_a_press_in_a_closed_chat_is_answered_in_private(
    api: BotApi, executor: Executor, spoken: Language, started: Running
) -> None:
    data = "a:restart:presale_checker"
    markup = {"inline_keyboard": [[{"text": "x", "callback_data": data}]]}
    alert = api.world.store(api.world.chats[GROUP], api.world.bot, "alert", markup=markup)
    api.world.chats[GROUP].forbids = {"text messages"}
    api.press(OPERATOR, GROUP, alert.message_id, data)
    assert (await _told(api, OPERATOR)).text.splitlines()[-1] == PRIVATE[spoken].format("Дежурные")


async def test_who_cannot_be_reached_in_private_either_is_not_asked_for_ever(
    api: BotApi, executor: Executor, spoken: Language, started: Running
) -> None:
    api.world.chats[GROUP].forbids = {"text messages"}
    api.world.chats[OPERATOR].blocked = True
    api.say(OPERATOR, RESTART, chat_id=GROUP)
    await api.wait_until(lambda: len(executor.done) == 1)
    await api.wait_until(lambda: api.calls_of("sendMessage")[-1:] != [] and api.calls[-1].status != 0)
    api.say(ADMIN, "/whoami")
    await _told(api, ADMIN)
    assert len(api.calls_of("sendMessage")) <= 4


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("refusal", ["rights", "CHAT_SEND_PHOTOS_FORBIDDEN", "PHOTO_INVALID_DIMENSIONS"])
async def test_a_chart_is_told_in_figures_where_photos_are_refused(
    api: BotApi, pool: Pool, executor: Executor, spoken: Language, started: Running, refusal: str
) -> None:
    if refusal == "rights":
        api.world.chats[GROUP].forbids = {"photos"}
    else:
        api.fail(FaultKind.REFUSE, method="sendPhoto", status=400, description=f"Bad Request: {refusal}")
    api.say(OPERATOR, "/chart presale_checker", chat_id=GROUP)
    answer = await _told(api, GROUP)
    assert not answer.photo
    assert answer.text.startswith("presale_checker")
    assert (
        answer.text.splitlines()[-1]
        == {
            Language.RU: "Картинку этот чат не принимает, поэтому только цифры.",
            Language.EN: "This chat takes no photos, so here are the figures alone.",
        }[spoken]
    )
    assert answer.buttons


@pytest.mark.parametrize("language", list(Language))
async def test_a_traceback_is_told_as_text_where_files_are_refused(
    api: BotApi, pool: Pool, executor: Executor, language: Language
) -> None:
    await scenery.set_scene(pool, executor)
    running = Running(build(api, pool, language))
    try:
        api.world.chats[ADMIN].forbids = {"documents"}
        api.say(ADMIN, "/errors presale_checker")
        errors = await _told(api, ADMIN)
        data = next(data for _, data in errors.buttons if data.startswith("m:trace:"))
        api.press(ADMIN, ADMIN, errors.message_id, data)
        answer = await _told(api, ADMIN, 2)
        assert answer.document is None
        assert "ConnectionError: timed out" in answer.text
        assert 'File "presales.py", line 41' in answer.text
        assert any(entity["type"] == "pre" for entity in answer.entities)
    finally:
        await running.close()


async def test_a_group_that_moved_is_answered_in_its_new_chat(
    api: BotApi, executor: Executor, spoken: Language, started: Running
) -> None:
    new = -1009
    api.world.add_chat(new, "supergroup", "Дежурные")
    api.world.chats[GROUP].migrated_to = new
    api.say(OPERATOR, RESTART, chat_id=GROUP)
    answer = await _told(api, new)
    assert answer.text.startswith(RESTARTED[spoken])
    await api.wait_until(lambda: f"chat:{new}/ru" in api.world.commands, what="the menus of the new chat")


async def _rows(pool: Pool) -> int:
    count = await pool.fetchval("SELECT count(*) FROM dozor.bot_answers")
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize("command", [RESTART, "/silence presale_checker 1h", "/status", "/pause presale"])
async def test_an_answer_that_waits_when_the_process_ends_is_sent_by_the_next_one(
    api: BotApi,
    pool: Pool,
    executor: Executor,
    spoken: Language,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replies, "PATIENCE", 0.0)
    api.fail(FaultKind.RETRY_AFTER, method="sendMessage", chat_id=GROUP, seconds=60)
    running = Running(build(api, pool, spoken))
    try:
        api.say(OPERATOR, command, chat_id=GROUP)
        await api.wait_until(lambda: any(call.status == 429 for call in api.calls), what="the refusal")
        await until(lambda: running.telegram.poller.answering == 0)
    finally:
        await running.close()
    assert (api.world.sent(GROUP), await _rows(pool)) == ([], 1)
    commands = await pool.fetchval("SELECT count(*) FROM dozor.commands")
    following = Running(build(api, pool, spoken))
    try:
        answer = await _told(api, GROUP)
        assert "presale_checker" in answer.text
        await until(lambda: following.telegram.poller.answering == 0)
    finally:
        await following.close()
    assert await pool.fetchval("SELECT count(*) FROM dozor.commands") == commands
    assert await _rows(pool) == 0
    assert len(api.world.sent(GROUP)) == 1


async def test_an_answer_that_arrived_is_not_sent_by_the_next_process(
    api: BotApi, pool: Pool, executor: Executor, spoken: Language
) -> None:
    running = Running(build(api, pool, spoken))
    try:
        for command in (RESTART, "/help", "/whoami", "/oncall", "/silence presale_checker 1h"):
            api.say(OPERATOR, command)
        await _told(api, OPERATOR, 5)
        await until(lambda: running.telegram.poller.answering == 0)
    finally:
        await running.close()
    assert await _rows(pool) == 0


async def test_nobody_without_a_role_is_answered_by_the_next_process(
    api: BotApi, pool: Pool, executor: Executor, spoken: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PATIENCE", 0.0)
    api.fail(FaultKind.RETRY_AFTER, method="sendMessage", chat_id=GROUP, seconds=60)
    running = Running(build(api, pool, spoken))
    try:
        api.say(OPERATOR, RESTART, chat_id=GROUP)
        await api.wait_until(lambda: any(call.status == 429 for call in api.calls), what="the refusal")
        await until(lambda: running.telegram.poller.answering == 0)
    finally:
        await running.close()
    telegram = build(api, pool, spoken)
    telegram._access.assign(admins=[ADMIN], operators=[], viewers=[])
    following = Running(telegram)
    try:
        api.say(ADMIN, "/whoami")
        await _told(api, ADMIN)
    finally:
        await following.close()
    assert api.world.sent(GROUP) == []
    assert await _rows(pool) == 0


FAKE = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
REFUSED: dict[str, tuple[int, str, dict[str, Any], str]] = {
    "role": (VIEWER, RESTART, {}, "operator"),
    "forwarded": (OPERATOR, RESTART, {"forward_date": 1}, "forwarded"),
    "anonymous admin": (ADMIN, RESTART, {"from": FAKE}, "anonymous administrator"),
    "unknown task": (OPERATOR, "/restart no_such_task", {}, "no_such_task"),
}


@pytest.mark.parametrize("why", REFUSED)
async def test_a_refusal_that_waits_when_the_process_ends_is_sent_by_the_next_one(
    api: BotApi, pool: Pool, executor: Executor, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "PATIENCE", 0.0)
    await executor.alive()
    await executor.add("presale_checker", State.STOPPED, 5)
    user, command, more, words = REFUSED[why]
    if why == "anonymous admin":
        more = {**more, "sender_chat": api.world.chats[GROUP].to_json()}
    api.fail(FaultKind.RETRY_AFTER, method="sendMessage", chat_id=GROUP, seconds=60)
    running = Running(build(api, pool, Language.EN))
    try:
        api.say(user, command, chat_id=GROUP, **more)
        await api.wait_until(lambda: any(call.status == 429 for call in api.calls), what="the refusal")
        await until(lambda: running.telegram.poller.answering == 0)
    finally:
        await running.close()
    assert (api.world.sent(GROUP), await _rows(pool)) == ([], 1)
    audited = await pool.fetchval("SELECT count(*) FROM dozor.audit")
    telegram = build(api, pool, Language.EN)
    telegram._access.assign(admins=[ADMIN], operators=[OPERATOR, VIEWER], viewers=[])  # more may act now
    following = Running(telegram)
    try:
        assert words in (await _told(api, GROUP)).text
        await until(lambda: following.telegram.poller.answering == 0)
    finally:
        await following.close()
    assert await _rows(pool) == 0
    assert executor.done == []
    assert await pool.fetchval("SELECT count(*) FROM dozor.audit") == audited


async def test_a_stranger_who_gets_no_answer_leaves_none_to_send(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    update_id = api.say(STRANGER, RESTART)
    await api.wait_until(lambda: api.confirmed_up_to >= update_id, what="the confirmation")
    assert await _rows(pool) == 0
    assert await pool.fetchval("SELECT count(*) FROM dozor.audit WHERE result = 'denied'") == 1


@pytest.mark.parametrize(("days", "words"), [(1, "older than a day"), (30, "older than 30 days")])
async def test_a_traceback_that_is_not_there_names_the_retention(
    api: BotApi, pool: Pool, executor: Executor, days: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "KEEP_DAYS", days)
    running = Running(build(api, pool, Language.EN))
    try:
        data = "m:trace:1-1"
        markup = {"inline_keyboard": [[{"text": "x", "callback_data": data}]]}
        shown = api.world.store(api.world.chats[ADMIN], api.world.bot, "errors", markup=markup)
        api.press(ADMIN, ADMIN, shown.message_id, data)
        assert words in (await _told(api, ADMIN, 2)).text
    finally:
        await running.close()
