"""The faults of a campaign, and their order. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import StrEnum


class Fault(StrEnum):
    """What befalls the leader, its link or the database."""

    KILL = "kill -9"
    TERM = "SIGTERM"
    STOP = "SIGSTOP beyond the lease"
    STOP_IN_TRANSACTION = "SIGSTOP inside a transaction"
    BLOCK = "blocked loop"
    GIL = "a regex that holds the GIL"
    RESTART_FAST = "PostgreSQL restarted fast"
    RESTART_IMMEDIATE = "PostgreSQL restarted immediate"
    END_SESSIONS = "sessions terminated"
    CUT = "link cut silently"
    REFUSE = "link refused"
    SLOW = "answers delayed by 0.9 lease"
    CLOCK = "kill -9, and back with a wall clock off by an hour"


OF_DATABASE = frozenset((Fault.RESTART_FAST, Fault.RESTART_IMMEDIATE, Fault.END_SESSIONS))
"""They befall every replica alike."""
TAKES_LEADERSHIP = frozenset(
    (
        Fault.KILL,
        Fault.TERM,
        Fault.STOP,
        Fault.STOP_IN_TRANSACTION,
        Fault.BLOCK,
        Fault.GIL,
        Fault.CUT,
        Fault.REFUSE,
        Fault.SLOW,
        Fault.CLOCK,
    )
)
"""After these another replica leads. After the others the same one may go on."""


def order(count: int, seed: int) -> list[Fault]:
    """`count` faults, each kind as often as the others, in an order by `seed`."""
    luck = random.Random(seed)

    def rounds() -> Iterator[Fault]:
        while True:
            yield from luck.sample(list(Fault), len(Fault))

    endless = rounds()
    return [next(endless) for _ in range(count)]
