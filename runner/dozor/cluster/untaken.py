"""Runs that no worker takes: of a whole pool, or of one task while the pool carries out those of others."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dozor.storage.tables.pool_runs import PoolLoad, PoolRunState
from dozor.supervision.telemetry.observer import Trouble, TroubleKind, TroubleListener

NOT_TAKEN_AFTER = 60.0
"""Seconds that a run may wait before people are notified."""


class Untaken:
    """Notifies once for each pool and each task, and again when their runs are taken.

    A task is passed over when a run of its pool that was queued `NOT_TAKEN_AFTER` seconds later has ended.
    Workers are offered runs in their order, so those that there are lack the task or have another version of
    it. Times (`since`, `now`) are seconds of the leader's clock.
    """

    def __init__(self, troubles: TroubleListener) -> None:
        self._troubles = troubles
        self._pools: set[str] = set()
        self._tasks: set[str] = set()
        self._newest: dict[str, float] = {}
        self._ended_at: dict[str, float] = {}

    def ended(self, pool: str, since: float, now: float) -> None:
        """A worker has carried out a run of `pool` that was queued at `since`."""
        self._newest[pool] = max(since, self._newest.get(pool, since))
        self._ended_at[pool] = now

    def may_be_passed_over(self, pool: str, since: float) -> bool:
        """Whether a run that is still queued since then was passed over."""
        return self._newest.get(pool, since) - since >= NOT_TAKEN_AFTER

    def judge_pools(self, loads: Collection[PoolLoad], now: float) -> None:
        """The oldest run of a pool waits for a minute, and none was claimed or ended meanwhile."""
        queued = {load.pool: load for load in loads if load.state is PoolRunState.QUEUED}
        claimed = {load.pool: load.waited for load in loads if load.state is PoolRunState.RUNNING}

        def idle(load: PoolLoad) -> bool:
            since_claim = claimed.get(load.pool, load.waited)
            since_end = now - self._ended_at.get(load.pool, float("-inf"))
            return min(load.waited, since_claim, since_end) >= NOT_TAKEN_AFTER

        for pool, load in queued.items():
            if pool not in self._pools and idle(load):
                self._pools.add(pool)
                self._troubles.raised(_of_pool(pool, load.waited, load.count))
        for pool in sorted(self._pools):
            left = queued.get(pool)
            if left is None or not idle(left):
                self._pools.discard(pool)
                self._troubles.cleared(_of_pool(pool, 0.0, 0))

    def judge_tasks(self, passed_over: Mapping[str, float]) -> None:
        """`passed_over`: for how many seconds a run of each such task waits."""
        for name, waited in passed_over.items():
            if name not in self._tasks:
                self._tasks.add(name)
                self._troubles.raised(_of_task(name, waited))
        for name in sorted(self._tasks - passed_over.keys()):
            self._tasks.discard(name)
            self._troubles.cleared(_of_task(name, 0.0))


def _of_pool(pool: str, seconds: float, count: int) -> Trouble:
    return Trouble(kind=TroubleKind.NO_WORKER, subject=pool, seconds=seconds, count=count)


def _of_task(name: str, seconds: float) -> Trouble:
    return Trouble(kind=TroubleKind.NO_WORKER, subject=name, task=name, seconds=seconds)
