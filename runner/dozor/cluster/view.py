"""What one member of a cluster has last read of it: for metrics and the status page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from dozor.cluster.replicas import ReplicaRole, ReplicaRow
from dozor.cluster.trust_window import TrustWindow


@dataclass(slots=True)
class ClusterView:
    """Kept up to date by the member. `epoch`: of the last leader known; `leads`: this process does."""

    leads: bool = False
    epoch: int = 0
    replicas: tuple[ReplicaRow, ...] = field(default=())
    """As read last, lost ones included."""
    window: TrustWindow | None = None
    """Of this process: how regularly it renews while it leads."""

    @property
    def unrenewed_for(self) -> float | None:
        """Seconds since this process, which leads, renewed its lease, if the next renewal is late by now."""
        window = self.window
        if window is None or not self.leads:
            return None
        return window.renewals.unrenewed_for(window.now())

    @property
    def present(self) -> Mapping[ReplicaRole, int]:
        """How many replicas there are, by role; lost ones do not count."""
        counts = Counter(row.role for row in self.replicas if not row.lost)
        return {role: counts[role] for role in ReplicaRole}
