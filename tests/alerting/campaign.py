"""A fault campaign: many incidents over random faults of Telegram and of PostgreSQL, and kill -9s.

In virtual time, with a real PostgreSQL. Each incident is a task of its own, so the chat can be checked
message by message.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.delivery.transport import (
    ChatMoved,
    Delivered,
    EditOutcome,
    Gone,
    Outcome,
    Rejected,
    RetryAfter,
    Unavailable,
    Unknown,
)
from dozor.alerting.model.message import Message
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.language import Translator
from dozor.storage.postgres.pool import Pool
from tests.alerting.scripted import Scripted
from tests.alerting.stage import Stage
from tests.alerting.story import ManualClock, Story, failure
from tests.bot.botapi.pace import Limits, Pace

TASK = re.compile(r"t\d{5}")
AGAIN = "Возможно, повтор"
ANEW = "Отправлено сюда заново"
"""After the chat became another one."""


class DiedError(BaseException):
    """kill -9 between a send and its settling."""


@dataclass
class Shown:
    """A message in the chat: when each of its texts came."""

    texts: list[tuple[float, str]]


class FaultyChat:
    """Telegram on a bad day: keeps its own pace, refuses, hangs, swallows answers, moves."""

    name = "telegram"

    def __init__(self, clock: ManualClock, luck: random.Random) -> None:
        self.clock, self.luck = clock, luck
        self.pace = Pace(Limits(), clock.now)
        self.messages: dict[int, Shown] = {}
        self.faults: Counter[str] = Counter()
        self.too_fast = 0
        self.chat_id = -100
        self.bad_until = 0.0
        self.bad = ""
        self.deaths = 0
        self.calm = False

    def move(self, chat_id: int) -> None:
        self.chat_id = chat_id

    async def send(self, message: Message) -> Outcome:
        outcome = self._fault(lambda: self._accept(message))
        return self._accept(message) if outcome is None else outcome

    async def edit(self, message: Message, message_id: int) -> EditOutcome:
        def change() -> Outcome:
            self.messages[message_id].texts.append((self.clock.at, message.plain))
            return Delivered(None)

        outcome = self._fault(change if message_id in self.messages else lambda: Delivered(None))
        if outcome is not None:
            return outcome
        if message_id not in self.messages:
            return Gone("message to edit not found")
        return change()

    def _accept(self, message: Message) -> Outcome:
        number = len(self.messages) + 1
        self.messages[number] = Shown([(self.clock.at, message.plain)])
        return Delivered(number)

    def _fault(self, carry_out: Callable[[], Outcome]) -> Outcome | None:
        """None: all is well."""
        if wait := self.pace.admit(self.chat_id, group=True):
            self.too_fast += 1
            return RetryAfter(float(wait))
        if self.calm:
            return None
        now = self.clock.at
        if now >= self.bad_until and self.luck.random() < 0.01:
            self.bad = self.luck.choice(("429", "5xx", "kicked", "hang", "cut"))
            self.bad_until = now + self.luck.uniform(5, 300)
        kind = self.bad if now < self.bad_until else ""
        if not kind and self.luck.random() < 0.1:
            kind = self.luck.choice(("429", "5xx", "hang", "cut", "moved", "die", "die after"))
        if kind:
            self.faults[kind] += 1
        match kind:
            case "429":
                return RetryAfter(float(self.luck.randint(1, 40)))
            case "5xx":
                return Unavailable("502")
            case "kicked":
                return Rejected("bot was kicked from the group chat")
            case "hang":
                return Unknown("timed out")
            case "cut":
                carry_out()
                return Unknown("connection broken")
            case "moved":
                self.chat_id -= 1
                return ChatMoved(self.chat_id)
            case "die":
                raise DiedError
            case "die after":
                carry_out()
                raise DiedError
            case _:
                return None


class FlakyPool:
    """Now and then a connection dies, before the server has done it or after."""

    def __init__(self, pool: Pool, luck: random.Random, rate: float) -> None:
        self._pool, self._luck, self._rate = pool, luck, rate
        self.faults = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._pool, name)
        if name not in ("fetch", "fetchrow", "fetchval", "execute"):
            return method

        async def call(*args: Any) -> Any:
            return await self._perhaps(lambda: method(*args))

        return call

    async def _perhaps(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        fate = self._luck.random()
        if fate < self._rate / 2:
            self.faults += 1
            raise ConnectionResetError("before")
        answer = await ask()
        if fate < self._rate:
            self.faults += 1
            raise asyncpg.ConnectionDoesNotExistError("after")
        return answer


@dataclass
class Report:
    """What a campaign has shown; `problems` is to be empty."""

    incidents: int = 0
    alone: int = 0
    in_storms: int = 0
    storms: int = 0
    messages: int = 0
    edits: int = 0
    marked: int = 0
    deaths: int = 0
    database_faults: int = 0
    too_fast: int = 0
    hours: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Campaign:
    """`count` incidents, the chances taken from `seed`."""

    def __init__(
        self,
        stage: Stage,
        count: int,
        seed: int,
        *,
        database_faults: float = 0.002,
        crash: Callable[[], None] | None = None,
        crashes: int = 0,
    ) -> None:
        """`crash` kills the server and starts it again; it is called `crashes` times."""
        self.stage, self.count = stage, count
        self._crash, self._crashes = crash, crashes
        self.luck = random.Random(seed)
        self.chat = FaultyChat(stage.clock, self.luck)
        self.pool = FlakyPool(stage.pool, self.luck, database_faults)
        self.console = Scripted(name="console")
        self.dispatcher = self._process()
        self.deaths = 0
        self.resolved_at: dict[str, float] = {}
        self.plan: list[tuple[float, int, str, str]] = []

    async def run(self) -> Report:
        began = self.stage.clock.at
        self._schedule()
        stories: dict[str, Story] = {}
        tick = began + 60.0
        every = len(self.plan) // (self._crashes + 1)
        while self.plan:
            if self._crash is not None and len(self.plan) % every == 0:
                self._crash()
            at, _, name, action = heappop(self.plan)
            while tick < at:
                await self._until(tick)
                self.stage.manager.tick(self.stage.supervisor)
                tick += 60.0
            await self._until(at)
            story = stories.get(name)
            if story is None:
                story = stories[name] = self.stage.new_task(name)
            story.manager = self.stage.manager
            self._act(story, action)
            await self.stage.journal.write()
        self.chat.calm = True
        self.chat.bad_until = 0.0
        await self._until(self.stage.clock.at + 20 * 3600)
        return await self._report(began)

    def _schedule(self) -> None:
        at, number = self.stage.clock.at, 0
        while number < self.count:
            at += self.luck.expovariate(1 / 30)
            burst = self.luck.randint(5, 40) if self.luck.random() < 0.01 else 1
            for _ in range(min(burst, self.count - number)):
                name = f"t{number:05}"
                failures = 5 if self.luck.random() < 0.4 else 3
                moment, apart = at, self.luck.choice((0.1, 5.0, 20.0))
                for step in range(failures):
                    moment = at + step * apart
                    heappush(self.plan, (moment, number * 10 + step, name, "fail"))
                over = moment + self.luck.choice((1.0, 30.0, 300.0, 2400.0)) * self.luck.uniform(0.5, 1.5)
                heappush(self.plan, (over, number * 10 + 9, name, "recover"))
                number += 1

    def _act(self, story: Story, action: str) -> None:
        if action == "fail":
            story.fail(failure(f"broken {story.name}", where=f"{story.name}.py:1 in f"), after=0)
            return
        story.restart()
        story.succeed(after=0)
        self.resolved_at[story.name] = self.stage.clock.at

    async def _until(self, at: float) -> None:
        """Deliver what can leave before `at`; whoever dies is started anew."""
        clock = self.stage.clock
        while True:
            try:
                pause = await self.dispatcher.deliver_next()
            except DiedError:
                self.deaths += 1
                self.dispatcher = self._process()
                if self.luck.random() < 0.1:
                    await self.stage.again()  # the incident manager dies with it
                continue
            if pause is None or clock.at + pause > at:
                break
            clock.at += pause
        clock.at = max(clock.at, at)

    def _process(self) -> Dispatcher:
        words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), self.stage.clock)
        dispatcher = Dispatcher(self.pool, self.console, self.console, words, self.stage.clock)
        dispatcher.set_transport(self.chat, chat_id=-100)
        return dispatcher

    async def _report(self, began: float) -> Report:
        rows = await self.stage.pool.fetch("SELECT * FROM dozor.incidents")
        of_tasks = [row for row in rows if row["task"]]
        report = Report(
            incidents=len(of_tasks),
            alone=sum(row["told"] for row in of_tasks),
            in_storms=sum(not row["told"] for row in of_tasks),
            storms=len(rows) - len(of_tasks),
            messages=len(self.chat.messages),
            edits=sum(len(shown.texts) - 1 for shown in self.chat.messages.values()),
            deaths=self.deaths,
            database_faults=self.pool.faults,
            too_fast=self.chat.too_fast,
            hours=(self.stage.clock.at - began) / 3600,
            faults=self.chat.faults,
        )
        self._check(report, rows)
        left = await self.stage.pool.fetch(
            "SELECT id, kind, state, last_error FROM dozor.notifications"
            " WHERE state NOT IN ('delivered', 'superseded', 'expired')"
        )
        report.problems += [f"not settled: {dict(row)}" for row in left[:5]]
        return report

    def _check(self, report: Report, rows: list[Any]) -> None:
        told: dict[str, list[tuple[float, str, bool]]] = defaultdict(list)
        over: dict[str, list[float]] = defaultdict(list)
        for shown in self.chat.messages.values():
            for number, (at, text) in enumerate(shown.texts):
                header = text.partition("\n")[0]
                found = TASK.search(header)
                if found is None:
                    continue
                if header.startswith("✅"):
                    over[found[0]].append(at)
                if number == 0 and ("подряд" in header or "было сломано" in header):
                    told[found[0]].append((at, header, AGAIN in text or ANEW in text))
        if len(rows) - report.storms != self.count:
            report.problems.append(f"{self.count} things broke, {report.incidents} incidents")
        for row in rows:
            if row["state"] != "resolved":
                report.problems.append(f"still open: {row['id']} {row['task']} {row['kind']}")
            if row["task"] and row["told"]:
                self._check_one(report, row["task"], told[row["task"]], over[row["task"]])
        digests = [s for s in self.chat.messages.values() if "сразу во многих" in s.texts[0][1]]
        past = [s for s in self.chat.messages.values() if "Массовый сбой" in s.texts[0][1]]
        if report.storms and len(digests) + len(past) < report.storms:
            report.problems.append(f"{report.storms} storms, {len(digests)} digests")

    def _check_one(
        self, report: Report, name: str, told: list[tuple[float, str, bool]], over: list[float]
    ) -> None:
        if not told:
            report.problems.append(f"{name}: nobody was told that it broke")
        if not over:
            report.problems.append(f"{name}: nobody was told that it is over")
        ended = self.resolved_at[name]
        seen: set[str] = set()
        for at, header, marked in told:
            report.marked += marked
            past = "было сломано" in header
            if at > ended and not past:
                report.problems.append(f"{name}: told {at - ended:.1f} s after it was over: {header}")
            kind = "past" if past else header[:1]
            if kind in seen and not marked:
                report.problems.append(f"{name}: told twice, unmarked: {header}")
            seen.add(kind)
