"""`/metrics`: the runner's own series through prometheus-client, then those of each task, piece by piece."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dozor.alerting.delivery.transport import OUTCOME_NAMES
from dozor.alerting.model.notification import NotificationKind
from dozor.config.values.incident_kinds import Severity
from dozor.control.queries.status import AlertsBacklog
from dozor.control.readiness import evaluate
from dozor.log_writer import DROPPED_LINES
from dozor.supervision.telemetry.metrics import Histogram
from dozor.web.http.reuse import Reused
from dozor.web.live import PendingAlerts
from dozor.web.metrics.lag import LoopLag
from dozor.web.metrics.tasks import TaskMetrics
from dozor.web.sources import Sources

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The handler of `/metrics`."""

    def __init__(self, sources: Sources, owed: PendingAlerts, lag: LoopLag) -> None:
        self._owed = owed
        self._tasks = TaskMetrics(sources)
        self._runner = _RunnerSeries(sources, lag)
        self._registry = CollectorRegistry()
        self._registry.register(self._runner)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._texts: Reused[None, list[bytes]] = Reused()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Sent piece by piece: thousands of tasks are megabytes."""
        pieces = await self._texts.get(None, self._make)
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        try:
            await response.prepare(request)
            for piece in pieces:
                await response.write(piece)
            await response.write_eof()
        except ConnectionResetError:
            pass  # the client has disconnected
        return response

    async def _make(self) -> list[bytes]:
        """The loop gets its turn after each piece."""
        self._runner.alerts = await self._owed.read()
        pieces = [generate_latest(self._registry)]
        for piece in self._tasks.pieces():
            if piece:
                pieces.append(piece.encode())
            await asyncio.sleep(0)
        return pieces


class _RunnerSeries(Collector):
    """What is known of the runner as a whole, read when it is asked for."""

    def __init__(self, sources: Sources, lag: LoopLag) -> None:
        self._sources = sources
        self._lag = lag
        self.alerts = AlertsBacklog(0, None)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not collect."""
        return ()

    def collect(self) -> Iterable[Metric]:
        sources = self._sources
        vitals = sources.vitals()
        build = GaugeMetricFamily(
            "dozor_build_info", "Always 1; the labels say what runs.", labels=("version", "python")
        )
        build.add_metric((sources.runner.version, platform.python_version()), 1.0)
        yield build
        yield GaugeMetricFamily(
            "dozor_ready", "1 if the runner can do its job (/readyz).", value=float(evaluate(vitals).ready)
        )
        yield GaugeMetricFamily(
            "dozor_database_up", "1 if the database answers.", value=float(vitals.database_up)
        )
        yield GaugeMetricFamily(
            "dozor_journal_waiting", "Entries that wait to be written.", value=float(sources.journal.backlog)
        )
        yield GaugeMetricFamily(
            "dozor_event_loop_lag_seconds",
            "The longest delay of a 100 ms timer within the last minute.",
            value=self._lag.seconds,
        )
        yield _histogram(
            "dozor_task_lateness_seconds",
            "From when a run was due to when it began.",
            sources.measures.lateness,
        )
        yield CounterMetricFamily(
            "dozor_log_dropped",
            "Lines that did not reach the log: nobody read it, or a child process wrote too many.",
            value=float(DROPPED_LINES.total),
        )
        yield from self._alerts()
        if sources.pool_runs is not None:
            on_workers = GaugeMetricFamily(
                "dozor_pool_runs", "Runs of pools: waiting for a worker, and in progress.", labels=("state",)
            )
            for state, count in sources.pool_runs().items():
                on_workers.add_metric((state,), float(count))
            yield on_workers
        yield from self._cluster()
        if vitals.telegram_wanted and vitals.telegram_commands:
            yield GaugeMetricFamily(
                "dozor_telegram_last_poll_timestamp_seconds",
                "When Telegram last answered a poll; 0: never. Absent without a token.",
                value=vitals.telegram_polled_at or 0.0,
            )

    def _cluster(self) -> Iterable[Metric]:
        view = self._sources.cluster
        if view is None:
            return
        yield GaugeMetricFamily(
            "dozor_leader", "1 if this process leads the cluster, else 0.", value=float(view.leads)
        )
        yield GaugeMetricFamily("dozor_epoch", "Epoch of the last leader known.", value=float(view.epoch))
        if view.window is not None:
            yield CounterMetricFamily(
                "dozor_late_renewals",
                "Renewals of this process' lease that came late.",
                value=float(view.window.renewals.late_total),
            )
        replicas = GaugeMetricFamily(
            "dozor_replicas", "Processes of the cluster, lost ones not counted.", labels=("role",)
        )
        for role, count in view.present.items():
            replicas.add_metric((role.value,), float(count))
        yield replicas

    def _alerts(self) -> Iterable[Metric]:
        sent = CounterMetricFamily(
            "dozor_alerts", "Attempts to deliver a message, by outcome.", labels=("kind", "outcome")
        )
        attempts = self._sources.deliveries.attempts
        for kind in NotificationKind:
            for outcome in OUTCOME_NAMES:
                sent.add_metric((kind.value, outcome), float(attempts[kind.value, outcome]))
        yield sent
        yield _histogram(
            "dozor_alert_latency_seconds",
            "From when a message became owed to its delivery.",
            self._sources.deliveries.latency,
        )
        yield GaugeMetricFamily(
            "dozor_alerts_pending", "Messages owed and not yet delivered.", value=float(self.alerts.pending)
        )
        yield GaugeMetricFamily(
            "dozor_alert_oldest_pending_seconds",
            "How long the oldest of them has been owed; 0: none is.",
            value=self.alerts.oldest_pending_s or 0.0,
        )
        incidents = GaugeMetricFamily("dozor_incidents_open", "Open incidents.", labels=("severity",))
        open_now = self._sources.open_incidents()
        for severity in Severity:
            incidents.add_metric((severity.value,), float(sum(i.severity is severity for i in open_now)))
        yield incidents


def _histogram(name: str, about: str, values: Histogram) -> HistogramMetricFamily:
    edges = [*(f"{bound:g}" for bound in values.bounds), "+Inf"]
    counts = [float(count) for count in values.cumulative()]
    return HistogramMetricFamily(
        name, about, buckets=list(zip(edges, counts, strict=True)), sum_value=values.sum
    )
