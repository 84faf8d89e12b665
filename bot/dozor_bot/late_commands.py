"""Commands that came too late and are too long for the data of a button."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

KEPT = 1000


@dataclass
class LateCommands:
    """Commands that are too long for a button. In memory: the message shows the command as well."""

    _texts: dict[str, str] = field(default_factory=dict)

    def keep(self, text: str) -> str:
        """The token for it."""
        token = secrets.token_hex(8)
        self._texts[token] = text
        if len(self._texts) > KEPT:
            del self._texts[next(iter(self._texts))]
        return token

    def get(self, token: str) -> str | None:
        """None: from before a restart, or of long ago."""
        return self._texts.get(token)
