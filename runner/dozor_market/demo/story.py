"""The order of events. Every step waits for the event that it announces, without which the demo ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from dozor.app import Runner
from dozor.errors import DozorError
from dozor.language import msg
from dozor.supervision.core.state import State, TaskState
from dozor_market.demo.market import TON, Market, Money, Result, in_ton
from dozor_market.demo.screen import Chat, Screen
from dozor_market.demo.words import Words

AUCTIONS, PRESALES, DEPOSITS = "auctions_checker", "presale_checker", "ton_deposits"
"""The tasks."""
FIRST_TRANSFER, SECOND_TRANSFER = 100, 150
"""Whole TON."""
ACTS = 6
PATIENCE = 30.0
"""Seconds a step may take; a loaded machine is slow, not broken."""
ALERT_AFTER = 3
STOP_AFTER = 5
REPEATED, STOPPED, RECOVERED = "⚠️", "🛑", "✅"
"""How the three messages of the story begin, in every language."""

Shell = Callable[..., Awaitable[tuple[int, str]]]
"""Runs `dozor ARGUMENTS` in the folder of the demo; its exit code and what it printed."""


class StoryError(DozorError):
    """An expected event of the demo did not happen; the message says which."""


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

    @property
    def presale(self) -> float:
        """When a delivery is due: after the third failure of the auctions, before the fifth."""
        return max(1.0, 7.0 / self.speed)

    async def read(self, seconds: float) -> None:
        """Time for the reader."""
        await asyncio.sleep(seconds / self.speed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The marketplace, its runner, and the printer of the comments."""

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
        screen, words, market = self.screen, self.words, self.market
        lots, buyer = words.lots_first, words.buyers[0]
        screen.heading(2, ACTS, words.watch_heading)
        first, second = (lot.title for lot in lots)
        screen.say(words.watch_text.format(first=first, second=second, buyer=buyer, amount=FIRST_TRANSFER))
        await self.pace.read(3.0)
        auctions = await market.sell(lots, self.pace.auction)
        market.pay_in(buyer, FIRST_TRANSFER)
        await self._settled(auctions)
        await self._credited(1, buyer, FIRST_TRANSFER)
        await self.pace.read(2.5)

    async def _glitch(self) -> None:
        screen, words, market = self.screen, self.words, self.market
        buyer = words.buyers[1]
        screen.heading(3, ACTS, words.glitch_heading)
        screen.say(words.glitch_text.format(buyer=buyer, amount=SECOND_TRANSFER))
        await self.pace.read(2.0)
        market.pay_in(buyer, SECOND_TRANSFER)
        market.cut_an_answer()
        await self._until(msg("cli-demo-first-failure"), lambda: self._task(DEPOSITS).failures > 0)
        screen.say(words.glitch_seen.format(delay=f"{self.pace.restart_delay:g}"))
        await self._until(msg("cli-demo-the-restart"), lambda: self._task(DEPOSITS).failures == 0)
        await self._credited(2, buyer, SECOND_TRANSFER)
        if self.chat.heard_texts:
            raise StoryError(msg("error-demo-early-alert"))
        screen.say(words.glitch_over)
        await self.pace.read(2.5)

    async def _outage(self) -> list[int]:
        """Returns the auctions that wait to be settled."""
        screen, words, chat, market = self.screen, self.words, self.chat, self.market
        screen.heading(4, ACTS, words.outage_heading)
        screen.say(words.outage_text)
        await self.pace.read(2.0)
        waiting = await market.sell(words.lots_outage, self.pace.auction)
        presale = await market.presell(words.presale, self.pace.presale)
        await market.break_down()
        await self._until(msg("cli-demo-the-alert"), lambda: chat.heard(REPEATED))
        screen.say(words.outage_alert)
        await self._refunded(presale)
        await self._until(msg("cli-demo-the-stop"), lambda: chat.heard(STOPPED))
        if self._task(AUCTIONS).state is not State.STOPPED:
            raise StoryError(msg("error-demo-not-stopped", task=AUCTIONS, state=self._task(AUCTIONS).state))
        screen.say(words.outage_stop)
        count, money = await market.open_auctions(), await market.money()
        held = sum(purse.held for purse in money.purses.values())
        screen.say(words.outage_money.format(count=count, held=in_ton(held)))
        await self.pace.read(3.0)
        return waiting

    async def _person(self, waiting: Sequence[int]) -> None:
        screen, words = self.screen, self.words
        screen.heading(5, ACTS, words.person_heading)
        await self.market.mend()
        screen.say(words.person_mended)
        await self._type("status", ends_with=1)  # 1: a task is stopped
        await self.pace.read(2.0)
        screen.say(words.person_door)
        await self._type("restart", AUCTIONS)
        await self._until(msg("cli-demo-the-recovery"), lambda: self.chat.heard(RECOVERED))
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
        came_in = (FIRST_TRANSFER + SECOND_TRANSFER) * TON
        if faults or after.total != before.total + came_in or after.total != after.came_in:
            raise StoryError(msg("error-demo-money", faults="; ".join(faults) or after))
        screen.say(words.money_audit.format(movements=await self.market.movements()))
        await self.pace.read(1.0)

    # -- what the acts share

    def _task(self, name: str) -> TaskState:
        task = self.runner.supervisor.find(name)
        assert task is not None
        return task.state

    def _idle(self, name: str) -> bool:
        """Its run is over, so the log has all of it."""
        return self._task(name).running_since is None

    async def _type(self, *arguments: str, ends_with: int = 0) -> None:
        """A command of a person, run for real."""
        line = " ".join(("dozor", *arguments))
        self.screen.prompt(line)
        code, printed = await self.shell(*arguments)
        self.screen.printed(printed)
        if code != ends_with:
            raise StoryError(msg("error-demo-command", line=line, code=code))

    async def _settled(self, auctions: Sequence[int]) -> None:
        """Wait until the checker has settled all auctions, and print how these ended."""
        async for _ in self._patience(msg("cli-demo-the-settlement")):
            if not await self.market.open_auctions() and self._idle(AUCTIONS):
                break
        for result in await self.market.results(auctions):
            self.screen.say(self._told(result))

    async def _credited(self, transfers: int, buyer: str, amount: int) -> None:
        async for _ in self._patience(msg("cli-demo-the-credit")):
            if await self.market.deposits_credited() >= transfers and self._idle(DEPOSITS):
                break
        self.screen.say(self.words.credited.format(buyer=buyer, amount=in_ton(amount * TON)))

    async def _refunded(self, presale: int) -> None:
        words = self.words
        async for _ in self._patience(msg("cli-demo-the-refund")):
            penalty = await self.market.penalty(presale)
            if penalty is not None and self._idle(PRESALES):
                break
        told = words.presale
        self.screen.say(
            words.outage_others.format(
                title=told.title,
                buyer=told.buyer,
                price=in_ton(told.price * TON),
                penalty=in_ton(penalty or 0),
            )
        )

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
        async for _ in self._patience(what):
            if happened():
                break

    async def _patience(self, what: str) -> AsyncIterator[None]:
        """Turns of a wait for `what`. Raises StoryError when it takes too long, and what ended the runner."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < deadline:
            if self.runner.failed.done():
                raise self.runner.failed.result()
            yield
            await asyncio.sleep(0.02)
        raise StoryError(msg("error-demo-not-come", what=what, seconds=f"{PATIENCE:.0f}"))

    def _purses(self, money: Money) -> list[list[str]]:
        words = self.words
        rows = [list(words.columns_now)]
        rows += [[name, in_ton(purse.free), in_ton(purse.set_aside)] for name, purse in money.purses.items()]
        rows.append([words.house, in_ton(money.house), ""])
        return [*rows, [words.total, in_ton(money.total), ""]]

    def _before_and_after(self, before: Money, after: Money) -> list[list[str]]:
        words = self.words
        rows = [list(words.columns_then)]
        pairs = [(name, before.purses[name].total, after.purses[name].total) for name in before.purses]
        pairs += [(words.house, before.house, after.house), (words.total, before.total, after.total)]
        rows += [[name, in_ton(was), in_ton(now), in_ton(now - was)] for name, was, now in pairs]
        return rows
