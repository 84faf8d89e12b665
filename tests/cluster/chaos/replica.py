"""`dozor` without the kernel timer of the trust window, to show what the timer is for."""

from __future__ import annotations

from dozor.process.deadline_timer import DeadlineTimer

from dozor.cli import main


def _never(self: DeadlineTimer, at: float) -> None:
    """The timer is not set."""


if __name__ == "__main__":
    DeadlineTimer.end_at = _never  # type: ignore[method-assign]
    main()
