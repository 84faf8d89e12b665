"""How far long work is: a bar on standard error, on a terminal only, once the work has taken a while."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from typing import Self, TextIO

import click

AFTER = 2.0
"""Seconds of work before anything is shown."""
EVERY = 0.25
_CLEAR = "\r\x1b[K\x1b[?25h"
"""The line is emptied, and the cursor is shown again, which click hides."""


def can_show(stream: TextIO) -> bool:
    """Whether a line can be drawn over and over: not into a file, nor with TERM=dumb or NO_COLOR."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")


class Progress:
    """`with Progress(text, total) as progress:`, and `progress.step()` after each part, in any thread.

    A thread of its own draws, and takes the bar away at the end: what is printed afterwards begins a line.
    """

    def __init__(
        self, text: str, total: int = 0, *, stream: TextIO | None = None, after: float = AFTER
    ) -> None:
        self._text = text
        self._stream = stream or sys.stderr
        self._after = after
        self._lock = threading.Lock()
        self._done = 0
        self._total = total
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def expect(self, total: int) -> None:
        """How many parts there are, where that is found out only now."""
        with self._lock:
            self._total = total

    def step(self) -> None:
        """One more part is done."""
        with self._lock:
            self._done += 1

    def __enter__(self) -> Self:
        if can_show(self._stream):
            self._thread = threading.Thread(target=self._draw, name="dozor progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _draw(self) -> None:
        """The thread."""
        if self._ended.wait(self._after):
            return
        while True:
            with self._lock:
                done, total = self._done, max(self._total, self._done, 1)
            bar: click._termui_impl.ProgressBar[int] = click.progressbar(
                length=total, label=self._text, file=self._stream, show_eta=False, show_pos=True, width=0
            )
            bar.pos = done
            bar.render_progress()
            if self._ended.wait(EVERY):
                break
        self._stream.write(_CLEAR)
        self._stream.flush()
