"""How far the providers' newest masterchain blocks are behind each other, and behind our clock. Pure.

The time of a block is what the provider says. It shows a provider that is frozen or lags; it proves nothing
about one that lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dozor_market.ton.providers.sources import Head


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds, by provider."""

    behind: Mapping[str, float] = field(default_factory=dict)
    """Behind the newest block of another provider by more than the limit: left out."""
    ahead: Mapping[str, float] = field(default_factory=dict)
    """Ahead of our clock by more than the limit, while another provider is not: left out."""
    old: Mapping[str, float] = field(default_factory=dict)
    """Behind our clock by more than the limit, and no other provider is newer: an incident. Not left out: the
    clock may be wrong, and what a frozen provider returns is old, not false."""
    early: Mapping[str, float] = field(default_factory=dict)
    """Ahead of our clock by more than the limit, as all others are: an incident. Not left out: most likely
    our clock is wrong, and with it every deadline of the marketplace."""


def judge(heads: Mapping[str, Head], now: float, limit: float) -> Freshness:
    """`now`: seconds since the epoch by the database's clock; `limit`: seconds.

    A block from the future does not make the honest providers look frozen, unless all are ahead of the clock.
    """
    if not heads:
        return Freshness()
    plausible = {name: head for name, head in heads.items() if head.utime <= now + limit}
    compared = plausible or heads
    newest = max(head.utime for head in compared.values())
    behind = {
        name: float(newest - head.utime) for name, head in compared.items() if newest - head.utime > limit
    }
    ahead = {name: head.utime - now for name, head in heads.items() if name not in compared}
    old = {
        name: now - head.utime
        for name, head in compared.items()
        if name not in behind and now - head.utime > limit
    }
    early = {
        name: head.utime - now
        for name, head in compared.items()
        if name not in behind and head.utime - now > limit
    }
    return Freshness(behind, ahead, old, early)
