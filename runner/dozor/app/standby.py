"""The standby part: while another process of the cluster leads, this one shows what the database holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from dozor.app.idle_web import IdleWeb, idle_snapshot
from dozor.app.surroundings import Surroundings
from dozor.cluster.leadership import Leadership, LeaseSeen
from dozor.cluster.replicas import ReplicaRole
from dozor.cluster.view import ClusterView
from dozor.control.readiness import HealthSnapshot
from dozor.language import msg

LATE = 1.0
"""Seconds by which a lease may be over before a standby is not ready: by then it has taken it."""


def standby_snapshot(
    seen: LeaseSeen | None,
    ttl: float,
    now: float,
    uptime: float,
    *,
    leads: bool,
    refreshed: bool,
    failing_parts: Mapping[str, str] = MappingProxyType({}),
) -> HealthSnapshot:
    """What `/readyz` of a standby is judged by: the database answers, and a leader renews its lease. Pure.

    `now`: seconds since the epoch; `uptime`: by CLOCK_BOOTTIME; `ttl`: seconds. `leads`: this process holds
    the lease, and `seen` is how it was before. `failing_parts`: of the worker in the same process.
    """
    reasons = dict(failing_parts)
    answered = seen is not None and (leads or uptime - seen.at <= ttl) and refreshed
    unrenewed = 0.0 if seen is None or leads else seen.row.age + (uptime - seen.at)
    if answered and seen is not None and unrenewed > max(ttl, seen.row.ttl) + LATE:
        reasons["cluster"] = msg("log-ready-no-leader", seconds=f"{unrenewed:.0f}")
    down_since = None if answered or seen is None else now - (uptime - seen.at)
    return idle_snapshot(now, database_up=answered, database_down_since=down_since, failing_parts=reasons)


class StandbyPart:
    """`start` it, and `stop` it before this process leads."""

    def __init__(
        self,
        around: Surroundings,
        leadership: Leadership,
        view: ClusterView,
        failing: Callable[[], Mapping[str, str]],
    ) -> None:
        """`failing`: parts of the worker in this process that fail, and why."""
        self._around = around
        self._leadership = leadership
        self._failing = failing
        self._web = IdleWeb(around, view, ReplicaRole.STANDBY, self.vitals)

    async def start(self) -> None:
        await self._web.start()

    async def stop(self) -> None:
        await self._web.stop()

    def vitals(self) -> HealthSnapshot:
        """What `/readyz` is judged by, also while this process begins to lead."""
        return standby_snapshot(
            self._leadership.seen,
            self._leadership.ttl,
            self._around.clock.now(),
            self._leadership.window.now(),
            leads=self._leadership.window.trusted,
            refreshed=self._web.refreshed,
            failing_parts=self._failing(),
        )
