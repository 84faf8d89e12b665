"""The states of a task as displayed: one row for each, for chat, command line and page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from dozor.supervision.core.state import State


class Health(IntEnum):
    """The rank of a task in a list: the worst first."""

    STOPPED = 0
    FAILING = 1
    HELD = 2
    PAUSED = 3
    WELL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StateTraits:
    """What differs between states."""

    health: Health
    """Without failures in a row; WELL with some is FAILING."""
    text: str
    """Key of the state in a sentence."""
    cell: str
    """Key of the state in a table: one short word."""
    sign: str
    """One column wide."""
    colour: str | None
    """Of the terminal."""


STATES: Mapping[State, StateTraits] = MappingProxyType(
    {
        State.WAITING: StateTraits(
            health=Health.WELL, text="state-waiting", cell="cli-state-waiting", sign="·", colour=None
        ),
        State.RUNNING: StateTraits(
            health=Health.WELL, text="state-running", cell="cli-state-running", sign="▶", colour="green"
        ),
        State.BACKOFF: StateTraits(
            health=Health.FAILING, text="state-backoff", cell="cli-state-backoff", sign="↻", colour="yellow"
        ),
        State.STOPPED: StateTraits(
            health=Health.STOPPED, text="state-stopped", cell="cli-state-stopped", sign="✖", colour="red"
        ),
        State.PAUSED: StateTraits(
            health=Health.PAUSED, text="state-paused", cell="cli-state-paused", sign="‖", colour="cyan"
        ),
        State.HELD: StateTraits(
            health=Health.HELD, text="state-held", cell="cli-state-held", sign="…", colour="magenta"
        ),
    }
)
assert set(STATES) == set(State)


def health_of(state: State, failures: int) -> Health:
    """`failures`: the present streak."""
    known = STATES[state].health
    return Health.FAILING if failures and known is Health.WELL else known
