"""Who submits a command, and from where: the chat, the command line or the page."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """The doors."""

    TELEGRAM = "telegram"
    CLI = "cli"
    WEB = "web"
    RUNNER = "runner"


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or program. `place` is where they were: a chat id, a host."""

    source: Source
    ident: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.ident}"
