"""Plays the plan's weather on the stand-in."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import assert_never

from tests.bot.botapi.faults import Fault, FaultKind
from tests.bot.botapi.server import BotApi
from tests.siege.haste import Haste
from tests.siege.places import ANN, FORUM, GROUP, TOPIC, migrated
from tests.siege.plan import Death, Moment, Plan, Spell, SpellKind, Squall

CALLS = ("sendMessage", "editMessageText")


class Weather:
    """`armed`: where the deaths go whose moment is a call."""

    def __init__(self, api: BotApi, haste: Haste, armed: list[Moment]) -> None:
        self._api, self._haste, self._armed = api, haste, armed
        self._home = GROUP
        self._spells = 0
        self.spells: Counter[str] = Counter()

    async def play(self, plan: Plan) -> None:
        """To its end; then the sky is clear."""
        at_calls = [death for death in plan.deaths if death.moment is not Moment.ANY]
        happenings: list[Squall | Spell | Death] = [*plan.squalls, *plan.spells, *at_calls]
        async with asyncio.TaskGroup() as group:
            for happening in sorted(happenings, key=lambda one: one.at):
                await asyncio.sleep(happening.at - self._haste.seconds())
                match happening:
                    case Squall():
                        self._squall(happening)
                    case Spell():
                        group.create_task(self._spell(happening))
                    case Death(moment=moment):
                        self._armed.append(moment)
                    case _:
                        assert_never(happening)
        self._api.faults.clear()
        self._armed.clear()

    def _squall(self, squall: Squall) -> None:
        if self._spells == 0:
            self._api.faults.clear()  # what is used up, or waits for a call in vain
        self._api.fail(squall.kind, method=squall.method, seconds=squall.seconds)

    async def _spell(self, spell: Spell) -> None:
        self.spells[spell.kind.value] += 1
        self._spells += 1
        lasts = spell.until - self._haste.seconds()
        try:
            await self._under(spell, lasts)
        finally:
            self._spells -= 1

    async def _under(self, spell: Spell, lasts: float) -> None:
        chats = self._api.world.chats
        match spell.kind:
            case SpellKind.FLOOD:
                await self._faults(lasts, FaultKind.RETRY_AFTER, seconds=spell.seconds)
            case SpellKind.BARE_FLOOD:
                await self._faults(lasts, FaultKind.FLOOD_BARE)
            case SpellKind.BAD_GATEWAY:
                await self._faults(lasts, FaultKind.SERVER_ERROR)
            case SpellKind.INTERNAL_ERROR:
                await self._faults(lasts, FaultKind.SERVER_ERROR_JSON, status=500)
            case SpellKind.HANGS:
                await self._faults(lasts, FaultKind.HANG, seconds=60.0)
            case SpellKind.CUTS:
                await self._faults(lasts, FaultKind.CUT_AFTER_ACCEPT)
            case SpellKind.NONSENSE:
                await self._faults(lasts, FaultKind.NONSENSE)
            case SpellKind.UNREACHABLE:
                await self._api.stop()
                await asyncio.sleep(lasts)
                await self._api.start()
            case SpellKind.KICKED:
                chat = chats[FORUM]
                chat.kicked = True
                await asyncio.sleep(lasts)
                chat.kicked = False
            case SpellKind.BLOCKED:
                chat = chats[ANN]
                chat.blocked = True
                await asyncio.sleep(lasts)
                chat.blocked = False
            case SpellKind.TOPIC_CLOSED:
                chats[FORUM].topics[TOPIC] = False
                await asyncio.sleep(lasts)
                chats[FORUM].topics[TOPIC] = True
            case SpellKind.TOPIC_GONE:
                del chats[FORUM].topics[TOPIC]
                await asyncio.sleep(lasts)
                chats[FORUM].topics[TOPIC] = True
            case SpellKind.MIGRATION:
                new = migrated(self._home)
                self._api.world.add_chat(new, "supergroup", "Громкие")
                chats[self._home].migrated_to = new
                self._home = new
            case _:
                assert_never(spell.kind)

    async def _faults(
        self, lasts: float, kind: FaultKind, *, seconds: float = 1.0, status: int = 502
    ) -> None:
        """Every message and every edit."""
        faults = [Fault(kind, method, times=None, seconds=seconds, status=status) for method in CALLS]
        for fault in faults:
            self._api.faults.add(fault)
        await asyncio.sleep(lasts)
        for fault in faults:
            fault.times = 0
