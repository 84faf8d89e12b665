"""The names of what people ask of alerts."""

from __future__ import annotations

from enum import StrEnum


class AlertCommand(StrEnum):
    """What can be asked for. The target is the command's `task`, the rest its `args`."""

    ACK = "ack"
    """Target: an incident's id. `seconds`: for how long, 8 h if not given."""
    UNACK = "unack"
    SILENCE = "silence"
    """Target: `all`, a task, `kind:overdue`, or `#17` (an incident). With `seconds` and `reason`.

    Of an incident without `seconds`: until it is over.
    """
    UNSILENCE = "unsilence"
    """Target: as it was silenced."""
    ONCALL = "oncall"
    """Target: a person, who takes over for `seconds` (none: until the end of the present shift)."""
