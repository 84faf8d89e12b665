"""kill -9 of the runner at random moments between a failure and its delivery.

`python -m tests.system.kill_campaign --kills 50 [--seed N]` runs it on a server of its own and reports; the
suite runs a short one.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import assert_never

from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.pool import Pool, create_pool
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.system.process import PATIENCE, Process
from tests.system.stage import QUICK, Stage
from tests.system.telegram import ADMIN, DUPLICATE, all_texts, open_telegram, section, texts
from tests.waiting import until

LIMITS = (5, 3)
"""Of the even tasks, which are told of twice, and of the odd ones. More at once would be told as a storm."""
STOPPED_SQL = "SELECT state = 'stopped' FROM dozor.tasks WHERE name = '{}'"


class Moment(Enum):
    """When to kill."""

    AFTER_A_FAILURE = "after a failure, at any point of its way into the database"
    SENDING = "while the message is on its way"
    ACCEPTED = "after Telegram took it, before the runner knew"
    DELIVERED = "just after it was delivered"


@dataclass(slots=True)
class Report:
    """What the campaign saw. Empty `wrong`: all is well."""

    seed: int
    kills: Counter[Moment] = field(default_factory=Counter)
    alerts: int = 0
    duplicates: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        moments = ", ".join(f"{count} {moment.value}" for moment, count in self.kills.items())
        return (
            f"{self.kills.total()} kills (seed {self.seed}): {moments}\n"
            f"{self.alerts} alerts owed; {self.duplicates} of those that arrived bear the mark of a repeat\n"
            f"{self.seconds:.0f} s; wrong: {self.wrong or 'nothing'}"
        )


class Campaign:
    """One task a kill: it fails until it is stopped, whatever happens to the runner meanwhile."""

    def __init__(self, stage: Stage, api: BotApi, pool: Pool, url: str, *, kills: int, seed: int) -> None:
        self._stage, self._api, self._pool = stage, api, pool
        self._random = random.Random(seed)
        self._limits = {f"task_{number}": LIMITS[number % 2] for number in range(kills)}
        self._names = list(self._limits)
        # In a random order, each as often as the others.
        self._moments = [
            moment
            for _ in range(-(-kills // len(Moment)))
            for moment in self._random.sample(list(Moment), len(Moment))
        ]
        self._report = Report(seed)
        tasks = {name: {**QUICK, "max_consecutive_failures": limit} for name, limit in self._limits.items()}
        # A private chat: its pace is a message a second, a group's three seconds a message.
        stage.write(tasks, url=url, telegram=section(api, chat=ADMIN))

    async def run(self) -> Report:
        began = time.monotonic()
        process = await self._stage.watch()
        for name, moment in zip(self._names, self._moments, strict=False):
            self._stage.order(name, "fail as ordered")
            await self._reach(moment, name)
            process.kill()
            self._report.kills[moment] += 1
            process = await self._start_again()
            await until_true(self._pool, STOPPED_SQL.format(name), within=PATIENCE)
        await self._until_all_is_told(process)
        await process.stop()
        self._report.seconds = time.monotonic() - began
        return self._report

    async def _reach(self, moment: Moment, name: str) -> None:
        seen = len(self._api.calls)
        match moment:
            case Moment.AFTER_A_FAILURE:
                enough = len(self._stage.runs(name)) + self._random.randint(1, self._limits[name])
                await until(
                    lambda: self._over(name) or len(self._stage.runs(name)) >= enough, within=PATIENCE
                )
            case Moment.SENDING | Moment.ACCEPTED:
                hang = FaultKind.HANG if moment is Moment.SENDING else FaultKind.HANG_AFTER_ACCEPT
                self._api.fail(hang, method="sendMessage", seconds=60.0)
                await self._api.wait_until(
                    lambda: any(call.fault == hang.value for call in self._api.calls[seen:]), PATIENCE, hang
                )
            case Moment.DELIVERED:
                await self._api.wait_until(
                    lambda: any(_names(text, name) for text in texts(self._api, ADMIN)), PATIENCE, name
                )
            case _:
                assert_never(moment)
        # Anywhere within the next few steps of the runner.
        await asyncio.sleep(self._random.uniform(0, 0.05))

    def _over(self, name: str) -> bool:
        lines = self._stage.runs(name)
        return bool(lines) and _attempt(lines[-1]) == self._limits[name]

    async def _start_again(self) -> Process:
        """The states of the database fit what was run; the new runner goes on from them."""
        stored = await self._read()
        before = {name: len(self._stage.runs(name)) for name in self._names}
        for name, (state, streak) in stored.items():
            lines = self._stage.runs(name)
            last = _attempt(lines[-1]) if lines else 0
            # The last run may have been in progress, or its end on its way into the database.
            if streak not in (last - 1, last) or (state == "stopped") != (streak == self._limits[name]):
                self._report.wrong.append(f"{name}: {state} with {streak}, its last attempt was {last}")
        process = await self._stage.watch()
        going = [name for name, (state, _) in stored.items() if state != "stopped"]
        await until(
            lambda: all(len(self._stage.runs(name)) > before[name] for name in going), within=PATIENCE
        )
        for name, (state, streak) in stored.items():
            fresh = self._stage.runs(name)[before[name] :]
            if state == "stopped" and fresh:
                self._report.wrong.append(f"{name}: stopped, and yet it ran")
            if state != "stopped" and _attempt(fresh[0]) != streak + 1:
                self._report.wrong.append(f"{name}: streak {streak}, went on with {fresh[0]}")
        return process

    async def _read(self) -> dict[str, tuple[str, int]]:
        rows = await self._pool.fetch("SELECT name, state, consecutive_failures FROM dozor.tasks")
        return {row["name"]: (row["state"], row["consecutive_failures"]) for row in rows}

    async def _until_all_is_told(self, process: Process) -> None:
        owed = "SELECT count(*) = 0 FROM dozor.notifications WHERE state IN ('pending', 'sending')"
        await until_true(self._pool, owed, within=30 + 4.0 * len(self._names))
        assert process.alive, process.text
        wrong = self._report.wrong
        said = all_texts(self._api, ADMIN)
        for name, limit in self._limits.items():
            about = [text for text in said if _names(text, name)]
            # A message lost with the runner that sent it comes again marked, as the only one.
            expected = ["⚠", "🛑"] if limit == LIMITS[0] else ["🛑"]
            if list(dict.fromkeys(text[0] for text in about)) != expected:
                wrong.append(f"{name}: in the chat {[text[0] for text in about]}")
            unmarked = [text[0] for text in about if DUPLICATE not in text]
            if len(unmarked) != len(set(unmarked)):
                wrong.append(f"{name}: came again without a mark: {unmarked}")
        kinds = await self._pool.fetch(
            "SELECT kind, state, count(*) FROM dozor.notifications GROUP BY kind, state"
        )
        owed_of = {(row["kind"], row["state"]): row["count"] for row in kinds}
        # The first start says hello, unless it is killed before. The unclean ends are one incident with a
        # count; a start that is killed before it has told of them leaves that to the next one.
        if owed_of.pop(("runner_started", "delivered"), 0) > 1:
            wrong.append("the first start was told more than once")
        told = owed_of.pop(("trouble", "delivered"), 0)
        if told != 1:
            wrong.append(f"unclean ends were told {told} times, not once")
        counted = await self._pool.fetchval("SELECT failures FROM dozor.incidents WHERE kind = 'unclean_end'")
        if not 1 <= (counted or 0) <= len(self._names):
            wrong.append(f"{counted} unclean ends were counted")
        twice = sum(limit == LIMITS[0] for limit in self._limits.values())
        if owed_of != {
            ("repeated_errors", "delivered"): twice,
            ("critical_stop", "delivered"): len(self._names),
        }:
            wrong.append(f"owed: {owed_of}")
        rows = sum(row["count"] for row in kinds)
        marked = sum(DUPLICATE in text for text in said)
        if not len(said) - marked <= rows <= len(said):
            wrong.append(f"{rows} owed, {len(said)} arrived, of them {marked} marked")
        self._report.alerts = rows
        self._report.duplicates = marked


def _names(text: str, task: str) -> bool:
    """Is it the first line's task?"""
    return task in text.split("\n")[0].replace(":", " ").split()


def _attempt(line: str) -> int:
    return int(line.split()[2])


async def _main(kills: int, seed: int) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="dozor-"))
    stage = Stage(folder)
    server = await asyncio.to_thread(start_embedded, folder / "server")
    try:
        await migrate(server.dsn)
        pool = await create_pool(server.dsn)
        async with open_telegram() as api:
            report = await Campaign(stage, api, pool, server.dsn, kills=kills, seed=seed).run()
        await pool.close()
        return report
    finally:
        stage.close()
        server.release()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.system.kill_campaign", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    report = asyncio.run(_main(arguments.kills, arguments.seed))
    print(report)
    raise SystemExit(bool(report.wrong))


if __name__ == "__main__":
    main()
