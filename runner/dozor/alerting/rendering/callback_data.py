"""Callback data of buttons: the kind of message, an action and a task, in the 64 bytes of the Bot API.

It proves nothing: a modified client can send any data, so its reader checks the rights again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """The message that the button belongs to."""

    ALERT = "a"
    """An alert: its text stays, the response is a reply."""
    MENU = "m"
    """A menu or a card of the bot: the response replaces it."""


@dataclass(frozen=True, slots=True)
class CallbackData:
    """`action` is a command's name; `task` may name none that exists."""

    origin: Origin
    action: str
    task: str


def encode(origin: Origin, action: str, task: str) -> str:
    """At most 64 bytes for a task's name of at most 40 ASCII characters, as the configuration has them."""
    return f"{origin}:{action}:{task}"


def decode(data: str) -> CallbackData | None:
    """None: not the callback data of a button of ours."""
    origin, _, rest = data.partition(":")
    action, _, task = rest.partition(":")
    if origin not in tuple(Origin) or not action or not task:
        return None
    return CallbackData(Origin(origin), action, task)
