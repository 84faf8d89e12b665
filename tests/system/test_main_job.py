"""The main job, end to end: a checker breaks, an alert arrives in Telegram, a person restarts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.system.stage import QUICK, Stage
from tests.system.telegram import ADMIN, CHAT, STRANGER, all_texts, chat_has, section, texts
from tests.waiting import until

NAME = "presale_checker"


async def _break(stage: Stage, telegram: BotApi, database: str) -> None:
    """The task fails 5 of 5, and the chat has heard of it."""
    task = {**QUICK, "restart_delay": "300ms", "every": "1h"}
    stage.write({NAME: task}, url=database, telegram=section(telegram))
    stage.order(NAME, "fail provider is away")
    await stage.watch()
    await chat_has(telegram, "🛑")
    await telegram.wait_until(lambda: len(all_texts(telegram)) == 3, what="the hello of the start")


async def _by_command(telegram: BotApi) -> None:
    telegram.say(ADMIN, f"/restart {NAME}", chat_id=CHAT)


async def _by_button(telegram: BotApi) -> None:
    [stop] = [message for message in telegram.world.sent(CHAT) if message.text.startswith("🛑")]
    [data] = [data for label, data in stop.buttons if "Перезапустить" in label]
    telegram.press(ADMIN, CHAT, stop.message_id, data)


@pytest.mark.parametrize("restart", [_by_command, _by_button])
async def test_five_failures_give_one_alert_and_one_stop_and_an_admins_restart_brings_it_back(
    stage: Stage,
    telegram: BotApi,
    database: str,
    pool: Pool,
    restart: Callable[[BotApi], Awaitable[None]],
) -> None:
    await _break(stage, telegram, database)
    repeated, stopped = texts(telegram)
    assert repeated.startswith(f"⚠️ {NAME}: 3 ошибки подряд")
    assert "3/5" in repeated
    assert stopped.startswith(f"🛑 {NAME} остановлена: 5 ошибок подряд")
    assert "5/5" in stopped
    for text in (repeated, stopped):
        assert "RuntimeError: provider is away" in text
        assert "scripted.py" in text
    assert len(stage.runs(NAME)) == 5

    stage.order(NAME, "succeed")
    await restart(telegram)
    await chat_has(telegram, f"✅ {NAME} снова работает")
    await until_true(pool, "SELECT state = 'waiting' AND consecutive_failures = 0 FROM dozor.tasks")
    # The notice and the answer to the person: nothing else, in either order.
    await telegram.wait_until(lambda: len(texts(telegram)) == 4, what="the answer to the admin")
    assert len(stage.runs(NAME)) == 6
    command = await pool.fetchrow("SELECT name, task, actor, state, result FROM dozor.commands")
    assert command is not None
    assert tuple(command) == ("restart", NAME, f"telegram:{ADMIN}", "done", "done")


async def test_a_strangers_restart_and_press_change_nothing_and_get_no_answer(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    await _break(stage, telegram, database)
    before = await pool.fetchrow("SELECT * FROM dozor.tasks")
    said = texts(telegram)
    calls = len(telegram.calls)
    stage.order(NAME, "succeed")
    [stop] = [message for message in telegram.world.sent(CHAT) if message.text.startswith("🛑")]
    telegram.say(STRANGER, f"/restart {NAME}", chat_id=CHAT)
    telegram.say(STRANGER, f"/restart {NAME}")
    last = telegram.press(STRANGER, CHAT, stop.message_id, stop.buttons[0][1])
    await until(lambda: telegram.confirmed_up_to >= last, within=30)

    assert await pool.fetchrow("SELECT * FROM dozor.tasks") == before
    assert await pool.fetchval("SELECT count(*) FROM dozor.commands") == 0
    assert len(stage.runs(NAME)) == 5
    assert texts(telegram) == said
    assert telegram.world.sent(STRANGER) == []
    beginning = {"getUpdates", "getMe", "deleteWebhook", "setMyCommands"}  # the poller may just be starting
    assert {call.method for call in telegram.calls[calls:]} <= beginning
    denied = await pool.fetch("SELECT actor, source, result FROM dozor.audit")
    assert {tuple(row) for row in denied} == {(f"telegram:{STRANGER}", "telegram", "denied")}
