"""The policy of one task: the limits and delays that it is supervised by."""

from __future__ import annotations

from dataclasses import dataclass, field

from dozor.config.values.requirements import DATABASE
from dozor.config.values.schedules import Continuous, Schedule


@dataclass(frozen=True, slots=True)
class RestartDelay:
    """Seconds between a failure and the next try: `initial * factor ** (n - 1)`, at most `max`.

    `jitter` is the share of the delay that is random (1.0: anywhere between 0 and the delay).
    """

    initial: float = 60.0
    factor: float = 1.0
    max: float = 60.0
    jitter: float = 0.0

    @classmethod
    def fixed(cls, seconds: float) -> RestartDelay:
        return cls(initial=seconds, max=seconds)

    def after(self, failures: int, luck: float) -> float:
        """Seconds to wait after `failures` in a row (at least 1); `luck` in [0, 1)."""
        try:
            delay = min(self.max, self.initial * self.factor ** (failures - 1))
        except OverflowError:
            delay = self.max
        return delay * (1.0 - self.jitter * luck)


@dataclass(frozen=True, slots=True)
class Intensity:
    """At most `count` failures within `within` seconds."""

    count: int
    within: float

    def recent(self, earlier: tuple[float, ...], now: float) -> tuple[float, ...]:
        """The failures that still count, the one of `now` included; never more than `count`."""
        return (*(at for at in earlier if now - self.within < at <= now), now)[-self.count :]

    def exceeded(self, recent: tuple[float, ...]) -> bool:
        return len(recent) >= self.count


@dataclass(frozen=True, slots=True)
class Policy:
    """`max_consecutive_failures` None: never stopped. `stop_retry_every` None: a stop waits for a person."""

    schedule: Schedule = field(default_factory=Continuous)
    restart_delay: RestartDelay = field(default_factory=RestartDelay)
    max_consecutive_failures: int | None = 5
    stable_after: float = 300.0
    """Seconds of healthy running after which a continuous task's streak is forgotten."""
    timeout: float | None = None
    """Seconds a run may take."""
    skip_missed: bool = False
    stop_retry_every: float | None = None
    """Seconds between tries of a stopped task."""
    requires_database: bool = False
    requires: frozenset[str] = frozenset()
    """Names of dependencies beside the database."""
    max_failures: Intensity | None = None
    heartbeat_timeout: float | None = None
    """Seconds a run may go without a heartbeat."""
    overdue_after: float | None = None
    """Seconds without a success after which the task is overdue."""
    offset: float = 0.0
    """Seconds by which scheduled starts of this task are put off, so that many don't start at once."""
    run_at_start: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """Everything that must be up, by name."""
        return self.requires | {DATABASE} if self.requires_database else self.requires

    @property
    def continuous(self) -> bool:
        return type(self.schedule) is Continuous
