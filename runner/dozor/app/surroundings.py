"""What a leading part and a standby part are built in, and how a leading part begins and ends."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from dozor.alerting.delivery.metrics import DeliveryMetrics
from dozor.clock import SteadyClock
from dozor.cluster.handover import HeldStarts
from dozor.cluster.trust_window import TrustWindow
from dozor.cluster.view import ClusterView
from dozor.config import Config, TaskConfig
from dozor.errors import DozorError
from dozor.redaction import Redactor
from dozor.storage.postgres.database import Database
from dozor.storage.postgres.fence import Fence
from dozor.supervision.core.spec import TaskSpec

VERSION = importlib.metadata.version("dozor")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a leading part is built in, the same for each term. `grace`: seconds for runs at the end.

    `wait`: stay in line for the lock of the session. `failed`: set when this process cannot go on.
    `outage_file`: where messages of an outage are kept, once the folder has been looked at.
    """

    config: Config
    enabled: list[TaskConfig]
    specs: list[TaskSpec]
    redactor: Redactor
    clock: SteadyClock
    started_at: float
    grace: float
    wait: bool
    database: Database
    deliveries: DeliveryMetrics
    failed: asyncio.Future[DozorError]
    warming: asyncio.Task[None]
    outage_file: asyncio.Task[Path]
    listening: Callable[[int], None]
    configured: Callable[[Config], None]

    @property
    def has_failed(self) -> bool:
        """Whether `failed` was set. An application may have cancelled it: `asyncio.wait_for` does."""
        return self.failed.done() and not self.failed.cancelled()

    @cached_property
    def digest(self) -> str:
        """Of the configuration that this process started with. It takes long with thousands of tasks."""
        return config_digest(self.config)


def config_digest(config: Config) -> str:
    """Equal for equal configurations; what belongs to one machine is left out, secrets as well."""
    shown = config.model_dump_json(
        exclude={
            "path": True,
            "web": True,
            "state_dir": True,
            "cluster": {"pools", "slots"},
            "database": {"url", "direct_url"},
        },
        fallback=str,
    )
    return hashlib.sha256(shown.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class LeaderTerm:
    """Of a leader of a cluster: its fence, until when it may act, and what it may not start yet."""

    fence: Fence
    window: TrustWindow
    held: HeldStarts
    view: ClusterView
    retired: asyncio.Event
    """Set when the standby part has ended, and with it its web server."""
    failing: Callable[[], Mapping[str, str]]
    """Parts of this process that fail although they do not belong to what leads, and why: of its worker."""


def may_act(term: LeaderTerm | None) -> Callable[[], bool] | None:
    """Whether this process still leads, to be asked before it acts outside the database; None: no cluster."""
    return None if term is None else term.window.may_act


def failing_beside(term: LeaderTerm | None) -> Mapping[str, str]:
    """What fails in this process beside the leading part; nothing without a cluster."""
    return {} if term is None else term.failing()


# Limits of the end of the leading part, in seconds.
FLUSH_SECONDS = 10.0
"""How long the end of the runner waits for the database to take what is still to be written."""
SERVICES_SECONDS = 0.1
"""How long services may take to end by themselves before their sessions are cut: a server may not answer."""
TELL_SECONDS = 5.0
"""How long the end of the runner waits for pending messages to be sent."""


class Teardown(StrEnum):
    """How the leading part ends."""

    WRITE = "write"  # everything is written, and what is due is sent
    RESIGNED = "resigned"  # everything was written before the lease was resigned; runs get their grace
    LOST = "lost"  # nothing more can be written: runs are cancelled, what waits is kept in a file
