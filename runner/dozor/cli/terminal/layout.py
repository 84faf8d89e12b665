"""How wide the output may be, and text made to fit."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TextIO

import click

NARROWEST = 40
WIDEST = 200
PLAIN = 80
"""Columns of a table that is not on a terminal."""


def output_width() -> int:
    """Columns: of the terminal, or COLUMNS; at least 40. 80 where there is neither."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return PLAIN
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((PLAIN, 24)).columns))


def cut(text: str, width: int) -> str:
    """In one line of `width` columns, with … where something is left out."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def wrapped(text: str, width: int) -> str:
    """Each line of `text` in as many lines as it needs; long words are broken."""
    return "\n".join(
        "\n".join(textwrap.wrap(line, width, replace_whitespace=False) or [""]) for line in text.split("\n")
    )


def indented(text: str, width: int, indent: str) -> str:
    """As `wrapped`, with `indent` before each line."""
    return "\n".join(indent + line for line in wrapped(text, width - len(indent)).split("\n"))


def fitted(text: str, stream: TextIO | None = None) -> str:
    """`text` for a terminal: lines that are too long are wrapped between words, with their own indent.

    Unchanged where `stream` (standard output) is no terminal, so that programs read it line by line.
    """
    if not (stream or sys.stdout).isatty():
        return text
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size((PLAIN, 24)).columns))
    return "\n".join(_fitted_line(line, width) for line in text.split("\n"))


def _fitted_line(line: str, width: int) -> str:
    if len(click.unstyle(line)) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    return textwrap.fill(
        line,
        width,
        subsequent_indent=indent,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
