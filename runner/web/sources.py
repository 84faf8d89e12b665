"""What the web room shows: handed in by the composition root, read and never written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import SecretStr

from runner.alerting.incident import Incident
from runner.alerting.measures import DeliveryMeasures
from runner.clock import Clock
from runner.control.readiness import Vitals
from runner.control.status import RunnerInfo
from runner.language.names import Language
from runner.storage.journal import Journal
from runner.storage.pool import Pool
from runner.supervision.measures import Measures
from runner.supervision.supervisor import Supervisor


@dataclass(frozen=True, kw_only=True)
class Sources:
    """`overdue_after`: seconds without a success, by task, after which it is overdue."""

    clock: Clock
    pool: Pool
    supervisor: Supervisor
    journal: Journal
    vitals: Callable[[], Vitals]
    measures: Measures
    deliveries: DeliveryMeasures
    open_incidents: Callable[[], tuple[Incident, ...]]
    runner: RunnerInfo
    language: Language = Language.RU
    token: SecretStr | None = None
    """With it the page acts; without one it only shows."""
    overdue_after: Mapping[str, float] = field(default_factory=dict)


SOURCES = web.AppKey("sources", Sources)
