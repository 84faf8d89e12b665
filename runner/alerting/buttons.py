"""What a button carries: an action and a task, in the 64 bytes the Bot API gives.

A press proves nothing: a changed client can send any data, so whoever reads it checks again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2s

DATA_BYTES = 64


class Origin(StrEnum):
    """The message under which the button stands."""

    ALERT = "a"
    """An alert: its text stays, the answer comes as a reply."""
    MENU = "m"
    """A menu or a card of the bot: the answer takes its place."""


@dataclass(frozen=True, slots=True)
class Press:
    """`action` is a command's name. `task` may be a digest; see `find_task`."""

    origin: Origin
    action: str
    task: str


def encode(origin: Origin, action: str, task: str) -> str:
    """At most 64 bytes: a task's name too long for that goes as its digest."""
    data = f"{origin}:{action}:{task}"
    if len(data.encode()) <= DATA_BYTES:
        return data
    return f"{origin}:{action}:{_digest(task)}"


def decode(data: str) -> Press | None:
    """None: not a button of ours."""
    origin, _, rest = data.partition(":")
    action, _, task = rest.partition(":")
    if origin not in tuple(Origin) or not action or not task:
        return None
    return Press(Origin(origin), action, task)


def find_task(task: str, names: Iterable[str]) -> str | None:
    """The name meant by a press, or None: gone from the configuration, or never there."""
    for name in names:
        if task in (name, _digest(name)):
            return name
    return None


def _digest(task: str) -> str:
    return "#" + blake2s(task.encode(), digest_size=8).hexdigest()
