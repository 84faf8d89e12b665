"""The terminal: a narrator's lines, the runner's log, messages in frames; all on one stream, in order."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import click
from loguru import logger

from dozor.alerting.delivery.console import ConsoleTransport
from dozor.alerting.delivery.transport import Outcome
from dozor.alerting.model.message import Message, Span
from dozor.logs import configure
from dozor.redaction import Redactor

if TYPE_CHECKING:
    from loguru import Record

WIDEST = 88
"""Columns; longer lines are hard to read."""


class Screen:
    """Writes to `stream`; in colour if it is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._colour = stream.isatty()
        self._width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)

    def heading(self, number: int, of: int, text: str) -> None:
        """The beginning of an act."""
        head = f"━━ {number}/{of} {text} "
        self._line("")
        self._line(head + "━" * max(2, self._width - len(head)), fg="cyan", bold=True)

    def title(self, text: str) -> None:
        self._line("")
        self._line(text, fg="cyan", bold=True)

    def say(self, text: str) -> None:
        """One paragraph of the narrator."""
        for line in textwrap.wrap(text, self._width - 2):
            self._line(f"▌ {line}", fg="cyan")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Columns, the first to the left and the others to the right; the last row is a total."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for number, row in enumerate(rows):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            self._line(("▌   " + "   ".join(cells)).rstrip(), fg="cyan", bold=number == len(rows) - 1)

    def prompt(self, line: str) -> None:
        """A command typed in another terminal."""
        self._line(f"  $ {line}", bold=True)

    def printed(self, output: str) -> None:
        """What the command printed."""
        for said in output.rstrip().splitlines():
            self._line(f"  {said}")

    def end(self, text: str, steps: Sequence[tuple[str, str]]) -> None:
        """The closing summary."""
        self._line("")
        self.say(text)
        width = max(len(step) for step, _ in steps)
        for step, meaning in steps:
            self._line(f"▌   {step:<{width}}   {meaning}", fg="cyan", bold=True)

    def quiet(self) -> None:
        """Nothing but errors of the log, while the stage is set up."""
        configure(Redactor(), level="ERROR", stream=self.stream)

    def follow_the_log(self, redactor: Redactor) -> None:
        """Show the runner's log here: the first traceback whole, the others left out."""
        shown = False

        def once(record: Record) -> None:
            nonlocal shown
            if record["exception"] is not None:
                if shown:
                    record["exception"] = None
                shown = True

        configure(redactor, stream=self.stream)
        logger.configure(patcher=once)

    def _line(self, text: str, *, fg: str | None = None, bold: bool = False) -> None:
        encoding = self.stream.encoding or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        click.secho(text, file=self.stream, color=self._colour, fg=fg, bold=bold)


class Chat:
    """The chat, in the terminal: the transport of the demo. Keeps what it has shown that makes a sound."""

    def __init__(self, screen: Screen) -> None:
        self._console = ConsoleTransport(screen.stream)
        self.heard_texts: list[str] = []

    @property
    def name(self) -> str:
        return self._console.name

    async def send(self, message: Message) -> Outcome:
        """The message with its buttons under it."""
        rows = ["\n" + "  ".join(f"[ {button.label} ]" for button in row) for row in message.buttons]
        buttons = tuple(Span(row) for row in rows)
        outcome = await self._console.send(Message(spans=message.spans + buttons, silent=message.silent))
        if not message.silent:
            self.heard_texts.append(message.plain)
        return outcome

    def heard(self, sign: str) -> bool:
        """Has a message come, with a sound, that begins with `sign`?"""
        return any(text.startswith(sign) for text in self.heard_texts)
