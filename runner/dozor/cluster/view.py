"""What one member of a cluster has last read of it: for metrics and the status page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from dozor.cluster.replicas import ReplicaRole, ReplicaRow


@dataclass(slots=True)
class ClusterView:
    """Kept up to date by the member. `epoch`: of the last leader known; `leads`: this process does."""

    leads: bool = False
    epoch: int = 0
    replicas: tuple[ReplicaRow, ...] = field(default=())
    """As read last, lost ones included."""

    @property
    def present(self) -> Mapping[ReplicaRole, int]:
        """How many replicas there are, by role; lost ones do not count."""
        counts = Counter(row.role for row in self.replicas if not row.lost)
        return {role: counts[role] for role in ReplicaRole}
