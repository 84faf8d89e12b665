"""Until when a leader may act, by its own CLOCK_BOOTTIME.

    attempt                                          expires in the database
       │◀──────────────── ttl ─────────────────────────────▶│
       │◀────────── ttl − ttl/5 ───────────▶│
       │                  │◀─── closing ───▶│
       │           runs are cancelled   the kernel timer ends the process

Counted from before the attempt that renewed the lease: the database's lease begins later, so it ends later.
"""

from __future__ import annotations

from collections.abc import Callable

from dozor.cluster.renewals import RenewalLog
from dozor.process.child_deadlines import ChildDeadlines
from dozor.process.deadline_timer import DeadlineTimer, boottime

MARGIN = 0.2
"""Share of the lease by which the window ends before it: for clocks of different speed, and for dying."""
CHILD_SLACK = MARGIN / 2
"""Share of the lease that the keeper of a child process has for killing it after the window."""


def closing_time(ttl: float) -> float:
    """Seconds before the end of the window at which runs are cancelled, so that they can end in time."""
    return ttl / 6


class TrustWindow:
    """`timer`: moved along with the window; None in an application of somebody else's. `now`: seconds.

    `children`: the deadline of child processes, moved along as well. They are Dozor's own in any application.
    """

    def __init__(
        self,
        ttl: float,
        timer: DeadlineTimer | None = None,
        children: ChildDeadlines | None = None,
        now: Callable[[], float] = boottime,
    ) -> None:
        self.ttl = ttl
        self.now = now
        self.children = children
        self._timer = timer
        self._until = float("-inf")
        self.renewals = RenewalLog(ttl)

    @property
    def until(self) -> float:
        """When it ends; -inf while this process does not lead."""
        return self._until

    @property
    def trusted(self) -> bool:
        """May this process act as the leader at this moment?"""
        return self.now() < self._until

    def may_act(self) -> bool:
        """As `trusted`, to be called by whoever is about to act."""
        return self.trusted

    @property
    def closes_at(self) -> float:
        """When the leader begins to give up, unless it has renewed the lease by then."""
        return self._until - closing_time(self.ttl)

    def extend(self, attempted_at: float) -> None:
        """The lease was taken or renewed by an attempt that began at `attempted_at`."""
        self._until = max(self._until, attempted_at + self.ttl * (1 - MARGIN))
        self.renewals.renewed(attempted_at)
        self._end_at(self._until)

    def distrust(self) -> None:
        """Another replica leads: nothing may be begun any more. The timer stays as it is."""
        self.renewals.ended()
        self._until = min(self._until, self.now())

    def end_within(self, seconds: float) -> None:
        """The lease was resigned: what is still in progress ends in `seconds`, or the process does."""
        self.distrust()
        self._end_at(self.now() + seconds)

    def close(self) -> None:
        """Nothing is in progress any more: the process may live on."""
        self._until = float("-inf")
        self.renewals.ended()
        if self._timer is not None:
            self._timer.disarm()
        if self.children is not None:
            self.children.disarm()

    def _end_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.end_at(at)
        if self.children is not None:
            self.children.end_at(at)
