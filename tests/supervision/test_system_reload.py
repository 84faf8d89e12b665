"""The real process: a changed configuration is applied without a restart, or refused whole."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.bot.botapi.server import BotApi, Call
from tests.system.process import PATIENCE, Process
from tests.system.stage import Stage
from tests.system.telegram import chat_has, section, texts
from tests.waiting import until

TICK: dict[str, Any] = {"run": "troubled:tick", "every": "100ms"}


async def by_signal(stage: Stage, process: Process) -> None:
    process.signal(signal.SIGHUP)


async def by_command(stage: Stage, process: Process) -> None:
    answer = await stage.cli("reload")
    assert answer.code == 0, answer.text
    assert "Настройки применены" in answer.text


async def by_itself(stage: Stage, process: Process) -> None:
    """The file is watched."""


@pytest.mark.parametrize("way", [by_signal, by_command, by_itself])
async def test_new_changed_and_removed_tasks_and_no_others(
    stage: Stage, telegram: BotApi, database: str, way: Any
) -> None:
    more = {"telegram": section(telegram), "supervision": {"watch_config": way is by_itself}}
    stage.write({"stays": TICK, "slow": {**TICK, "every": "1h"}, "goes": TICK}, url=database, **more)
    process = await stage.watch()
    for name in ("stays", "slow", "goes"):
        await until(lambda name=name: bool(stage.runs(name)), within=PATIENCE)  # type: ignore[misc]
    before = len(stage.runs("stays"))
    stage.write({"stays": TICK, "slow": TICK, "comes": TICK}, url=database, **more)
    await way(stage, process)
    await until(lambda: len(stage.runs("comes")) > 3, within=PATIENCE)
    await until(lambda: len(stage.runs("slow")) > 3, within=PATIENCE)
    gone = len(stage.runs("goes"))
    pauses = [float(b) - float(a) for a, b in zip(stage.runs("stays"), stage.runs("stays")[1:], strict=False)]
    assert max(pauses[before - 1 :]) < 1.0
    assert len(stage.runs("goes")) == gone
    status = await stage.cli("status", "--json")
    assert [task["name"] for task in status.json["tasks"]] == ["stays", "slow", "comes"]
    await chat_has(telegram, "🔧")
    print(texts(telegram)[0])
    assert texts(telegram)[0].splitlines()[1:] == ["+ comes", "~ slow", "− goes"]
    assert await process.stop() == 0


async def test_a_configuration_with_errors_is_refused_whole_and_told(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    more = {"telegram": section(telegram)}
    stage.write({"stays": TICK}, url=database, **more)
    process = await stage.watch()
    await until(lambda: bool(stage.runs("stays")), within=PATIENCE)
    stage.write({"stays": TICK, "comes": TICK, "bad": {**TICK, "every": "soon"}}, url=database, **more)
    answer = await stage.cli("reload")
    assert answer.code == 2
    assert "tasks.bad.every" in answer.text
    process.signal(signal.SIGHUP)
    await chat_has(telegram, "⚠️ Новые настройки не приняты")
    print(texts(telegram)[0])
    assert "tasks.bad.every" in texts(telegram)[0]
    before = len(stage.runs("stays"))
    await until(lambda: len(stage.runs("stays")) > before + 3, within=PATIENCE)
    assert stage.runs("comes") == []


async def test_nothing_has_changed(stage: Stage, database: str) -> None:
    stage.write({"stays": TICK}, url=database)
    await stage.watch()
    answer = await stage.cli("reload")
    assert (answer.code, answer.text.strip()) == (0, "Ничего не изменилось")


async def test_a_new_role_counts_at_once_and_has_its_menu(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    newcomer = 777
    telegram.world.add_user(newcomer, "Новичок")
    more = {"telegram": section(telegram)}
    stage.write({"stays": TICK}, url=database, **more)
    process = await stage.watch()
    await until(lambda: bool(telegram.calls_of("setMyCommands")), within=PATIENCE)
    more["telegram"]["operators"] = [newcomer]
    stage.write({"stays": TICK}, url=database, **more)
    answer = await stage.cli("reload")
    assert answer.code == 0, answer.text

    def menus() -> list[Call]:
        return [call for call in telegram.calls_of("setMyCommands") if str(newcomer) in str(call.params)]

    await until(lambda: len(menus()) == 3, within=PATIENCE)
    telegram.say(newcomer, "/status stays")
    await until(lambda: bool(telegram.world.sent(newcomer)), within=PATIENCE)
    assert await process.stop() == 0
