"""Several processes on one database: who leads, and who runs what."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from dozor.config.sections.base import Duration, Kind, PoolSize, Section
from dozor.config.values.durations import parse_positive
from dozor.language import msg

SHORTEST_LEASE, LONGEST_LEASE = 3.0, 300.0
"""Seconds."""
_POOL = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)


def _ttl(value: object) -> float:
    seconds = parse_positive(value)
    if not SHORTEST_LEASE <= seconds <= LONGEST_LEASE:
        raise ValueError(msg("config-lease-ttl", value="{value}"))
    return seconds


def parse_pool(value: object) -> str:
    """The name of a pool of workers. Raises ValueError with a sentence."""
    if not isinstance(value, str) or not _POOL.fullmatch(value):
        raise ValueError(msg("config-pool-name", value="{value}"))
    return value


def _pools(value: object) -> object:
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list | tuple):
        if not names:
            raise ValueError(msg("config-pools-empty"))
        if len(set(map(str, names))) < len(names):
            raise ValueError(msg("config-pools-twice"))
    return names


PoolName = Annotated[str, BeforeValidator(parse_pool)]


class ClusterConfig(Section):
    """Several processes on one database, on any number of machines: one leads, the others are standbys or run
    what they are given. See [cluster](cluster.md).
    """

    enabled: bool = False
    """Lead by a lease in the database instead of a lock of the session, and take over when the leader is
    lost. Needs a PostgreSQL that all processes reach, so not `database.url: embedded`.
    """

    lease_ttl: Annotated[Duration, BeforeValidator(_ttl), Kind("duration, 3s to 5m")] = 15.0
    """How long a leader leads without renewing its lease. It renews every third of it. A lost leader is
    replaced this long after its last renewal, plus at most a second.
    """

    pools: Annotated[
        tuple[PoolName, ...], BeforeValidator(_pools), Kind("list of names, A-Z, a-z, 0-9, `_` and `-`")
    ] = ("default",)
    """The pools whose runs this process takes."""

    slots: Annotated[PoolSize, Field(ge=1, le=500)] = 100
    """How many runs of pools this process has at most at once."""
