"""Colours that can be read on a light and on a dark background.

Text has the terminal's own colour. Only signs are coloured; where a colour is too bright for a white
background (yellow, cyan) it is the background of the sign, with black on it.
"""

from __future__ import annotations

import click

from dozor.control.task_states import StateTraits

_TOO_BRIGHT = frozenset({"yellow", "cyan"})


def coloured(text: str, colour: str | None, *, bold: bool = False) -> str:
    """`text`, a sign or a word, in one of the eight colours of ANSI; None: as it is."""
    if colour is None:
        return text
    if colour in _TOO_BRIGHT:
        return click.style(text, fg="black", bg=colour)
    return click.style(text, fg=colour, bold=bold)


def sign(traits: StateTraits) -> str:
    """The sign of a state."""
    return coloured(traits.sign, traits.colour, bold=True)
