"""From an exception in a checker to the request on the wire, beside a bare `bot.send_message`.

    python -m benchmarks.delivery [--alerts 200]
    python -m benchmarks.delivery --storm 1000

Both sides take turns in one process: the bare call, then a task that fails once and whose state, incident and
message are committed to PostgreSQL (with fsync) before the message leaves. A Bot API stand-in in a process of
its own says when a request arrived, by the clock of the same machine. Undisturbed: one alert at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import aiohttp
from aiogram import Bot
from loguru import logger

from dozor.alerting.delivery.console import ConsoleTransport
from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.transport import Outcome, Transport
from dozor.alerting.incidents.manager import IncidentManager
from dozor.alerting.incidents.storm_gate import Admission
from dozor.alerting.model.incident import AlertSettings
from dozor.alerting.model.message import Message
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Cron
from dozor.language import Translator
from dozor.storage.journal import Journal, StateSource
from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.pool import create_pool
from dozor.storage.tables import tasks
from dozor.supervision.core.events import Restart, RunNow
from dozor.supervision.core.policy import Policy, RestartDelay
from dozor.supervision.core.spec import Checker, TaskSpec
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.log import SupervisionLog
from dozor.supervision.telemetry.metrics import RunMetrics
from dozor_bot.telegram.session import Session
from dozor_bot.telegram.transport import TelegramTransport

GOAL = "goal: p50 at most 4 times the bare call's"
TOKEN = "42:stand-in-token"  # the stand-in's own
CHAT = -500
WARM_UP = 10
DELIVERED_WITHIN = 20.0
"""Seconds that one message may take; then the measurement ends with an error."""


class Unpaced:
    """`transport` without its place: the dispatcher keeps the pace of a chat only where it knows the chat."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def name(self) -> str:
        return self._transport.name

    async def send(self, message: Message) -> Outcome:
        return await self._transport.send(message)


class StandIn:
    """The stand-in's process, and what it has heard."""

    def __init__(self, process: subprocess.Popen[str], url: str, http: aiohttp.ClientSession) -> None:
        self._process, self.url, self._http = process, url, http
        self._seen = 0

    @classmethod
    async def start(cls, http: aiohttp.ClientSession) -> StandIn:
        command = [sys.executable, "-m", "tests.bot.botapi"]
        process = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        url = (await asyncio.to_thread(process.stdout.readline)).strip()
        found = cls(process, url, http)
        await found.post("chat", id=CHAT, type="group", title="bench")
        return found

    async def post(self, what: str, **body: Any) -> None:
        async with self._http.post(f"{self.url}/_control/{what}", json=body) as answer:
            answer.raise_for_status()

    async def arrival(self) -> float:
        """When the next message came; `time.time()`."""
        while True:
            async with self._http.get(f"{self.url}/_control/calls?since={self._seen}") as answer:
                calls = await answer.json()
            self._seen += len(calls)
            messages = [call for call in calls if call["method"] == "sendMessage"]
            if messages:
                return float(messages[0]["at"])
            await asyncio.sleep(0.002)

    async def calls(self) -> list[dict[str, Any]]:
        """All so far."""
        async with self._http.get(f"{self.url}/_control/calls?since=0") as answer:
            found: list[dict[str, Any]] = await answer.json()
        return found

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@dataclass
class Furnished:
    """A supervisor, its alerts on their way to the stand-in, and the bare bot beside it."""

    supervisor: Supervisor
    watch: IncidentManager
    stand_in: StandIn
    bot: Bot
    delivered: asyncio.Event


@asynccontextmanager
async def _furnished(names: list[str], function: Checker, *, chat_id: int | None) -> AsyncIterator[Furnished]:
    """`chat_id` None: without Telegram's pace, and without edits."""
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as folder, start_embedded(Path(folder)) as server:
        await migrate(server.dsn)
        clock = SteadyClock()
        journal = await Journal.open(server.dsn, "benchmark", clock)
        declared = [
            tasks.TaskDeclaration(name=name, description="", schedule="", max_consecutive_failures=5)
            for name in names
        ]
        await tasks.declare(journal.connection, declared)
        pool = await create_pool(server.dsn, min_size=2)
        settings = dict.fromkeys(names, AlertSettings(repeated_errors=1))
        watch = IncidentManager(journal, clock, settings, (), 0, RunMetrics(len(names)))
        never = Policy(
            schedule=Cron("0 0 1 1 *", ZoneInfo("UTC")),
            restart_delay=RestartDelay.fixed(9e5),
            max_consecutive_failures=2,
        )
        supervisor = Supervisor(
            [TaskSpec(name=name, function=function, policy=never) for name in names],
            observer=watch,
            clock=clock,
            log=SupervisionLog(),
        )
        async with aiohttp.ClientSession() as http:
            stand_in = await StandIn.start(http)
            session = Session(stand_in.url)
            bot = Bot(TOKEN, session=session)
            words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), clock)
            delivered = asyncio.Event()
            dispatcher = Dispatcher(
                pool,
                ConsoleTransport(),
                ConsoleTransport(),
                words,
                clock,
                on_attempt=[lambda attempt: delivered.set()],
            )
            transport = TelegramTransport(bot, CHAT, None, Translator("ru"))
            dispatcher.set_transport(Unpaced(transport) if chat_id is None else transport, chat_id=chat_id)
            states = StateSource(take_checkpoint=supervisor.take_checkpoint)
            journal.subscribe(dispatcher.wake)
            supervisor.start()
            parts = [asyncio.create_task(journal.run(states)), asyncio.create_task(dispatcher.run())]
            try:
                yield Furnished(supervisor, watch, stand_in, bot, delivered)
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
                await supervisor.stop()
                await session.close()
                stand_in.stop()
                await journal.close()
                pool.terminate()
                await asyncio.sleep(0)


