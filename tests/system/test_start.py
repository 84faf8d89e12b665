"""What is loaded when: supervision never waits for Telegram's library, and most commands never load it.

A forked process has everything loaded: what concerns imports and streams starts new interpreters.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from dozor.storage.postgres.embedded.server import find_embedded
from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.system.process import DOZOR
from tests.system.stage import QUICK, Stage
from tests.system.telegram import section
from tests.templates import Templates
from tests.waiting import until

IDLE: dict[str, Any] = {"run": "watcher:check", "every": "1h", "restart_delay": "100ms"}
WATCHER = """
import sys, time

async def check():
    loaded = sorted({"aiogram", "dozor_bot.app", "aiohttp"} & set(sys.modules))
    print("first run, loaded:", loaded, "at", time.time(), flush=True)
"""
WITHOUT_AIOGRAM = """
import runpy, sys
config, *commands = sys.argv[1:]
for text in commands:
    command, *more = text.split()
    sys.argv = ["dozor", command, "-c", config, *more]
    try:
        runpy.run_module("dozor", run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    loaded = sorted({"aiogram", "aiohttp", "dozor_bot.app"} & set(sys.modules))
    print(f"{text}: loaded: {loaded} exit: {code}", flush=True)
"""
COMMANDS = {
    "check": 0,
    "status": 0,
    "status --json": 0,
    "history first": 0,
    "incidents": 0,
    "pause first": 0,
    "restart nobody": 1,
    "migrate --check": 0,
}


READER = """
import asyncio, threading
from fluent.runtime import FluentBundle
from dozor import Runner

DELIVERED_SQL = "SELECT count(*) FROM dozor.notifications WHERE state = 'delivered'"
read = []
add_resource = FluentBundle.add_resource

def note(bundle, *given, **more):
    read.append((bundle.locales[0], threading.current_thread() is threading.main_thread()))
    return add_resource(bundle, *given, **more)

FluentBundle.add_resource = note

async def main():
    async with Runner.from_config("config.yaml") as runner:
        while not await runner.pools.core.fetchval(DELIVERED_SQL):
            await asyncio.sleep(0.05)
    print("read:", sorted(set(read)), flush=True)

asyncio.run(main())
"""


async def test_supervision_does_not_wait_for_telegrams_library_nor_for_the_texts_of_alerts(
    stage: Stage, telegram: BotApi, database: str
) -> None:
    """The first run comes before both; texts are read in a thread, in each language that the bot may need."""
    (stage.folder / "watcher.py").write_text(WATCHER)
    stage.write({"first": IDLE}, url=database, telegram=section(telegram))
    process = stage.start(sys.executable, "-c", READER)
    assert await process.ends() == 0
    assert "first run, loaded: []" in process.text
    assert process.text.splitlines()[-1] == "read: [('en', False), ('ru', False)]"


async def test_a_warm_embedded_database_is_attached_to_and_the_checker_runs(
    stage: Stage, templates: Templates
) -> None:
    templates.copy_plain(stage.folder / "pg")
    (stage.folder / "watcher.py").write_text(WATCHER)
    stage.write({"first": {**IDLE, "run_at_start": True}})  # whether the first run was written down or not
    first = await stage.watch()
    await first.says("first run")
    first.kill()
    second = await stage.watch()
    await second.says("first run")
    assert "Применена миграция" in first.text
    assert "Применена миграция" not in second.text
    assert await second.stop() == 0


async def test_commands_never_load_telegrams_library(
    stage: Stage, telegram: BotApi, database: str, pool: Pool
) -> None:
    (stage.folder / "watcher.py").write_text(WATCHER)
    stage.write({"first": IDLE}, url=database, telegram=section(telegram))
    await stage.watch()
    await until_true(pool, "SELECT runs_total = 1 FROM dozor.tasks", within=30)
    # One interpreter for all: what a command has loaded is found after the others too.
    process = stage.start(sys.executable, "-c", WITHOUT_AIOGRAM, str(stage.config), *COMMANDS)
    assert await process.ends() == 0
    said = [line for line in process.text.splitlines() if ": loaded: " in line]
    assert said == [f"{text}: loaded: [] exit: {code}" for text, code in COMMANDS.items()], process.text


def test_the_command_is_installed() -> None:
    assert DOZOR.exists()


HOST = """
import asyncio, signal, sys
from loguru import logger
from dozor import Runner

async def main():
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    signal.signal(signal.SIGINT, lambda *_: print("the host's own SIGINT", flush=True))
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    lines = []
    logger.remove()
    sink = logger.add(lambda message: lines.append(message.record["message"]))
    own = asyncio.create_task(asyncio.Event().wait(), name="the host's own task")
    async with Runner.from_config("config.yaml") as runner:
        print("supervising", [task.spec.name for task in runner.supervisor.tasks], flush=True)
        await stop.wait()
        assert before == [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    assert not own.done(), "the host's own task was ended"
    others = [t for t in asyncio.all_tasks() if t not in (own, asyncio.current_task())]
    assert not others, others
    logger.remove(sink)  # a ValueError if somebody had taken it away
    assert any(" работает: задач" in line for line in lines), lines
    print("the host goes on", flush=True)

asyncio.run(main())
"""


async def test_a_runner_inside_a_host_application_leaves_its_signals_log_and_tasks_alone(
    stage: Stage, database: str, pool: Pool
) -> None:
    (stage.folder / "watcher.py").write_text(WATCHER)
    stage.write({"first": IDLE}, url=database)
    process = stage.start(sys.executable, "-W", "error", "-c", HOST)
    await process.says("supervising ['first']")
    await process.says("first run")
    process.signal(signal.SIGINT)
    await process.says("the host's own SIGINT")
    assert await process.stop() == 0
    assert process.text.splitlines()[-1] == "the host goes on"
    assert await pool.fetchval("SELECT clean FROM dozor.runners")


async def test_two_runners_after_each_other_in_one_host(stage: Stage, database: str) -> None:
    (stage.folder / "watcher.py").write_text(WATCHER)
    stage.write({"first": IDLE}, url=database)
    program = """
import asyncio
from dozor import Runner

async def main():
    for turn in range(2):
        async with Runner.from_config("config.yaml"):
            await asyncio.sleep(0.3)
    try:
        async with Runner.from_config("config.yaml"):
            raise KeyError("of the host")
    except KeyError:
        print("the host's own error came through")

asyncio.run(main())
"""
    process = stage.start(sys.executable, "-W", "error", "-c", program)
    assert await process.ends() == 0, process.text
    assert "the host's own error came through" in process.text
    assert process.text.count(" работает: задач") == 3
    await until(lambda: not process.alive)


async def test_sigterm_while_the_embedded_server_starts_leaves_none_behind(stage: Stage) -> None:
    stage.write({"first": {"run": "scripted:obey", "every": "1h"}})
    process = stage.run()
    await until((stage.folder / "pg").exists)
    process.signal(signal.SIGTERM)
    assert await process.ends() == 0
    assert "Traceback" not in process.text
    assert find_embedded(stage.folder / "pg") is None
    assert not (stage.folder / "pg" / "postmaster.pid").exists()


async def test_a_closed_standard_stream_writes_into_no_other_file(stage: Stage, database: str) -> None:
    stage.write({"first": QUICK}, url=database)
    said = stage.folder / "said"
    script = 'exec "$0" run -c "$1" >"$2" 2>&-'
    process = stage.start("/bin/sh", "-c", script, DOZOR, stage.config, said)
    await until(lambda: len(stage.runs("first")) >= 3, within=60)
    leads_to = Path(os.readlink(f"/proc/{process.pid}/fd/2"))
    assert leads_to == Path("/dev/null")  # else the next socket or file would be descriptor 2
    assert await process.stop() == 0
    for streams in (">&-", "<&- >&- 2>&-"):
        command = f'exec "$0" check -c "$1" {streams}'
        assert await stage.start("/bin/sh", "-c", command, DOZOR, stage.config).ends() == 0, streams


async def test_a_state_directory_that_cannot_be_written_to_is_named_at_the_start(
    stage: Stage, database: str
) -> None:
    (stage.folder / "file").touch()
    stage.write({"first": QUICK}, url=database, language="en", state_dir="file/state")
    process = await stage.watch()
    await process.says("file/state: Not a directory. Set state_dir to a folder")
    assert await process.stop() == 0
