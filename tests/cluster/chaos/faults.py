"""The faults of a campaign, and their order. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import StrEnum


class Fault(StrEnum):
    """What befalls the leader, its link, the database or a process that has a run of a pool."""

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
    TERM_CUT = "SIGTERM with the link cut"
    WORKER_KILL = "kill -9 of a worker"
    WORKER_TERM = "SIGTERM of a worker"
    WORKER_STOP = "SIGSTOP of a worker beyond the lease"
    WORKER_CUT = "link of a worker cut silently"


OF_DATABASE = frozenset((Fault.RESTART_FAST, Fault.RESTART_IMMEDIATE, Fault.END_SESSIONS))
"""They befall every replica alike."""
OF_WORKER = frozenset((Fault.WORKER_KILL, Fault.WORKER_TERM, Fault.WORKER_STOP, Fault.WORKER_CUT))
"""They befall a worker that has a run in progress; leadership stays where it is."""
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
        Fault.TERM_CUT,
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
