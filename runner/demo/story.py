"""The order of events. Every step waits for what it tells of: a step that does not happen ends the demo."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from runner.app import Runner
from runner.demo.market import Market, Money, Result, in_ton
from runner.demo.screen import Chat, Screen
from runner.demo.words import Words
from runner.errors import DozorError
from runner.supervision.state import State, TaskState

TASK = "auctions_checker"
ACTS = 6
PATIENCE = 30.0
"""Seconds a step may take; a loaded machine is slow, not broken."""
ALERT_AFTER = 3
STOP_AFTER = 5
REPEATED, STOPPED, RECOVERED = "⚠️", "🛑", "✅"
"""How the three messages of the story begin, in every language."""

Shell = Callable[..., Awaitable[str]]
"""Runs `dozor ARGUMENTS` in the folder of the demo; what it printed."""


class StoryError(DozorError):
    """The demo did not go as it tells; the message says at which step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`speed` divides every pause. Seconds."""

    speed: float

    @property
    def every(self) -> float:
        return max(0.25, 1.0 / self.speed)

    @property
    def restart_delay(self) -> float:
        """Long enough for the narrator to undo a fault before the next try."""
        return max(0.5, 2.0 / self.speed)

    @property
    def auction(self) -> float:
        """How long an auction lasts: never so short that its bids come late on a loaded machine."""
        return max(1.0, 2.0 / self.speed)

    async def read(self, seconds: float) -> None:
        """Time for the reader."""
        await asyncio.sleep(seconds / self.speed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The marketplace, its runner, and who tells of them."""

    screen: Screen
    words: Words
    pace: Pace
    market: Market
    runner: Runner
    chat: Chat
    shell: Shell

    async def tell(self) -> None:
        """From the first auction to the audit. Raises StoryError."""
        screen, words = self.screen, self.words
        before = await self.market.money()
        screen.heading(1, ACTS, words.open_heading)
        screen.say(words.open_text)
        screen.table(self._purses(before))
        await self.pace.read(3.0)
        await self._watch()
        await self._glitch()
        waiting = await self._outage()
        await self._person(waiting)
        await self._money(before)

    async def _watch(self) -> None:
        self.screen.heading(2, ACTS, self.words.watch_heading)
        self.screen.say(self.words.watch_text)
        await self.pace.read(1.5)
        auctions = await self.market.sell(self.words.lots_first, self.pace.auction)
        await self._settled(auctions)
        await self.pace.read(2.5)

    async def _glitch(self) -> None:
        screen, words = self.screen, self.words
        screen.heading(3, ACTS, words.glitch_heading)
        screen.say(words.glitch_text)
        await self.pace.read(2.0)
        auctions = await self.market.sell(words.lots_glitch, self.pace.auction)
        await self.market.break_down()
        await self._until("the first failure", lambda: self._task.failures > 0)
        await self.market.mend()
        screen.say(words.glitch_seen.format(delay=f"{self.pace.restart_delay:g}"))
        await self._until("the restart", lambda: self._task.failures == 0)
        await self._settled(auctions)
        if self.chat.shown:
            raise StoryError("the demo: one failure has raised an alert, and should not")
        screen.say(words.glitch_over)
        await self.pace.read(2.5)

    async def _outage(self) -> list[int]:
        """Returns the auctions that wait to be settled."""
        screen, words, chat = self.screen, self.words, self.chat
        screen.heading(4, ACTS, words.outage_heading)
        screen.say(words.outage_text)
        await self.pace.read(1.5)
        waiting = await self.market.sell(words.lots_outage, self.pace.auction)
        await self.market.break_down()
        await self._until("the alert about repeated errors", lambda: chat.heard(REPEATED))
        screen.say(words.outage_alert)
        await self._until("the alert about the critical stop", lambda: chat.heard(STOPPED))
        if self._task.state is not State.STOPPED:
            raise StoryError(f"the demo: {TASK} should be stopped, it is {self._task.state}")
        screen.say(words.outage_stop)
        count, money = await self.market.open_auctions(), await self.market.money()
        held = sum(purse.held for purse in money.purses.values())
        screen.say(words.outage_money.format(count=count, held=in_ton(held)))
        await self.pace.read(3.0)
        return waiting

    async def _person(self, waiting: Sequence[int]) -> None:
        screen, words = self.screen, self.words
        screen.heading(5, ACTS, words.person_heading)
        await self.market.mend()
        screen.say(words.person_mended)
        await self._type("status")
        await self.pace.read(2.0)
        screen.say(words.person_door)
        await self._type("restart", TASK)
        await self._until("the recovery", lambda: self.chat.heard(RECOVERED))
        screen.say(words.person_recovered)
        await self._settled(waiting)
        await self.pace.read(2.5)

    async def _money(self, before: Money) -> None:
        screen, words = self.screen, self.words
        after = await self.market.money()
        screen.heading(6, ACTS, words.money_heading)
        screen.say(words.money_text)
        screen.table(self._before_and_after(before, after))
        faults = await self.market.faults_of_the_ledger()
        if faults or after.total != before.total or after.total != after.came_in:
            raise StoryError(f"the demo: the money does not add up: {'; '.join(faults) or after}")
        screen.say(words.money_audit.format(movements=await self.market.movements()))
        await self.pace.read(1.0)

    # -- what the acts share

    @property
    def _task(self) -> TaskState:
        task = self.runner.supervisor.find(TASK)
        assert task is not None
        return task.state

    async def _type(self, *arguments: str) -> None:
        """A command of a person, run for real."""
        self.screen.prompt(" ".join(("dozor", *arguments)))
        self.screen.printed(await self.shell(*arguments))

    async def _settled(self, auctions: Sequence[int]) -> None:
        """Wait until the checker has settled all there is, and tell how these ended."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while await self.market.open_auctions():
            if asyncio.get_running_loop().time() > deadline:
                raise StoryError(f"the demo: auctions are not settled after {PATIENCE:.0f} s")
            await self._look()
        for result in await self.market.results(auctions):
            self.screen.say(self._told(result))

    def _told(self, result: Result) -> str:
        if result.winner is None:
            return self.words.unsold.format(title=result.title)
        return self.words.sold.format(
            title=result.title,
            winner=result.winner,
            price=in_ton(result.price),
            net=in_ton(result.price - result.fee),
            fee=in_ton(result.fee),
        )

    async def _until(self, what: str, happened: Callable[[], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not happened():
            if asyncio.get_running_loop().time() > deadline:
                raise StoryError(f"the demo: {what} has not come within {PATIENCE:.0f} s")
            await self._look()

    async def _look(self) -> None:
        """A moment, unless the runner cannot go on. Raises what ended it."""
        await asyncio.sleep(0.02)
        if self.runner.failed.done():
            raise self.runner.failed.result()

    def _purses(self, money: Money) -> list[list[str]]:
        words = self.words
        rows = [list(words.columns_now)]
        rows += [[name, in_ton(purse.free), in_ton(purse.held)] for name, purse in money.purses.items()]
        rows.append([words.house, in_ton(money.house), ""])
        return [*rows, [words.total, in_ton(money.total), ""]]

    def _before_and_after(self, before: Money, after: Money) -> list[list[str]]:
        words = self.words
        rows = [list(words.columns_then)]
        pairs = [(name, before.purses[name].total, after.purses[name].total) for name in before.purses]
        pairs += [(words.house, before.house, after.house), (words.total, before.total, after.total)]
        rows += [[name, in_ton(was), in_ton(now), in_ton(now - was)] for name, was, now in pairs]
        return rows
