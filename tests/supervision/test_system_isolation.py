"""The real process: what ends or leaks in a child process, and a fix that is deployed meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

import psutil

from tests.bot.botapi.server import BotApi
from tests.system.process import PATIENCE
from tests.system.stage import Stage
from tests.system.telegram import ADMIN, CHAT, chat_has, section, texts
from tests.waiting import until

HEALTHY: dict[str, Any] = {"run": "troubled:tick", "every": "100ms"}
ISOLATED: dict[str, Any] = {
    "isolation": "process",
    "every": "200ms",
    "restart_delay": "100ms",
    "max_consecutive_failures": 2,
    "alerts": {"repeated_errors": 9},
}


async def test_processes_that_die_are_told_and_the_others_go_on(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    dying = {
        "segfault": "процесс задачи убит SIGSEGV во время выполнения",
        "leave": "процесс задачи закончился с кодом 3",
    }
    tasks = {name: {**ISOLATED, "run": f"troubled:{name}"} for name in dying}
    stage.write({**tasks, "other": HEALTHY}, url=database, telegram=section(telegram))
    process = await stage.watch()
    for name, said in dying.items():
        await chat_has(telegram, f"🛑 {name}")
        text = next(text for text in texts(telegram) if text.startswith(f"🛑 {name}"))
        print(text)
        assert said in text
    before = len(stage.runs("other"))
    await until(lambda: len(stage.runs("other")) > before + 5, within=PATIENCE)
    assert await process.stop() == 0


async def test_a_leak_of_a_gigabyte_in_a_child_is_recycled(stage: Stage, database: str) -> None:
    leaky = {**ISOLATED, "run": "troubled:leak", "max_memory": "500MB"}
    stage.write({"leaky": leaky, "other": HEALTHY}, url=database)
    process = await stage.watch()
    # 11 runs of 100 MB: more than a gigabyte, in at least three processes.
    await until(lambda: len(stage.runs("leaky")) >= 11, within=3 * PATIENCE)
    await process.says("больше max_memory (500 МБ), и будет заменён", times=2)
    pids = list(dict.fromkeys(stage.runs("leaky")))
    print(next(line for line in process.text.splitlines() if "будет заменён" in line), pids)
    assert len(pids) >= 3
    status = await stage.status("leaky")
    assert status["failures_total"] == 0
    assert await process.stop() == 0


async def test_a_restart_by_telegram_runs_the_fix_that_was_deployed(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    module = stage.folder / "presale.py"
    module.write_text("async def check():\n    raise RuntimeError('no such column: lot')\n")
    tasks = {"presale": {**ISOLATED, "run": "presale:check"}, "other": HEALTHY}
    stage.write(tasks, url=database, telegram=section(telegram))
    process = await stage.watch()
    await chat_has(telegram, "🛑 presale")
    pid = process.pid
    module.write_text("async def check():\n    pass  # the column is `lot_id`\n")
    before = [float(line) for line in stage.runs("other")]
    telegram.say(ADMIN, "/restart presale", chat_id=CHAT)
    await chat_has(telegram, "✅ presale")
    after = [float(line) for line in stage.runs("other")][len(before) - 1 :]
    pauses = [later - earlier for earlier, later in itertools.pairwise(after)]
    print(f"{len(after) - 1} runs of the other task meanwhile, the longest pause {max(pauses):.3f} s")
    assert max(pauses) < 1.0
    assert process.alive
    assert process.pid == pid


async def test_the_children_go_with_a_runner_that_is_killed(stage: Stage, database: str) -> None:
    stage.write({"own": {**ISOLATED, "run": "troubled:tick"}}, url=database)
    process = await stage.watch()
    await until(lambda: len(stage.runs("own")) > 2, within=PATIENCE)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    await until(lambda: not any(child.is_running() for child in children), within=10)
