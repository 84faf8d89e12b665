"""A real runner, Telegram away, and a webhook that Apprise really calls."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dozor.storage.postgres.pool import Pool
from tests.alerting.receiver import Receiver
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.server import PostgresControl
from tests.system.stage import QUICK, Stage
from tests.system.telegram import ADMIN, chat_has, section, texts

LABEL = "[Дозор, запасной канал: в Telegram не доставлено уже"
BACK = "✉️ Telegram снова доступен. За это время отправлено через запасной канал:"
SETTLED = "SELECT count(*) = 0 FROM dozor.notifications WHERE state IN ('pending', 'sending')"
SECRET = "s3cret-path-of-the-hook"
SOON = {
    "look_at_outbox": 0.2, "poll_again_within": 1.0, "send_again_within": 1.0,
    "database_down_for": 2.0, "look_at_database": 0.2,
}  # fmt: skip
DEAF = {"bot_deaf_after": 2.0, "look_at_bot": 0.2}


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def alerts(hook: Receiver, **more: object) -> dict[str, object]:
    """`repeated_errors`: as few messages as make no storm."""
    return {"second_channel": {"urls": [hook.url()], "after": "2s"}, "repeated_errors": 5, **more}


async def test_the_bot_is_deaf_and_a_task_stops_while_telegram_is_away(
    stage: Stage, telegram: BotApi, database: str, pool: Pool, hook: Receiver
) -> None:
    stage.write(
        {"payouts": QUICK, **stage.hasten({**SOON, **DEAF}, poll=1)},
        url=database,
        telegram=section(telegram),
        alerts=alerts(hook),
    )
    process = await stage.watch("--log-level", "DEBUG")
    await process.says("опрашиваю как")
    await telegram.stop()
    await hook.has(LABEL, "Telegram не отвечает")
    stage.order("payouts", "fail the provider is away")
    await hook.has("🛑 payouts", "RuntimeError: the provider is away")
    assert hook.text.count("🛑 payouts") == 1
    assert texts(telegram) == []

    told = len(hook.said)
    await telegram.start()
    await chat_has(telegram, BACK, within=90)
    await until_true(pool, SETTLED, within=60)
    said = texts(telegram)
    assert len([text for text in said if text.startswith(BACK)]) == 1, said
    [summary] = [text for text in said if text.startswith(BACK)]
    assert "🛑 payouts" in summary
    assert not [text for text in said if text.startswith(("🛑", "⚠️"))], "nothing is replayed"

    stage.order("payouts", "succeed")
    assert (await stage.cli("restart", "payouts")).code == 0
    await chat_has(telegram, "✅ payouts")
    assert len(hook.said) == told
    assert await process.stop() == 0
    assert "Запасной канал: json принял сообщение" in process.text
    assert SECRET not in process.text


async def test_a_call_for_a_person_who_cannot_be_written_to(
    stage: Stage, telegram: BotApi, database: str, pool: Pool, hook: Receiver
) -> None:
    """The group works, the private chat does not: the call goes out all the same, and nothing else."""
    telegram.fail(FaultKind.BLOCKED, chat_id=ADMIN, times=None)
    stage.write(
        {"payouts": QUICK},
        url=database,
        telegram=section(telegram),
        alerts=alerts(hook, escalate=[{"after": "500ms", "to": "oncall"}]),
        oncall={
            "people": {"ann": ADMIN},
            "rotation": {"people": ["ann"], "start": "2026-01-05 10:00"},
        },
    )
    process = await stage.watch()
    await process.says("опрашиваю как")
    stage.order("payouts", "fail")
    await chat_has(telegram, "🛑 payouts")
    await hook.has("ann: нужна реакция")
    assert "🛑" not in hook.text
    assert await process.stop() == 0


async def test_telegram_and_postgresql_away_at_the_same_time(
    stage: Stage, telegram: BotApi, postgres_control: PostgresControl, hook: Receiver
) -> None:
    stage.write(
        {"payouts": QUICK, **stage.hasten(SOON)},
        url=postgres_control.dsn,
        telegram=section(telegram),
        alerts=alerts(hook),
    )
    process = await stage.watch()
    await process.says("опрашиваю как")
    await telegram.stop()
    postgres_control.stop()
    await process.says("База данных недоступна")
    stage.order("payouts", "fail the provider is away")
    await hook.has("🔴 PostgreSQL", "🛑 payouts", within=60)
    told = hook.text.count("🛑 payouts")
    assert told == 1
    postgres_control.start()
    await process.says("База данных снова доступна", within=60)
    await telegram.start()
    await chat_has(telegram, BACK, within=90)
    said = texts(telegram)
    assert not [text for text in said if text.startswith("🛑")], said
    assert hook.text.count("🛑 payouts") == 1
    assert await process.stop() == 0


async def test_a_url_that_apprise_does_not_know_stops_the_start(stage: Stage, database: str) -> None:
    stage.write(
        {"payouts": QUICK},
        url=database,
        alerts={"second_channel": {"urls": ["nonsense://ann:hunter2@h"]}},
    )
    for command in ("check", "run"):
        answer = await stage.cli(command)
        assert answer.code == 2
        assert "alerts.second_channel.urls[0]: Apprise не знает такого URL" in answer.text
        assert "hunter2" not in answer.text
