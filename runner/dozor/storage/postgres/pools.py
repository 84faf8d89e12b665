"""The connection pools of one runner. Checkers and page requests have their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dozor.config import PoolsConfig
from dozor.storage.postgres.checker_pool import CheckerPool
from dozor.storage.postgres.fence import Fence, kind_of_connection
from dozor.storage.postgres.pool import Pool, create_pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Beside these the runner keeps two connections: the journal's, which holds the lock, and LISTEN's."""

    core: Pool
    """Delivery, commands, the bot, reloads, housekeeping."""
    web: Pool
    """Requests to the page, the API and the metrics."""
    probes: Pool
    """`query` of dependencies: one connection for each, so that a slow one delays no other."""
    checkers: CheckerPool
    """Behind `ctx.db`."""

    @classmethod
    async def open(
        cls,
        dsn: str,
        config: PoolsConfig,
        probes: int,
        now: Callable[[], float],
        fence: Fence | None = None,
    ) -> Pools:
        """Makes one connection, of `core`; raises as `create_pool`. `probes`: dependencies with a query.

        `fence`: of a leader of a cluster, whose `core` only it writes through.
        """
        core = await create_pool(
            dsn,
            max_size=config.core,
            application_name="dozor",
            kind=kind_of_connection(fence),
            reset=fence is None,  # ends of workers' runs are read through it, many times a second
        )
        return cls(
            core=core,
            web=await create_pool(dsn, min_size=0, max_size=config.web, application_name="dozor web"),
            probes=await create_pool(
                dsn, min_size=0, max_size=max(1, probes), application_name="dozor probes"
            ),
            checkers=await CheckerPool.open(
                dsn, size=config.checkers, acquire_timeout=config.acquire_timeout, now=now
            ),
        )

    async def close(self) -> None:
        """At once: whoever still holds a connection loses it."""
        self.checkers.terminate()
        for pool in (self.probes, self.web, self.core):
            pool.terminate()
