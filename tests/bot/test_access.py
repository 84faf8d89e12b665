"""Roles: by user id, on every message and press; strangers get silence, and an audit row."""

from __future__ import annotations

import pytest

from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor_bot.security.access import Access, Role
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, FORUM, GROUP, OPERATOR, STRANGER, TOPIC, VIEWER, Running
from tests.bot.executor import Executor

ACTING = tuple(f"/{name} presale_checker" for name in ("restart", "pause", "resume", "run"))
SEEING = ("/status", "/status presale_checker", "/help", "/start")


async def _audit(pool: Pool) -> list[tuple[str, str, str, str]]:
    rows = await pool.fetch("SELECT actor, place, action, result FROM dozor.audit ORDER BY id")
    return [(row["actor"], row["place"], row["action"], row["result"]) for row in rows]


async def _handled(api: BotApi, update_id: int) -> None:
    await api.wait_until(lambda: api.confirmed_up_to >= update_id, what="the confirmation")


def test_the_highest_role_counts_and_the_default_is_none() -> None:
    access = Access(admins=[1], operators=[1, 2], viewers=[1, 2, 3])
    assert [access.role_of(user) for user in (1, 2, 3, 4, None)] == [
        Role.ADMIN,
        Role.OPERATOR,
        Role.VIEWER,
        None,
        None,
    ]


@pytest.mark.parametrize("text", ACTING)
@pytest.mark.parametrize(("user", "allowed"), [(ADMIN, True), (OPERATOR, True), (VIEWER, False)])
async def test_who_may_act(
    api: BotApi, pool: Pool, executor: Executor, running: Running, user: int, allowed: bool, text: str
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    api.say(user, text)
    await api.wait_until(lambda: bool(api.world.sent(user)), what="the answer")
    [answer] = api.world.sent(user)
    assert (len(executor.done) == 1) is allowed
    if not allowed:
        assert answer.text == "Нужна роль «оператор», у вас «наблюдатель»."
        assert await _audit(pool) == [(f"telegram:{user}", str(user), text.split()[0], "denied")]


@pytest.mark.parametrize("text", SEEING)
@pytest.mark.parametrize("user", [ADMIN, OPERATOR, VIEWER])
async def test_everybody_known_may_see(
    api: BotApi, executor: Executor, running: Running, user: int, text: str
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    api.say(user, text)
    await api.wait_until(lambda: bool(api.world.sent(user)), what="the answer")
    data = [data for _, data in api.world.sent(user)[0].buttons]
    assert ("m:restart:presale_checker" in data) == (text == "/status presale_checker" and user != VIEWER)


@pytest.mark.parametrize("text", [*ACTING, *SEEING, "hello", "/nonsense"])
async def test_a_stranger_gets_silence_and_an_audit_row(
    api: BotApi, pool: Pool, executor: Executor, running: Running, text: str
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    await _handled(api, api.say(STRANGER, text))
    assert api.world.sent() == []
    assert executor.done == []
    action = text.split()[0] if text.startswith("/") else "message"
    assert await _audit(pool) == [(f"telegram:{STRANGER}", str(STRANGER), action, "denied")]
    assert await pool.fetchval("SELECT state FROM dozor.tasks") == "stopped"


@pytest.mark.parametrize(("chat", "thread"), [(GROUP, None), (FORUM, TOPIC), (FORUM, None)])
async def test_membership_of_a_chat_is_no_role(
    api: BotApi, pool: Pool, executor: Executor, running: Running, chat: int, thread: int | None
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    await _handled(api, api.say(STRANGER, "/restart presale_checker", chat_id=chat, thread_id=thread))
    assert api.world.sent() == []
    assert await _audit(pool) == [(f"telegram:{STRANGER}", str(chat), "/restart", "denied")]
    api.say(ADMIN, "/restart presale_checker", chat_id=chat, thread_id=thread)
    await api.wait_until(lambda: bool(api.world.sent(chat)), what="the admin's answer")
    assert api.world.sent(chat)[0].thread_id == thread


@pytest.mark.parametrize("user", [STRANGER, VIEWER])
async def test_the_audit_says_what_a_denied_command_was_for(
    api: BotApi, pool: Pool, executor: Executor, running: Running, user: int
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    await _handled(api, api.say(user, "/restart presale_checker"))
    rows = await pool.fetch("SELECT action, target, result FROM dozor.audit")
    assert [tuple(row) for row in rows] == [("/restart", "presale_checker", "denied")]
    assert executor.done == []


async def test_a_strangers_press_is_not_even_answered(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    message = api.world.store(api.world.chats[GROUP], api.world.bot, "alert")
    data = encode(Origin.ALERT, "restart", "presale_checker")
    await _handled(api, api.press(STRANGER, GROUP, message.message_id, data))
    assert api.calls_of("answerCallbackQuery", "sendMessage") == []
    assert executor.done == []
    assert await _audit(pool) == [(f"telegram:{STRANGER}", str(GROUP), f"press {data}", "denied")]


async def test_a_viewers_press_is_refused_to_them_alone(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    message = api.world.store(api.world.chats[GROUP], api.world.bot, "alert")
    await _handled(api, api.press(VIEWER, GROUP, message.message_id, "a:restart:presale_checker"))
    assert [answer["text"] for answer in api.world.answered] == [
        "Нужна роль «оператор», у вас «наблюдатель»."
    ]
    assert executor.done == []
    assert await _audit(pool) == [
        (f"telegram:{VIEWER}", str(GROUP), "press a:restart:presale_checker", "denied")
    ]


@pytest.mark.parametrize(
    "data", ["a:restart:no_such_task", "a:drop-tables:presale_checker", "nonsense", "\u202e\x00", "x" * 64]
)
async def test_forged_data_has_no_effect(
    api: BotApi, pool: Pool, executor: Executor, running: Running, data: str
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    message = api.world.store(api.world.chats[GROUP], api.world.bot, "alert")
    await _handled(api, api.press(ADMIN, GROUP, message.message_id, data))
    assert len(api.world.answered) == 1
    assert executor.done == []
    assert await pool.fetchval("SELECT count(*) FROM dozor.commands") == 0


async def test_an_anonymous_admin_of_the_group_is_a_stranger(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    """Their message comes from a made-up user, whoever they are."""
    await executor.add("presale_checker", State.STOPPED, 5)
    chat = api.world.chats[GROUP].to_json()
    body = {
        "message_id": 900,
        "date": int(api.world.now()),
        "chat": chat,
        "from": {"id": ADMIN, "is_bot": False, "first_name": "Anonymous"},
        "sender_chat": chat,
        "text": "/restart presale_checker",
    }
    update_id = api.world.push({"message": body})
    api.notify()
    await _handled(api, update_id)
    assert executor.done == []
    assert [row[3] for row in await _audit(pool)] == ["denied"]


async def test_a_flood_by_a_stranger_is_one_audit_row(api: BotApi, pool: Pool, running: Running) -> None:
    for _ in range(300):
        update_id = api.say(STRANGER, "/restart presale_checker")
    await _handled(api, update_id)
    assert len(await _audit(pool)) == 1
    assert await pool.fetchval("SELECT count(*) FROM dozor.telegram_updates") == 1
