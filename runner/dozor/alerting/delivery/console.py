"""The console as a transport: shows messages where there is no Telegram, or it refuses them."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

from dozor.alerting.delivery.transport import Delivered, Outcome, Unavailable
from dozor.alerting.model.message import Message
from dozor.language import msg


class ConsoleTransport:
    """Writes to `stream` (by default standard error), in a frame that sets it apart from the log.

    The text of an attachment is written under the message, whatever its length.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    @property
    def name(self) -> str:
        return "console"

    async def send(self, message: Message) -> Outcome:
        stream = self._stream or sys.stderr
        text = f"╭──\n{_framed(message.plain)}"
        if message.document is not None:
            text += f"├── {message.document.name}\n{_framed(message.document.text)}"
        text += "╰──\n"
        try:
            await asyncio.to_thread(_write, stream, text)
        except (OSError, ValueError) as error:  # a closed pipe or stream
            return Unavailable(msg("log-console-unwritable", error=error))
        return Delivered(None)


def _framed(text: str) -> str:
    return "".join(f"│ {line}\n" for line in text.splitlines())


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()
