"""The console as a transport: the same messages, where there is no Telegram or it refuses them."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

from runner.alerting.message import Message
from runner.alerting.transport import Delivered, Outcome, Unavailable


class ConsoleTransport:
    """Writes to `stream` (standard error unless told), between two rules: it stands out of the log."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    @property
    def name(self) -> str:
        return "console"

    async def send(self, message: Message) -> Outcome:
        stream = self._stream or sys.stderr
        body = "\n".join(f"│ {line}" for line in message.plain.splitlines())
        text = f"╭──\n{body}\n╰──\n"
        try:
            await asyncio.to_thread(_write, stream, text)
        except (OSError, ValueError) as error:  # a closed pipe or stream
            return Unavailable(f"the console cannot be written: {error}")
        return Delivered(None)


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()
