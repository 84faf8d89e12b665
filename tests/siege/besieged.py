"""The besieged: a whole runner in a process of its own, on the fast clock, and who restarts its tasks."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import yaml
from loguru import logger

import dozor_bot.app  # noqa: F401 -- loaded once, before anything is forked
from dozor.app.runner import Runner
from dozor.config import Config, load
from dozor.config.imports.checkers import Checker, import_checkers
from dozor.control.commands.actor import Actor, Source
from dozor.control.commands.commands import CommandName, submit
from dozor.language import Translator
from dozor.language.names import Language
from dozor.storage.postgres.pool import unavailable
from dozor.supervision.core.state import State
from tests.siege import checkers
from tests.siege.haste import Haste
from tests.siege.places import ANN, FORUM, LOUD, SECOND, TOPIC, second_hears
from tests.siege.processes import Board, Cell
from tests.siege.standin import TOKEN
from tests.siege.truth import REPEATED, RESTART_DELAY, STOPPED_AFTER, Temper, Truth, every

PERSON_EVERY = 10.0
"""Seconds between the person's looks at what is stopped."""
DRAINED_SQL = """
SELECT (SELECT count(*) FROM dozor.notifications WHERE state IN ('pending', 'sending'))
     + (SELECT count(*) FROM dozor.incidents WHERE state <> 'resolved')
     + (SELECT count(*) FROM dozor.living_messages l JOIN dozor.incidents i ON i.id = l.incident_id
        WHERE i.updated_at > l.shown_at + interval '1 millisecond')
"""
LINE = "{extra[at]:.2f} {process.id} {level} {name} {message}\n"


def configuration(truth: Truth, dsn: str, port: int) -> dict[str, Any]:
    """Everything that tells people something is on."""
    second = [task for task in truth.tempers if second_hears(task)]
    stops = {Temper.STRICT: STOPPED_AFTER, Temper.PATIENT: 1_000_000}
    return {
        "database": {"url": dsn},
        "telegram": {
            "token": TOKEN,
            "api_url": f"http://127.0.0.1:{port}",
            "chat": f"{FORUM}:{TOPIC}",
            "admins": [ANN],
        },
        "alerts": {
            "repeated_errors": REPEATED,
            "remind_every": "10m",
            "reopen_within": "60s",
            "escalate": [{"after": "5m", "to": "oncall"}, {"after": "15m", "to": "everybody"}],
            "chats": [{"chat": LOUD, "min_severity": "critical"}, {"chat": SECOND, "tasks": second}],
        },
        "oncall": {
            "people": {"ann": {"chat": ANN, "mention": "@ann"}},
            "rotation": {"people": ["ann"], "start": "2026-01-01 10:00", "shift": "7d"},
        },
        "web": {"listen": None},
        # These go by real time.
        "supervision": {"blocked_loop_after": "1h"},
        "limits": {"open_files": None, "loop_lag": None, "database_connections": None},
        "defaults": {
            "run": "tests.siege.checkers:check",
            "restart_delay": f"{RESTART_DELAY:g}s",
        },
        "tasks": {
            name: {"every": f"{every(name):g}s", "max_consecutive_failures": stops[temper]}
            for name, temper in truth.tempers.items()
        },
    }


def prepare(truth: Truth, dsn: str, port: int, folder: Path) -> tuple[Config, dict[str, Checker]]:
    """Before the first fork: also what takes computing and can be done once."""
    for language in Language:
        Translator(language).format("alert-test")
    context = ssl.create_default_context(cafile=certifi.where())
    ssl.create_default_context = lambda *_, **__: context  # nobody speaks TLS here
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(configuration(truth, dsn, port), allow_unicode=True, sort_keys=False))
    config = load(file)
    return config, import_checkers(config)


def at_home(config: Config, chat_id: int) -> Config:
    """Configured for another group as the chat of the configuration, in the same topic."""
    chat = config.telegram.chat
    assert chat is not None
    moved = config.telegram.model_copy(update={"chat": dataclasses.replace(chat, chat_id=chat_id)})
    return config.model_copy(update={"telegram": moved})


class HastyRunner(Runner):
    """As it is, but for its clock."""

    def __init__(self, config: Config, checkers_: dict[str, Checker], haste: Haste, truth: Truth) -> None:
        super().__init__(config, checkers_, wait=True)
        self._clock = haste.clock()
        self._started_at = self._clock.now()
        self._haste, self._truth = haste, truth

    async def be_restarted(self) -> None:
        """By a person, who restarts what is stopped when its cause is gone."""
        asked: dict[str, float] = {}
        while True:
            await asyncio.sleep(PERSON_EVERY)
            at = self._haste.seconds()
            for task in self.supervisor.tasks:
                name = task.spec.name
                stopped = task.state.state is State.STOPPED and self._truth.broken(name, at) is None
                if stopped and at - asked.get(name, float("-inf")) > 60.0:
                    try:
                        async with self.pools.core.acquire(timeout=5.0) as connection:
                            await submit(
                                connection, CommandName.RESTART, name, Actor(Source.TELEGRAM, str(ANN))
                            )
                        asked[name] = at
                    except Exception as error:
                        if not unavailable(error):
                            raise

    async def report_peace(self, board: Board) -> None:
        """When nothing breaks any more: say on the board when everything is told."""
        await asyncio.sleep(self._truth.ends - self._haste.seconds())
        while True:
            await asyncio.sleep(15.0)
            try:
                left = await self.pools.core.fetchval(DRAINED_SQL)
            except Exception as error:
                if not unavailable(error):
                    raise
                continue
            board[Cell.DRAINED] = int(left == 0)
            board[Cell.LEFT] = left


def live(
    config: Config,
    imported: dict[str, Checker],
    haste: Haste,
    truth: Truth,
    board: Board,
    log: Path,
    console: Path,
) -> None:
    """The whole life of the process: until SIGTERM, or until it gives up."""
    board[Cell.RUNNER] = os.getpid()
    said = os.open(console, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    _log_to(log, haste)
    gc.set_threshold(20_000, 20, 20)  # as `dozor run`
    checkers.world = (haste, truth)
    haste.run(_live(lambda: HastyRunner(config, imported, haste, truth), board))


async def _live(make: Callable[[], HastyRunner], board: Board) -> None:
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    async with make() as runner:
        works: list[asyncio.Future[Any]] = [
            asyncio.create_task(end.wait()),
            asyncio.create_task(runner.be_restarted()),
            asyncio.create_task(runner.report_peace(board)),
        ]
        await asyncio.wait({*works, runner.failed}, return_when=asyncio.FIRST_COMPLETED)
        for work in works:
            if work.done():
                work.result()
            work.cancel()
    if runner.failed.done():
        raise runner.failed.result()


def _log_to(file: Path, haste: Haste) -> None:
    """What the judge reads afterwards: warnings, with fast times. Failures of tasks are known without it."""
    logging.basicConfig(filename=file, level=logging.WARNING, force=True)
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)  # as in dozor.logs
    logger.remove()
    logger.disable("dozor.task_lines")
    logger.configure(patcher=lambda record: record["extra"].update(at=haste.now()))
    logger.add(
        file,
        level="INFO",
        format=LINE,
        filter={"": "WARNING", "dozor.storage.health": "INFO"},
        diagnose=False,
        backtrace=False,
    )
