"""Monitors the runner's own memory and descriptors against their limits."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psutil
from loguru import logger

from dozor.config.sections.supervision import LimitsConfig
from dozor.errors import out_of_resources
from dozor.language import msg
from dozor.process import descriptors
from dozor.storage.postgres.pool import Pool, unavailable
from dozor.supervision.telemetry.observer import Trouble, TroubleKind, TroubleListener

LOOK_EVERY, DESCRIPTORS_EVERY = 15.0, 1.0
"""Seconds."""
DESCRIPTORS = "descriptors"
"""The subject of the trouble that there are none left. Short of that the subject is `open_files`."""
OVER_AFTER = 30.0
"""Seconds."""
CALM = 0.9
"""Share of a limit below which a trouble is over."""
_MB = 1_000_000

CONNECTIONS_SQL = """
SELECT count(*) FILTER (WHERE backend_type = 'client backend') AS used,
       current_setting('max_connections')::int AS most
FROM pg_catalog.pg_stat_activity
"""


@dataclass(frozen=True, slots=True)
class Use:
    """How much of something is used. `words`: for people, "512 MB of at most 400 MB"."""

    what: str
    used: float
    limit: float
    words: str


class Limits:
    """`lag`: the least lateness of the loop since the last look, in seconds; None: not measured."""

    def __init__(
        self,
        config: LimitsConfig,
        troubles: TroubleListener,
        pool: Pool | None,
        lag: Callable[[], float | None],
    ) -> None:
        self._config = config
        self._troubles = troubles
        self._pool = pool
        self._lag = lag
        self._exceeded: set[str] = set()
        self._lacking = 0.0
        """Seconds since a descriptor was lacking, while that is a trouble."""

    def restore(self, what: str) -> None:
        """It was exceeded when the runner before this one ended."""
        self._exceeded.add(what)

    async def run(self) -> None:
        """Check without end; whether there are descriptors left, more often."""
        while True:
            for use in [*self.own_use(), *await self.database_use()]:
                self.judge(use)
            for _ in range(round(LOOK_EVERY / DESCRIPTORS_EVERY)):
                await asyncio.sleep(DESCRIPTORS_EVERY)
                self.look_at_descriptors()

    def look_at_descriptors(self) -> None:
        """Out of them: the reserve is given up, and the trouble raised at once.

        It is over when none has been lacking for `OVER_AFTER`, and `CALM` of the limit is not used.
        """
        error = descriptors.exhausted()
        if error is not None:
            self._lacking = 0.0
            descriptors.RESERVE.release()
            self.judge(Use(DESCRIPTORS, 1.0, 0.5, descriptors.describe(error)))
        elif DESCRIPTORS not in self._exceeded:
            descriptors.RESERVE.fill()
        else:
            self._lacking += DESCRIPTORS_EVERY
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            if self._lacking >= OVER_AFTER and (_open_files(most) or 0) < most * CALM:
                self.judge(Use(DESCRIPTORS, 0.0, 0.5, msg("log-limit-descriptors-over")))

    def judge(self, use: Use) -> None:
        """Raise or clear the trouble of one use. Pure but for what was raised before."""
        trouble = Trouble(kind=TroubleKind.LIMIT, subject=use.what, reason=use.words)
        if use.what not in self._exceeded and use.used > use.limit:
            self._exceeded.add(use.what)
            logger.warning(msg("log-limit", what=use.what, words=use.words))
            self._troubles.raised(trouble)
        elif use.what in self._exceeded and use.used < use.limit * CALM:
            self._exceeded.discard(use.what)
            self._troubles.cleared(trouble)

    def own_use(self) -> Iterator[Use]:
        """Of this process."""
        config = self._config
        if config.memory is not None:
            used = psutil.Process().memory_info().rss
            words = msg("log-limit-memory", used=f"{used / _MB:.0f}", most=f"{config.memory / _MB:.0f}")
            yield Use("memory", used, config.memory, words)
        if config.asyncio_tasks is not None:
            alive = len(asyncio.all_tasks())
            words = msg("log-limit-tasks", alive=alive, most=config.asyncio_tasks)
            yield Use("asyncio_tasks", alive, config.asyncio_tasks, words)
        if config.open_files is not None:
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            opened = _open_files(most)
            if DESCRIPTORS in self._exceeded:
                pass  # one trouble is enough
            elif opened is not None and most != resource.RLIM_INFINITY:
                words = msg("log-limit-files", opened=opened, most=most)
                yield Use("open_files", opened, most * config.open_files, words)
        lag = self._lag()
        if config.loop_lag is not None and lag is not None:
            words = msg("log-limit-lag", lag=f"{1000 * lag:.0f}", most=f"{1000 * config.loop_lag:.0f}")
            yield Use("loop_lag", lag, config.loop_lag, words)

    async def database_use(self) -> list[Use]:
        """Of the server's connections; nothing while it is away."""
        share = self._config.database_connections
        if share is None or self._pool is None:
            return []
        try:
            row = await self._pool.fetchrow(CONNECTIONS_SQL)
        except Exception as error:
            if unavailable(error):
                return []
            raise
        assert row is not None
        used, most = row["used"], row["most"]
        return [
            Use(
                "database_connections", used, most * share, msg("log-limit-connections", used=used, most=most)
            )
        ]


def _open_files(most: int) -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError as error:
        return most if out_of_resources(error) else None  # None: not Linux
