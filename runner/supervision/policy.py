"""The rules one task is supervised by."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.config.tasks import Continuous, Schedule


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

    @property
    def continuous(self) -> bool:
        return isinstance(self.schedule, Continuous)
