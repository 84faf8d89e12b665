"""The web server's data sources: passed in by the composition root, only read."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from pydantic import SecretStr

from dozor.alerting.delivery.metrics import DeliveryMetrics
from dozor.alerting.model.incident import Incident
from dozor.alerting.policy.oncall import Shift
from dozor.alerting.policy.silences import Silence
from dozor.alerting.rendering.decisions import PlaceOf, nowhere
from dozor.clock import Clock
from dozor.cluster.view import ClusterView
from dozor.config.sections.config import WebPublic
from dozor.control.queries.status import RunnerInfo
from dozor.control.readiness import HealthSnapshot
from dozor.language.names import Language
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables.notifications import NotificationRow
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.metrics import RunMetrics


class Unwritten(Protocol):
    """What waits to be written: the journal, or a standby's that has none."""

    @property
    def backlog(self) -> int: ...
    @property
    def unwritten_notifications(self) -> tuple[NotificationRow, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Sources:
    """All of it belongs to one runner."""

    clock: Clock
    pool: Pool
    supervisor: Supervisor
    journal: Unwritten
    vitals: Callable[[], HealthSnapshot]
    measures: RunMetrics
    deliveries: DeliveryMetrics
    open_incidents: Callable[[], tuple[Incident, ...]]
    runner: RunnerInfo
    language: Language = Language.RU
    token: SecretStr | None = None
    """With it the page acts; without one it only shows."""
    public: WebPublic = WebPublic.STATUS
    """What is shown without the token."""
    hosts: tuple[str, ...] = ()
    """Names of this server, beside those of `urls`."""
    urls: tuple[str | None, ...] = ()
    """Addresses under which this server is reached from outside."""
    timezone: str = "UTC"
    """Of the times of day on the page."""
    pool_runs: Callable[[], Mapping[str, int]] | None = None
    """Runs on workers by state; None: without a cluster, or not the leader."""
    on_call: Callable[[], Shift | None] = lambda: None
    """Who is on call now; None: there is no rotation."""
    silence: Callable[[int], Silence | None] = lambda number: None
    """A silence by its id."""
    name_of: Callable[[str], str | None] = lambda actor: None
    """The name of whoever acted ("telegram:111"); None: not known."""
    place_of: PlaceOf = nowhere
    """What a destination is called; None: nobody has named it."""
    cluster: ClusterView | None = None
    """None: without a cluster."""
    webhook: Callable[[bytes, str], Awaitable[int]] | None = None
    """Takes a body and Telegram's secret, gives the status of the answer; None: Telegram is polled."""
    webhook_admits: Callable[[str], bool] | None = None
    """Whether the secret header of a request is Telegram's, asked before its body is read."""


def this_runner(runner_id: int, version: str, started_at: float, role: str = "all") -> RunnerInfo:
    """This process, as `/api/status` shows it. `started_at`: seconds since the epoch."""
    return RunnerInfo(
        id=runner_id,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version,
        started_at=started_at,
        seen_at=started_at,
        alive=True,
        role=role,
    )


SOURCES = web.AppKey("sources", Sources)
