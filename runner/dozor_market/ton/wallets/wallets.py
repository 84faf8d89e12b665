"""Runs over many wallets: several at once within the providers' limits; each fails by itself.

A wallet that cannot be read is an incident of that wallet, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dozor.toolkit.context import CheckerContext
from dozor_market.ton.incidents import IncidentKind, Sighting
from dozor_market.ton.providers.port import Providers, ProvidersFailedError
from dozor_market.ton.reader import Wallet
from dozor_market.ton.wallets import rounds

AT_ONCE: Final = 8
"""Wallets read at the same time. The providers' own limits are kept by their clients."""
NAMED: Final = 10
"""Wallets named in an error; the others are counted."""


@dataclass(slots=True)
class Result:
    """What reading wallets came to."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Exception] = field(default_factory=dict)
    """By address."""
    read: int = 0
    """Wallets that were read."""
    blocks: bool = False
    """Wallets without news were covered by the blocks."""
    settled: set[str] = field(default_factory=set)
    """Wallets of which all that the providers have is confirmed and booked."""

    def add(self, other: Result) -> None:
        """Take over what reading other wallets came to."""
        self.counts += other.counts
        self.failures |= other.failures
        self.read += other.read
        self.settled |= other.settled

    def sightings(self) -> list[Sighting]:
        """The incidents of the wallets that could not be read. An answer that does not fit is urgent,
        providers that did not answer are not."""
        return [
            Sighting(IncidentKind.WALLET, address, str(error), urgent=_lasts(error))
            for address, error in self.failures.items()
        ]

    def said(self) -> str:
        """The failures in one line."""
        named = [f"{address}: {error}" for address, error in list(self.failures.items())[:NAMED]]
        more = len(self.failures) - len(named)
        return "; ".join([*named, f"+ {more}"] if more > 0 else named)


def _lasts(error: Exception) -> bool:
    return not isinstance(error, ProvidersFailedError) or error.broken


async def read_all(
    ctx: CheckerContext, providers: Providers, wallets: Sequence[Wallet], rules: rounds.Rules
) -> Result:
    """Read every wallet, in the given order, unless the run is asked to stop."""
    result = Result()
    waiting = iter(wallets)

    async def work() -> None:
        for wallet in waiting:
            if ctx.stopping.is_set():
                return
            try:
                outcome = await rounds.read_wallet(ctx, providers, wallet, rules)
            except (ProvidersFailedError, rounds.WalletError, ValueError) as error:
                result.failures[wallet.address] = error
            else:
                result.read += 1
                result.counts.update(outcome.counts)
                if outcome.settled:
                    result.settled.add(wallet.address)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(wallets))):
                group.create_task(work())
    except ExceptionGroup as errors:  # such as a lost database: the run fails with it as it is
        raise errors.exceptions[0] from None
    return result
