"""PostgreSQL is away, alerts are sent from memory, and then the runner is killed as well."""

from __future__ import annotations

import asyncio

import pytest

from dozor.storage.spool import NAME
from tests.bot.botapi.faults import FaultKind, Faults
from tests.bot.botapi.server import BotApi
from tests.server import PostgresControl
from tests.system.stage import QUICK, Stage
from tests.system.telegram import ADMIN, CHAT, DUPLICATE, all_texts, chat_has, section, texts
from tests.templates import Templates
from tests.waiting import until


async def test_what_it_told_and_knew_outlives_it(
    stage: Stage, telegram: BotApi, postgres_control: PostgresControl
) -> None:
    """Not told again, the task stays stopped until somebody restarts it, and the end is told."""
    tasks = {"well": QUICK, "failing": {**QUICK, "every": "1s", "max_consecutive_failures": 2}}
    tasks |= stage.hasten({"database_down_for": 2.0, "look_at_database": 0.2})
    stage.write(tasks, url=postgres_control.dsn, telegram=section(telegram))
    process = await stage.watch()
    await process.says("опрашиваю как")
    await asyncio.to_thread(postgres_control.kill)
    stage.order("failing", "fail for good")
    await chat_has(telegram, "🔴 PostgreSQL", "🛑 failing", within=60)
    kept = stage.folder / ".dozor" / NAME
    # The answer of the last message is kept too.
    await until(lambda: '"unknown":[]' in kept.read_text(), within=10)
    assert kept.stat().st_mode & 0o777 == 0o600
    process.kill()
    runs = len(stage.runs("failing"))

    await asyncio.to_thread(postgres_control.start)
    following = await stage.watch()
    await following.says("Раннер 1 прервался, пока PostgreSQL был недоступен")
    await following.says("Задача failing остановлена ещё до этого запуска")
    assert not kept.exists()
    await chat_has(telegram, "✅ PostgreSQL", within=60)
    assert len(stage.runs("failing")) == runs
    stage.order("failing", "")
    assert (await stage.cli("restart", "failing")).code == 0
    await chat_has(telegram, "✅ failing", within=60)
    said = texts(telegram)
    assert len([text for text in said if text.startswith("🛑 failing")]) == 1
    assert len([text for text in said if text.startswith("🔴 PostgreSQL")]) == 1
    assert not any(DUPLICATE in text for text in said)
    assert await following.stop() == 0


@pytest.mark.parametrize("refused", [True, False])
async def test_the_answer_to_a_command_outlives_it(
    stage: Stage, telegram: BotApi, templates: Templates, refused: bool
) -> None:
    """Killed before the answer was delivered: refused for now, or on its way without an answer."""
    templates.copy_migrated(stage.folder / "pg")
    stage.write({"well": {**QUICK, "every": "1h"}}, telegram=section(telegram))
    process = await stage.watch()
    await process.says("опрашиваю как")
    # The refusal of the start's own message would hold the answer back.
    await telegram.wait_until(lambda: bool(all_texts(telegram)), timeout=30, what="the start")
    fault = FaultKind.RETRY_AFTER if refused else FaultKind.HANG
    telegram.fail(fault, method="sendMessage", chat_id=CHAT, seconds=60, times=None)
    telegram.say(ADMIN, "/pause well", chat_id=CHAT)
    await telegram.wait_until(
        lambda: any("⏸ well" in str(call.params) for call in telegram.calls_of("sendMessage")),
        timeout=30,
        what="the attempt",
    )
    if refused:
        await process.says("ответ ждёт")
    process.kill()
    telegram.faults = Faults()
    following = await stage.watch()
    await chat_has(telegram, "⏸ well")
    [answer] = [text for text in texts(telegram) if text.startswith("⏸ well")]
    assert (DUPLICATE in answer) is not refused
    assert await following.stop() == 0
