"""How a command ended."""

from __future__ import annotations

from enum import StrEnum


class CommandReason(StrEnum):
    """How it ended."""

    DONE = "done"
    ALREADY = "already"
    """Nothing to do: it is so already."""
    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_INCIDENT = "unknown_incident"
    """There is none with this id, or it is over."""
    UNKNOWN_PERSON = "unknown_person"
    INVALID = "invalid"
    """It makes no sense: no such kind, a silence without an end, no rotation."""
    DISABLED = "disabled"
    EXPIRED = "expired"
    NO_RUNNER = "no_runner"
    """No runner works on this database."""
    TIMEOUT = "timeout"
    """A runner is there and did not answer in time; the command may still be carried out."""
