"""Commands that are about the runner as a whole."""

from __future__ import annotations

from enum import StrEnum


class RunnerCommand(StrEnum):
    RELOAD = "reload"
    """Apply the configuration file as it is now."""
