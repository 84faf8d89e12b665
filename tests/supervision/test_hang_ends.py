"""A run that hangs and whose end stops its task: no message beside the stop reports a recovery."""

from __future__ import annotations

import pytest

from tests.bot.botapi.server import BotApi
from tests.system.stage import Stage
from tests.system.telegram import ADMIN, CHAT, chat_has, section

LIMITS = {
    "every": "1h",
    "run_at_start": True,
    "timeout": "1s",
    "restart_delay": "100ms",
    "max_consecutive_failures": 1,
}


async def _histories(telegram: BotApi) -> list[str]:
    """Every text that a message of the group has shown, once the stop was sent and a command answered."""
    await chat_has(telegram, "🛑 stuck остановлена")
    telegram.say(ADMIN, "/status stuck")
    await telegram.wait_until(lambda: bool(telegram.world.sent(ADMIN)), timeout=30, what="the card")
    return [text for message in telegram.world.sent(CHAT) for text in message.history]


@pytest.mark.usefixtures("quick_end")
@pytest.mark.parametrize("run", ["spin", "deaf"])
async def test_a_process_that_is_killed_is_no_run_that_hangs(
    stage: Stage, telegram: BotApi, database: str, run: str
) -> None:
    task = {"run": f"troubled:{run}", "isolation": "process", **LIMITS}
    stage.write(
        {"stuck": task}, url=database, telegram=section(telegram), supervision={"cancel_patience": "1s"}
    )
    await stage.watch()
    told = await _histories(telegram)
    assert not any("завис" in text.partition("\n")[0] for text in told), told
    assert not any("✅" in text for text in told), told


@pytest.mark.parametrize("run", ["end_late", "end_late_on_the_loop"])
async def test_a_run_that_hung_and_stops_its_task_is_not_told_as_well(
    stage: Stage, telegram: BotApi, database: str, run: str
) -> None:
    task = {"run": f"troubled:{run}", **LIMITS}
    stage.write(
        {"stuck": task}, url=database, telegram=section(telegram), supervision={"cancel_patience": "1s"}
    )
    await stage.watch()
    ended = "🛑 stuck: зависший запуск закончился, задача остановлена"
    await telegram.wait_until(
        lambda: any(message.text.startswith(ended) for message in telegram.world.sent(CHAT)),
        timeout=30,
        what="the end of the run",
    )
    told = await _histories(telegram)
    assert any("завис" in text.partition("\n")[0] for text in told), told
    assert not any("✅" in text for text in told), told
