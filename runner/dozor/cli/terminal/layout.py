"""How wide the output may be, and text made to fit."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
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


def columns_of(text: str) -> int:
    """Columns of a terminal for one line: two for wide characters (East Asian, emoji), none for marks and
    colours. Source: Unicode, UAX #11."""
    plain = click.unstyle(text)
    return len(plain) if plain.isascii() else sum(map(_columns_of_character, plain))


def _columns_of_character(one: str) -> int:
    if unicodedata.category(one) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(one) in ("W", "F") else 1


def padded(text: str, width: int) -> str:
    """With spaces behind it, `width` columns wide."""
    return text + " " * (width - columns_of(text))


def cut(text: str, width: int) -> str:
    """In one line of `width` columns, with … where something is left out."""
    if columns_of(text) <= width:
        return text
    return f"{_head(text, width - 1)}…"


def _head(text: str, width: int) -> str:
    """As much of the beginning of `text` as fits `width` columns; at least one character."""
    taken = 0
    for position, one in enumerate(text):
        taken += _columns_of_character(one)
        if taken > width:
            return text[: max(position, 1)]
    return text


def wrapped(text: str, width: int) -> str:
    """Each line of `text` in as many lines as it needs; long words are broken."""
    return "\n".join(_lines(line, width, break_words=True) for line in text.split("\n"))


def indented(text: str, width: int, indent: str) -> str:
    """As `wrapped`, with `indent` before each line."""
    return "\n".join(indent + line for line in wrapped(text, width - len(indent)).split("\n"))


def commented(line: str, columns: int) -> str:
    """A command with its comment below it where they do not fit side by side."""
    command, mark, comment = line.partition("  # ")
    if not mark or columns_of(line) <= columns:
        return line
    below = indented(f"# {comment}", columns, "    ")
    return f"{command.rstrip()}\n{below}" if command.strip() else below


def fitted(text: str, stream: TextIO | None = None, *, hanging: str = "") -> str:
    """`text` for a terminal: lines that are too long are wrapped between words, with their own indent.

    `hanging`: what the lines after the first of one that was wrapped begin with besides. Unchanged where
    `stream` (standard output) is no terminal, so that programs read it line by line.
    """
    if not (stream or sys.stdout).isatty():
        return text
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size((PLAIN, 24)).columns))
    return "\n".join(_fitted_line(line, width, hanging) for line in text.split("\n"))


def _fitted_line(line: str, width: int, hanging: str) -> str:
    if columns_of(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip())]
    return indent + _lines(line.lstrip(), width, indent, indent + hanging, break_words=False)


def _lines(text: str, width: int, first: str = "", after: str = "", *, break_words: bool) -> str:
    """`text` in lines of `width` columns, broken between words, and within a word that is longer than a line
    if `break_words`. `first`: what stands before the first line already; `after`: begins the others."""
    if columns_of(first + text) <= width:
        return text
    lines: list[str] = []
    line, room = "", width - columns_of(first)
    for word in re.split(r"( +)", text):
        if not word.strip(" "):
            line += word
            continue
        if columns_of(line + word) > room and line.strip(" "):
            lines.append(line.rstrip(" "))
            line, room = "", width - columns_of(after)
        rest = word
        while break_words and columns_of(line + rest) > room and len(rest) > 1:
            piece = _head(rest, room - columns_of(line))
            lines.append(line + piece)
            line, rest, room = "", rest[len(piece) :], width - columns_of(after)
        line += rest
    return f"\n{after}".join([*lines, line.rstrip(" ")])
