"""`dozor` without the kernel timer of the trust window, to show what the timer is for."""

from __future__ import annotations

from dozor.cli import main
from dozor.process.deadline_timer import DeadlineTimer


def _never(self: DeadlineTimer, at: float) -> None:
    """The timer is not set."""


if __name__ == "__main__":
    DeadlineTimer.end_at = _never  # type: ignore[method-assign]
    main()
