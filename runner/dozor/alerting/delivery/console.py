"""The console as a transport: shows messages where there is no Telegram, or it refuses them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from dozor.alerting.delivery.transport import Delivered, Outcome, Unavailable
from dozor.alerting.model.message import Message
from dozor.language import msg
from dozor.log_writer import CONSOLE, LogWriter, PrintedLines, QueuedStream, StreamSink

SECONDS = 5.0
"""How long the console may take to take a message."""
LOOK_EVERY = 0.005


class ConsoleTransport:
    """Writes to `stream`, in a frame that sets it apart from the log. Where the log is JSON, a message on
    standard error is one line of JSON as well, with `alert: true`.

    By default to what is standard error now: a checker may put something else in its place for a while
    (`contextlib.redirect_stderr`), where nobody would see the alert.

    The text of an attachment is written under the message, whatever its length.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._is_standard = stream is None
        self._stream = stream or sys.stderr
        self._own: tuple[TextIO, LogWriter] | None = None

    @property
    def name(self) -> str:
        return "console"

    async def send(self, message: Message) -> Outcome:
        stream = self._stream
        if self._is_standard and CONSOLE.json:
            text = _json(message, stream.redact if isinstance(stream, PrintedLines) else str)
        else:
            text = _frame(message)
        encoding = getattr(stream, "encoding", None) or "utf-8"
        ticket = self._writer(stream).send(text.encode(encoding, "replace"))
        until = time.monotonic() + SECONDS
        while not ticket.settled:
            if time.monotonic() > until:
                # Not written later either: it is sent again.
                ticket.cancelled = True
                return Unavailable(msg("log-console-unread", seconds=f"{SECONDS:.0f}"))
            await asyncio.sleep(LOOK_EVERY)
        if ticket.error is not None:  # a closed pipe or stream
            return Unavailable(msg("log-console-unwritable", error=ticket.error))
        return Delivered(None)

    def _writer(self, stream: TextIO) -> LogWriter:
        """The one behind the runner's standard error, or our own: its thread may have to wait."""
        if isinstance(stream, QueuedStream | PrintedLines):
            return stream.writer
        if self._own is None or self._own[0] is not stream:
            self._own = (stream, LogWriter(StreamSink(stream), note=lambda count: "", name="dozor console"))
        return self._own[1]


def _frame(message: Message) -> str:
    text = f"╭──\n{_framed(message.plain)}"
    if message.document is not None:
        text += f"├── {message.document.name}\n{_framed(message.document.text)}"
    return text + "╰──\n"


def _json(message: Message, redact: Callable[[str], str]) -> str:
    """The keys are those of the log's lines, see `dozor.logs`."""
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": "WARNING",
        "message": redact(message.plain),
        "alert": True,
    }
    if message.document is not None:
        entry["document"] = redact(message.document.text)
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _framed(text: str) -> str:
    return "".join(f"│ {line}\n" for line in text.splitlines())
