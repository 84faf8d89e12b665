"""Answers that are not delivered yet, in `dozor.bot_answers`: the next process sends what this one could not.

The row is written in the transaction that stores the update. It is deleted when the answer has arrived, or is
given up. A row that is found at the start is of a process that ended in between.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loguru import logger

from dozor.language import msg
from dozor.storage.postgres.pool import Connection, Pool, unavailable

PATIENCE = 2.0
"""Seconds that an answer waits for its row; without the database it is sent all the same."""

KEEP_SQL = """
INSERT INTO dozor.bot_answers (update_id, source, state, expires_at)
VALUES ($1, $2, $3, now() + make_interval(secs => $4))
ON CONFLICT (update_id) DO UPDATE SET source = excluded.source, state = excluded.state,
    expires_at = excluded.expires_at
"""
ATTEMPTED_SQL = "UPDATE dozor.bot_answers SET attempted = true WHERE update_id = $1"
REFUSED_SQL = "UPDATE dozor.bot_answers SET attempted = false WHERE update_id = $1"
SETTLE_SQL = "DELETE FROM dozor.bot_answers WHERE update_id = $1"
EXPIRE_SQL = "DELETE FROM dozor.bot_answers WHERE expires_at < now()"
READ_SQL = "SELECT update_id, source, state, attempted FROM dozor.bot_answers ORDER BY update_id"


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """`state`: what the command that was submitted is rebuilt from; None: nothing was submitted."""

    update_id: int
    source: dict[str, Any]
    state: dict[str, Any] | None
    attempted: bool


class PendingAnswers:
    """An answer is known by the id of the update that it answers; 0 is of no update."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._kept: set[int] = set()
        self._attempted: set[int] = set()
        self._later: Counter[int] = Counter()
        # Answers that were handed over to the background.
        self._doubtful: set[int] = set()

    async def keep(
        self,
        connection: Connection,
        update_id: int,
        source: Mapping[str, Any],
        state: Mapping[str, Any] | None,
        seconds: float,
    ) -> None:
        """In the transaction that stores the update. `seconds`: after these it is worth nothing."""
        await connection.execute(KEEP_SQL, update_id, _finite(source), state, seconds)
        self._kept.add(update_id)

    async def attempt(self, update_id: int) -> None:
        """A call leaves now: after a crash the answer is marked as a possible duplicate."""
        if update_id in self._kept and update_id not in self._attempted:
            self._attempted.add(update_id)
            await self._execute(ATTEMPTED_SQL, update_id)

    async def refused(self, update_id: int) -> None:
        """The last call has certainly not delivered it."""
        if update_id in self._kept and update_id in self._attempted:
            self._attempted.discard(update_id)
            await self._execute(REFUSED_SQL, update_id)

    def may_have_arrived(self, update_id: int) -> bool:
        """A process that was killed had begun to send it."""
        return update_id in self._doubtful

    def handed_over(self, update_id: int) -> None:
        """It goes on in the background."""
        self._later[update_id] += 1

    async def delivered_later(self, update_id: int) -> None:
        """What was handed over has arrived, or is given up."""
        self._later[update_id] -= 1
        await self.answered(update_id)

    async def answered(self, update_id: int) -> None:
        """Nothing more is going to be sent, unless something was handed over."""
        if self._later[update_id] > 0:
            return
        del self._later[update_id]
        self._attempted.discard(update_id)
        self._doubtful.discard(update_id)
        if update_id in self._kept:
            self._kept.discard(update_id)
            await self._execute(SETTLE_SQL, update_id)

    async def read(self) -> list[PendingAnswer]:
        """What an earlier process has left, oldest first; not what this one still sends."""
        await self._pool.execute(EXPIRE_SQL)
        found = [PendingAnswer(**dict(row)) for row in await self._pool.fetch(READ_SQL)]
        found = [one for one in found if self._later[one.update_id] <= 0]
        for one in found:
            self._kept.add(one.update_id)
            if one.attempted:
                self._doubtful.add(one.update_id)
        return found

    async def _execute(self, statement: str, update_id: int) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._pool.execute(statement, update_id)
        except Exception as error:
            if not isinstance(error, TimeoutError) and not unavailable(error):
                raise
            logger.debug(msg("log-upkeep-waits", error=type(error).__name__))


def _finite(value: Any) -> Any:
    """`value` with null for the numbers that JSON can write and jsonb cannot hold, such as 1e400."""
    match value:
        case dict():
            return {name: _finite(inner) for name, inner in value.items()}
        case list():
            return [_finite(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
