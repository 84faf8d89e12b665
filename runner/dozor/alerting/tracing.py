"""OpenTelemetry tracing, if configured: a span for each run, incident and delivery, made when it is over.

Wanted means: the extra `tracing` is installed and OTEL_EXPORTER_OTLP_ENDPOINT is set. All else is set by
OpenTelemetry's own variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/),
such as OTEL_TRACES_SAMPLER=traceidratio for many quick tasks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from loguru import logger

from dozor.alerting.delivery.context import DeliveryAttempt
from dozor.alerting.model.incident import IncidentState
from dozor.clock import Clock
from dozor.extras import Extra, install_command
from dozor.language import msg
from dozor.process.threads import in_own_thread
from dozor.storage.journal import Commit
from dozor.storage.tables.incidents import IncidentRow
from dozor.supervision.core.events import Cancelled, Failed, Interrupted
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.metrics import RunMetrics
from dozor.supervision.telemetry.observer import Transition

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORT_SECONDS = 3
"""How long one attempt to send may take, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""
FLUSH_SECONDS = 3.0
"""How long the end waits for the last spans to be sent."""

Attributes = Mapping[str, str | int | float]


class Tracing:
    """`provider` makes the spans and sends them, in a thread of its own."""

    def __init__(self, provider: TracerProvider, clock: Clock) -> None:
        from opentelemetry.trace import StatusCode

        self._provider = provider
        self._tracer = provider.get_tracer("dozor")
        self._clock = clock
        self._error = StatusCode.ERROR

    def now(self) -> float:
        return self._clock.now()

    def measures(self, tasks: int) -> RunMetrics:
        """Counts as `RunMetrics` does, and makes a span of each run."""
        return _TracedMeasures(tasks, self)

    def delivery(self, sent: DeliveryAttempt) -> None:
        """From when the message was written to the outbox to the end of this attempt."""
        now = self._clock.now()
        attributes: Attributes = {"dozor.alert.kind": sent.kind, "dozor.alert.outcome": sent.outcome}
        self.span("alert", now - sent.latency, now, attributes, failed=sent.outcome != "delivered")

    def incidents(self, commit: Commit) -> None:
        """A span for each that is over."""
        for incident in commit.incidents:
            if incident.state == IncidentState.RESOLVED.value and incident.resolved_at is not None:
                self._incident(incident, incident.resolved_at)

    def span(
        self, name: str, began: float, ended: float, attributes: Attributes, *, failed: bool, text: str = ""
    ) -> None:
        """One finished span. Times are seconds since the epoch."""
        span = self._tracer.start_span(name, start_time=_nanoseconds(began), attributes=attributes)
        if failed:
            span.set_status(self._error, text)
        span.end(_nanoseconds(ended))

    async def close(self) -> None:
        """Send what is left, if it goes quickly."""
        await in_own_thread(self._provider.force_flush, int(FLUSH_SECONDS * 1000))
        await in_own_thread(self._provider.shutdown)

    def _incident(self, incident: IncidentRow, resolved_at: float) -> None:
        attributes: Attributes = {
            "dozor.incident.id": incident.id,
            "dozor.incident.kind": incident.kind,
            "dozor.incident.severity": incident.severity,
            "dozor.task": incident.task or "",
        }
        self.span("incident", incident.opened_at, resolved_at, attributes, failed=True, text=incident.summary)


class _TracedMeasures(RunMetrics):
    def __init__(self, tasks: int, tracing: Tracing) -> None:
        super().__init__(tasks)
        self._tracing = tracing

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        super().succeeded(task, seconds, lateness)
        now = self._tracing.now()
        attributes: Attributes = {"dozor.task": task.spec.name, "dozor.lateness": lateness}
        self._tracing.span(f"run {task.spec.name}", now - seconds, now, attributes, failed=False)

    def transition(self, transition: Transition) -> None:
        super().transition(transition)
        run, event = transition.run, transition.event
        if run is None or not isinstance(event, Failed | Cancelled | Interrupted):
            return
        name = transition.task.spec.name
        attributes: dict[str, str | int | float] = {"dozor.task": name, "dozor.attempt": run.attempt}
        text = ""
        if isinstance(event, Failed):
            attributes["error.type"] = event.failure.error_type
            text = event.failure.error_text  # redacted
        self._tracing.span(
            f"run {name}",
            run.started_at,
            transition.now,
            attributes,
            failed=isinstance(event, Failed),
            text=text,
        )


def open_tracing(version: str, clock: Clock) -> Tracing | None:
    """None if it is not configured, or if the extra is missing, which is logged as a warning."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        command = install_command(Extra.TRACING)
        logger.warning(msg("log-traces-extra", variable=ENDPOINTS[1], command=command))
        return None
    timeout = None if os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT") else EXPORT_SECONDS
    resource = Resource.create({"service.name": "dozor", "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    return Tracing(provider, clock)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
