"""Texts of strangers, made safe for the database and for alerts. Pure."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 300
"""Characters kept of a text."""


def storable(text: str) -> str:
    """The text in one line, with "?" for what PostgreSQL refuses, at most LONGEST characters.

    A provider's error message may hold anything that JSON can: NUL, which neither text nor jsonb takes, and
    lone surrogates, which have no UTF-8 form. One such message must not fail the run that records it.
    """
    line = " ".join(text.split())[:LONGEST]
    return "".join(char if char.isprintable() else "?" for char in line)
