"""One run over all wallets: providers judged, jetton wallets verified, wallets read, incidents alerted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dozor.toolkit.context import CheckerContext
from dozor_market.ton import incidents
from dozor_market.ton.crediting import INTERNAL
from dozor_market.ton.incidents import IncidentKind, Sighting
from dozor_market.ton.messages.transactions import Kind, raw_address
from dozor_market.ton.providers.port import Providers
from dozor_market.ton.reader import Wallet
from dozor_market.ton.wallets import blocks, jettons
from dozor_market.ton.wallets import health as provider_health
from dozor_market.ton.wallets.rounds import Rules
from dozor_market.ton.wallets.wallets import Result, read_all

KINDS: Final = (
    *provider_health.KINDS,
    IncidentKind.WALLET,
    IncidentKind.JETTON_WALLET,
    IncidentKind.FOREIGN_JETTONS,
    IncidentKind.OWN_TRANSFERS,
)
PORTION: Final = 64
"""Wallets read by themselves between two looks at the clock."""


class Reading:
    """Reads all wallets in one run.

    frozen_after: seconds that a provider may be behind the others; reread_within: seconds of a run after
    which no more wallets are read because it is their turn.
    """

    def __init__(
        self,
        ctx: CheckerContext,
        providers: Providers,
        rules: Rules,
        frozen_after: float,
        reread_within: float,
    ) -> None:
        self._ctx = ctx
        self._providers = providers
        self._rules = rules
        self._frozen_after = frozen_after
        self._reread_within = reread_within
        self._sightings: list[Sighting] = []
        self._blocked: set[str] = set()

    async def verify_jettons(self, wallet: str, options: Mapping[str, Any]) -> None:
        """Ask the masters of the jettons. A wallet with a wrong jetton wallet is not read."""
        owner = raw_address(wallet)
        verification = jettons.Verification(self._ctx, self._providers, owner)
        found = await verification.verify(jettons.read_options(options))
        if found:
            self._sightings += found
            self._blocked.add(owner)

    async def read(self, wallets: Sequence[Wallet], blocks_from: int, reread_after: float) -> Result:
        """Read the wallets: each by itself, or from `blocks_from` wallets on by blocks."""
        until = asyncio.get_running_loop().time() + self._reread_within
        sightings, heads = await provider_health.leave_out_frozen(
            self._ctx, self._providers, self._frozen_after
        )
        self._sightings += sightings
        wanted = [wallet for wallet in wallets if wallet.address not in self._blocked]
        if len(wanted) < blocks_from:
            return await read_all(self._ctx, self._providers, wanted, self._rules)
        reader = blocks.BlockReader(self._ctx, self._providers, wanted, self._rules)
        scan = await reader.scan(heads)
        if scan.upto is None:
            return await read_all(self._ctx, self._providers, wanted, self._rules)
        by_address = {wallet.address: wallet for wallet in wanted}
        news = [by_address[address] for address in scan.unsettled]
        result = await read_all(self._ctx, self._providers, news, self._rules)
        result.counts += scan.counts
        result.blocks = True
        still_open = [address for address in scan.unsettled if address not in result.settled]
        await reader.keep(scan, [*still_open, *self._blocked])
        await self._read_in_turn(by_address, reread_after, until, result)
        return result

    async def _read_in_turn(
        self, wallets: Mapping[str, Wallet], reread_after: float, until: float, result: Result
    ) -> None:
        """Read wallets by themselves, the ones with something open first, until that time of the loop.

        Some of them are read in any case.
        """
        async with self._ctx.db.acquire() as connection:
            waiting = [
                address
                for address in await blocks.in_turn(connection, reread_after)
                if address in wallets and address not in result.failures
            ]
        for at in range(0, len(waiting), PORTION):
            if (at and asyncio.get_running_loop().time() > until) or self._ctx.stopping.is_set():
                return
            portion = [wallets[address] for address in waiting[at : at + PORTION]]
            read = await read_all(self._ctx, self._providers, portion, self._rules)
            async with self._ctx.db.acquire() as connection:
                await blocks.mark_read(connection, sorted(read.settled))
            result.add(read)

    async def alert(self, result: Result) -> None:
        """Record and alert what is wrong with providers, wallets and jettons."""
        sightings = self._sightings + await provider_health.judge_answers(
            self._ctx, self._providers, self._frozen_after
        )
        if result.read:  # otherwise the run fails, which says the same
            sightings += result.sightings()
        await incidents.record(self._ctx.db, sightings)
        await incidents.count(
            self._ctx.db, IncidentKind.FOREIGN_JETTONS, result.counts[Kind.FOREIGN_JETTON.value]
        )
        await incidents.count(self._ctx.db, IncidentKind.OWN_TRANSFERS, result.counts[INTERNAL])
        await incidents.end_calm(self._ctx, KINDS)
        await incidents.alert_due(self._ctx, KINDS)
