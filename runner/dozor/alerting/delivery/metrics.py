"""Metrics of deliveries: attempts by outcome, and latency."""

from __future__ import annotations

from collections import Counter

from dozor.alerting.delivery.dispatcher import DeliveryAttempt
from dozor.supervision.telemetry.metrics import Histogram

LATENCY_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
DELIVERED = "delivered"


class DeliveryMetrics:
    """Attempts since the process began, by kind and outcome; the latency of those delivered."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.latency = Histogram(LATENCY_BOUNDS)
        """Seconds from when a message was queued to its delivery."""

    def sent(self, sent: DeliveryAttempt) -> None:
        """For `on_attempt` of the dispatcher."""
        self.attempts[sent.kind, sent.outcome] += 1
        if sent.outcome == DELIVERED:
            self.latency.observe(max(0.0, sent.latency))
