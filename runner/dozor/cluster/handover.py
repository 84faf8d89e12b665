"""Runs that go on in a process which has resigned: the next leader starts none of their tasks meanwhile.

A process that resigns writes the tasks that are still in a run before it lets go of the lease, and removes
them when they have ended. Its kernel timer ends it before `until`, so the rows may be disregarded after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dozor.cluster.trust_window import TrustWindow
from dozor.storage.postgres.pool import Connection, Pool

LOOK_AGAIN = 0.1
"""Seconds until a start that is held back is considered again."""
READ_EVERY = 0.2

HAND_OVER_SQL = """
INSERT INTO dozor.handover AS h (task, epoch, until)
SELECT task, $2, clock_timestamp() + make_interval(secs => $3) FROM unnest($1::text[]) AS task
ON CONFLICT (task) DO UPDATE SET epoch = excluded.epoch, until = greatest(h.until, excluded.until)
"""

HELD_SQL = "SELECT task FROM dozor.handover WHERE until > clock_timestamp()"

ENDED_SQL = "DELETE FROM dozor.handover WHERE epoch = $1"

FORGET_SQL = "DELETE FROM dozor.handover WHERE until <= clock_timestamp()"


async def hand_over(connection: Connection, tasks: Sequence[str], epoch: int, seconds: float) -> None:
    """Keep the next leader from starting `tasks` for `seconds`, or until `ended`."""
    await connection.execute(HAND_OVER_SQL, list(tasks), epoch, seconds)


async def ended(connection: Connection | Pool, epoch: int) -> None:
    """No run of `epoch` is in progress any more."""
    await connection.execute(ENDED_SQL, epoch)


class HeldStarts:
    """Which starts a leader holds back: all outside its window, and those of runs still in progress.

    `children_until`: by the window's clock, until when child processes of a leader that died may live.
    """

    def __init__(self, window: TrustWindow, children_until: float = float("-inf")) -> None:
        self._window = window
        self._children_until = children_until
        self._held: frozenset[str] = frozenset()

    def look_again_at(self, task: str, now: float, *, in_process: bool) -> float | None:
        """None: `task` may start now. Else when to ask again; both in the units of `now`, seconds.

        `in_process`: its runs are in child processes.
        """
        beside_child = in_process and self._window.now() < self._children_until
        if task not in self._held and self._window.trusted and not beside_child:
            return None
        return now + LOOK_AGAIN

    async def read(self, connection: Connection | Pool) -> None:
        """What earlier leaders have left in progress."""
        self._held = frozenset(row["task"] for row in await connection.fetch(HELD_SQL))

    async def follow(self, pool: Pool) -> None:
        """A service: let the tasks go when their runs have ended."""
        while True:
            if self._held:
                await self.read(pool)
                if not self._held:
                    await pool.execute(FORGET_SQL)
            await asyncio.sleep(READ_EVERY if self._held else 10.0)
