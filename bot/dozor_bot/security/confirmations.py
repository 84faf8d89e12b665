"""Confirmations of risky actions: by the same person, within a minute, once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum, auto

from dozor.alerting.rendering.callback_data import Origin
from dozor.control.commands.commands import CommandName
from dozor_bot.telegram.incoming import Sender

WITHIN = 60.0
"""Seconds."""
KEPT = 1000


@dataclass(slots=True)
class Asked:
    """What somebody is about to do. `message_id`: the question, once it is sent."""

    sender: Sender
    action: CommandName
    tasks: tuple[str, ...]
    origin: Origin | None
    until: float
    message_id: int | None = None
    used_by: int | None = None
    """The update that answered it: the same one, handled again, is no second answer."""


class Refusal(Enum):
    GONE = auto()
    NOT_YOURS = auto()


@dataclass
class Confirmations:
    """In memory: after a restart of the runner the question is asked anew."""

    _asked: dict[str, Asked] = field(default_factory=dict)

    def ask(self, asked: Asked) -> str:
        """The token that the answering button carries."""
        token = secrets.token_hex(8)
        self._asked[token] = asked
        if len(self._asked) > KEPT:
            del self._asked[next(iter(self._asked))]
        return token

    def take(self, token: str, user_id: int | None, update_id: int, now: float) -> Asked | Refusal:
        """The question, answered by its asker in time and for the first time."""
        asked = self._asked.get(token)
        if asked is None or asked.used_by not in (None, update_id) or now > asked.until:
            return Refusal.GONE
        if asked.sender.user_id != user_id:
            return Refusal.NOT_YOURS
        asked.used_by = update_id
        return asked

    def owner(self, token: str) -> Sender | None:
        """Who was asked."""
        asked = self._asked.get(token)
        return None if asked is None else asked.sender

    def asked_by(self, token: str) -> Asked | None:
        """The question, whoever it was for."""
        return self._asked.get(token)

    def take_expired(self, now: float) -> list[Asked]:
        """Questions whose time is over, without those that were answered."""
        over = [token for token, asked in self._asked.items() if now > asked.until]
        asked = [self._asked.pop(token) for token in over]
        return [one for one in asked if one.used_by is None]
