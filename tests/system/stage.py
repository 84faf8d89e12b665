"""A folder with a configuration and checkers, and the processes that run on it."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dozor.storage.postgres.embedded.server import find_embedded
from tests.system.process import DOZOR, PATIENCE, Process

Tasks = Mapping[str, Mapping[str, Any]]
QUICK: Mapping[str, Any] = {"run": "scripted:obey", "every": "100ms", "restart_delay": "100ms"}
"""A task that runs, fails and restarts several times a second."""
SECONDS = {
    "wait_at_start": "dozor.storage.postgres.database.PATIENCE",
    "write_timeout": "dozor.storage.journal.WRITE_TIMEOUT",
    "database_down_for": "dozor.alerting.fallback.outage_sender.DOWN_FOR",
    "look_at_database": "dozor.alerting.fallback.outage_sender.LOOK_EVERY",
    "bot_deaf_after": "dozor.control.bot_monitor.DEAF_AFTER",
    "look_at_bot": "dozor.control.bot_monitor.LOOK_EVERY",
    "look_at_outbox": "dozor.alerting.fallback.outbox_failover.LOOK_EVERY",
    "poll_again_within": "dozor_bot.poller.LAST_BACKOFF",
    "send_again_within": "dozor.alerting.delivery.destination.LONGEST_PAUSE",
}
"""What a runner waits for, of which a test need not wait as long."""
HASTE = """
import importlib

VALUES = {values!r}
for name, value in VALUES.items():
    module, _, constant = name.rpartition(".")
    found = importlib.import_module(module)
    assert type(getattr(found, constant)) is float, name
    setattr(found, constant, value)

async def nothing(): ...
"""
POLLING = """
from dozor_bot.poller import Poller

Poller.__init__.__kwdefaults__["poll_timeout"] = {poll}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    code: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Stage:
    """`folder` is the test's own, with a short path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self._numbers = itertools.count(1)
        self._processes: list[Process] = []
        self.constants: dict[str, float] = {}
        """Of modules, by their dotted names, for the processes started from now on: `tests.preloaded`."""
        shutil.copy(Path(__file__).with_name("scripted.py"), folder / "scripted.py")

    def write(self, tasks: Tasks, *, url: str = "embedded", **sections: Any) -> None:
        """The configuration. Without a `telegram` section alerts go to the console; no web server."""
        database = {"url": url, "data_dir": "pg"} if url == "embedded" else {"url": url}
        whole = {"database": database, "web": {"listen": None}, **sections}
        whole["tasks"] = {name: dict(task) for name, task in tasks.items()}
        self.config.write_text(yaml.safe_dump(whole, allow_unicode=True, sort_keys=False))

    def hasten(self, seconds: Mapping[str, float], *, poll: int | None = None) -> Tasks:
        """A task whose module, when the runner imports it, gives other values to constants of `SECONDS`.

        `poll`: seconds of one poll of Telegram for updates.
        """
        values = {SECONDS[name]: value for name, value in seconds.items()}
        polling = "" if poll is None else POLLING.format(poll=poll)
        (self.folder / "haste.py").write_text(HASTE.format(values=values) + polling)
        return {"haste": {"run": "haste:nothing", "every": "1h"}}

    def order(self, task: str, what: str) -> None:
        """What the task's checker does from its next run on."""
        fresh = self.folder / f"{task}.order.new"
        fresh.write_text(what)
        fresh.replace(self.folder / f"{task}.order")

    def runs(self, task: str) -> list[str]:
        """A line a run, the oldest first."""
        try:
            return (self.folder / f"{task}.runs").read_text().splitlines()
        except FileNotFoundError:
            return []

    def run(self, *options: str, env: Mapping[str, str] | None = None) -> Process:
        """`dozor run`."""
        return self.start(DOZOR, "run", "-c", self.config, *options, env=env)

    def start(self, *command: str | Path, env: Mapping[str, str] | None = None) -> Process:
        """Any command, in the folder."""
        output = self.folder / f"output-{next(self._numbers)}.txt"
        process = Process(command, cwd=self.folder, output=output, env=env, constants=self.constants)
        self._processes.append(process)
        return process

    async def watch(self, *options: str, env: Mapping[str, str] | None = None) -> Process:
        """`dozor run`, once it supervises."""
        process = self.run(*options, env=env)
        english = yaml.safe_load(self.config.read_text()).get("language") == "en"
        await process.says(" is on watch: tasks" if english else " работает: задач")
        return process

    async def cli(self, *words: str, env: Mapping[str, str] | None = None) -> Answer:
        """A command of `dozor` on this configuration, to its end."""
        process = self.start(*self.command(*words), env=env)
        code = await process.ends(within=PATIENCE)
        return Answer(code, process.text)

    def command(self, *words: str) -> tuple[str | Path, ...]:
        """A command of `dozor` on this configuration."""
        command, *more = words
        return (DOZOR, command, "-c", self.config, *more)

    def embedded_dsn(self) -> str:
        """DSN of the embedded server, which a process of ours has started."""
        server = find_embedded(self.folder / "pg")
        assert server is not None
        server.release()
        return server.dsn

    async def status(self, name: str) -> dict[str, Any]:
        """One task of `dozor status --json`."""
        answer = await self.cli("status", name, "--json")
        task: dict[str, Any] = answer.json["tasks"][0]
        return task

    def say(self) -> None:
        """What the processes said: shown with a failed test."""
        for process in self._processes:
            print(process.text[-3000:])

    def close(self) -> None:
        """End every process that was started here, the embedded server included."""
        for process in self._processes:
            process.kill()
        server = find_embedded(self.folder / "pg")
        if server is not None:
            server.release()
