"""Rendered messages for any transport: styled spans instead of markup, which cannot fail to parse."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Style(StrEnum):
    """How a span looks. A transport that cannot show it shows the plain text."""

    PLAIN = "plain"
    BOLD = "bold"
    ITALIC = "italic"
    CODE = "code"
    PRE = "pre"


@dataclass(frozen=True, slots=True)
class Span:
    """`user_id`: the Telegram id of the person whose name this is; they are notified."""

    text: str
    style: Style = Style.PLAIN
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class Button:
    """`data` is at most 64 bytes (Bot API, callback_data)."""

    label: str
    data: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text too long for its message, as a file. `note`: the line under the message that says so."""

    name: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Spans in reading order, rows of buttons under them."""

    spans: tuple[Span, ...]
    buttons: tuple[tuple[Button, ...], ...] = ()
    silent: bool = False
    reply_to: int | None = None
    """The transport's id of the earlier message that this one replies to."""
    document: Document | None = None
    """The full text of what is cut here. Sent after the message, and not with an edit."""

    @property
    def plain(self) -> str:
        """The text without styles."""
        return "".join(span.text for span in self.spans)
