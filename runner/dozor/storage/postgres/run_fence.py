"""`ctx.fence()`: transactions of a run that end with its right to run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from dozor.errors import Superseded
from dozor.language import msg
from dozor.storage.postgres.fence import SUPERSEDED
from dozor.storage.postgres.pool import Connection, Pool

# The limit is that of a process that is stopped in the middle: it must not hold the row for longer.
LEADER_FENCE_SQL = """
SELECT set_config('idle_in_transaction_session_timeout', $3, true), dozor.fence($1::bigint, $2::text::uuid)
"""

# FOR KEY SHARE lets heartbeats pass, and the leader gives the run up only after this transaction.
RUN_FENCE_SQL = """
SELECT set_config('idle_in_transaction_session_timeout', $3, true) FROM dozor.pool_runs
WHERE id = $1::text AND token = $2::text::bigint AND state = 'running' FOR KEY SHARE
"""


@dataclass(frozen=True, slots=True)
class RunFence:
    """What must hold until the transaction is committed.

    Of a run on a worker: `subject` is its id and `right` its token. Of one on the leader (`on_worker` false):
    the epoch and the holder of the lease. `idle`: seconds for which the transaction may be idle.
    """

    subject: str
    right: str
    idle: float
    on_worker: bool

    @asynccontextmanager
    async def transaction(self, pool: Pool) -> AsyncIterator[Connection]:
        """Committed at the end of the block. Raises Superseded, and as `pool.acquire`."""
        async with pool.acquire() as connection, connection.transaction():
            await self._check(connection)
            yield connection

    async def _check(self, connection: Connection) -> None:
        limit = str(int(self.idle * 1000))
        if self.on_worker:
            if await connection.fetchval(RUN_FENCE_SQL, self.subject, self.right, limit) is None:
                raise Superseded(msg("error-run-superseded", run=self.subject))
            return
        try:
            await connection.fetchval(LEADER_FENCE_SQL, int(self.subject), self.right, limit)
        except asyncpg.PostgresError as error:
            if error.sqlstate != SUPERSEDED:
                raise
            raise Superseded(msg("error-superseded", epoch=self.subject)) from None