async def measure(alerts: int) -> tuple[list[float], list[float]]:
    """Seconds to the wire of a bare call and of a failure, `alerts` of each, in turns.

    Raises TimeoutError if a message does not arrive.
    """
    raised_at = 0.0

    async def fail() -> NoReturn:
        nonlocal raised_at
        raised_at = time.time()
        raise ConnectionError("the provider does not answer")

    names = [f"task_{number}" for number in range(alerts + WARM_UP)]
    bare: list[float] = []
    ours: list[float] = []
    async with _furnished(names, fail, chat_id=None) as room:
        room.watch.planner.group.gate.admit = lambda incident_id, now: Admission.ALONE  # type: ignore[method-assign]
        for name in names:
            await asyncio.sleep(0.05)
            begun = time.time()
            await room.bot.send_message(CHAT, "the provider does not answer")
            bare.append(await room.stand_in.arrival() - begun)
            await asyncio.sleep(0.05)
            room.delivered.clear()
            room.supervisor.command(name, RunNow("benchmark"))
            ours.append(await _arrival(room, name) - raised_at)
    return bare[WARM_UP:], ours[WARM_UP:]


async def _arrival(room: Furnished, name: str) -> float:
    """When the message about `name` arrived. Until it is delivered nothing disturbs the stand-in."""
    try:
        async with asyncio.timeout(DELIVERED_WITHIN):
            await room.delivered.wait()
            return await room.stand_in.arrival()
    except TimeoutError:
        raise TimeoutError(f"no message about {name} within {DELIVERED_WITHIN:.0f} s") from None


@dataclass(frozen=True, slots=True)
class Storm:
    """What reached the stand-in in 100 s. Times are seconds since the tasks failed."""

    begun: float
    calls: list[dict[str, Any]]

    def times(self, method: str) -> list[float]:
        """When calls of `method` were accepted."""
        return [call["at"] - self.begun for call in self.accepted if call["method"] == method]

    @property
    def accepted(self) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["status"] == 200]

    @property
    def refused(self) -> int:
        """Calls that were refused for their pace."""
        return sum(call["status"] == 429 for call in self.calls)


async def storm(count: int) -> Storm:
    """All tasks fail in the same second, stop after 20 s, recover from 60 s on; Telegram's pace is kept."""
    broken = True

    async def fail() -> None:
        if broken:
            raise ConnectionError("the provider does not answer")

    names = [f"task_{number:04}" for number in range(count)]
    async with _furnished(names, fail, chat_id=CHAT) as room:
        await room.stand_in.post("pace")
        await asyncio.sleep(1.0)
        begun = time.time()

        async def run_all(at: float, command: RunNow | Restart, some: list[str]) -> None:
            await asyncio.sleep(max(0.0, begun + at - time.time()))
            for name in some:
                room.supervisor.command(name, command)

        await run_all(0, RunNow("benchmark"), names)
        await run_all(20, RunNow("benchmark"), names)
        await run_all(58, RunNow("benchmark"), [])
        broken = False
        for part in range(10):
            await run_all(60 + 2 * part, Restart("benchmark"), names[part::10])
        await run_all(100, RunNow("benchmark"), [])
        return Storm(begun, await room.stand_in.calls())


def _show(count: int, found: Storm) -> None:
    sent, edits = found.times("sendMessage"), found.times("editMessageText")
    print(f"{count} tasks in one second: the first message after {sent[0]:.2f} s,")
    print(f"{len([at for at in sent if at <= 60])} messages in the first minute, {len(sent)} in 100 s,")
    print(f"{len(edits)} edits, {found.refused} calls refused with 429")
    for call in found.accepted:
        if call["method"] in ("sendMessage", "editMessageText"):
            sign = " " if call["method"] == "sendMessage" else "✎"
            first, *rest = call["params"]["text"].splitlines()
            print(f"{call['at'] - found.begun:7.2f} s {sign} {first}" + (f" · {rest[0]}" if rest else ""))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery", description=__doc__)
    parser.add_argument("--alerts", type=int, default=200)
    parser.add_argument("--storm", type=int, default=0, metavar="TASKS", help="instead: so many fail at once")
    options = parser.parse_args(argv)
    logger.remove()
    if options.storm:
        _show(options.storm, asyncio.run(storm(options.storm)))
        return
    bare, ours = asyncio.run(measure(options.alerts))
    print(f"{'':24} {'p50 ms':>8} {'p99 ms':>8}")
    for name, values in (("bare bot.send_message", bare), ("exception to wire", ours)):
        ordered = sorted(values)
        p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        print(f"{name:24} {p50 * 1e3:8.2f} {p99 * 1e3:8.2f}")
    ratio = sorted(ours)[len(ours) // 2] / sorted(bare)[len(bare) // 2]
    print(f"p50 is {ratio:.1f} times the bare call's ({GOAL})")


if __name__ == "__main__":
    main()
