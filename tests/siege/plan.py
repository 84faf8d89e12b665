"""What befalls Telegram, PostgreSQL and the runner, and when. Made from a seed; pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeVar

from tests.bot.botapi.faults import FaultKind

K = TypeVar("K")

SINGLE = (
    FaultKind.RETRY_AFTER,
    FaultKind.FLOOD_BARE,
    FaultKind.SERVER_ERROR,
    FaultKind.SERVER_ERROR_JSON,
    FaultKind.RESET,
    FaultKind.CUT_AFTER_ACCEPT,
    FaultKind.CUT_AFTER_ACCEPT,
    FaultKind.HANG,
    FaultKind.HANG_AFTER_ACCEPT,
    FaultKind.HALF_BODY,
    FaultKind.HALF_JSON,
    FaultKind.NONSENSE,
    FaultKind.NONSENSE_JSON,
)
"""What one call may come to."""


class SpellKind(StrEnum):
    """What Telegram is like for a while."""

    FLOOD = "429 to every call"
    BARE_FLOOD = "429 without seconds"
    BAD_GATEWAY = "502 of a proxy"
    INTERNAL_ERROR = "500 of Telegram"
    HANGS = "no answers"
    CUTS = "carried out, and the answers cut off"
    NONSENSE = "200 and no JSON"
    UNREACHABLE = "connections refused"
    KICKED = "kicked from a group"
    BLOCKED = "blocked by a person"
    TOPIC_CLOSED = "topic closed"
    TOPIC_GONE = "topic deleted"
    MIGRATION = "group became a supergroup"


class BlowKind(StrEnum):
    """What is done to PostgreSQL."""

    KILLED = "server killed and started"
    FROZEN = "server frozen for a while"
    SESSIONS_ENDED = "all sessions ended"
    BACKEND_KILLED = "one backend killed"


class Moment(Enum):
    """When the runner is killed."""

    ANY = "at any moment"
    BEFORE_CARRIED_OUT = "when Telegram has its request, before it is carried out"
    AFTER_CARRIED_OUT = "when Telegram has carried out its request, before the answer"


@dataclass(frozen=True, slots=True)
class Squall:
    """One call at `at` or after ends like this. Times are fast seconds since the beginning."""

    at: float
    kind: FaultKind
    method: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Spell:
    at: float
    until: float
    kind: SpellKind
    seconds: float
    """To wait, in each 429."""


@dataclass(frozen=True, slots=True)
class Blow:
    at: float
    kind: BlowKind
    seconds: float
    """Frozen for so long."""


@dataclass(frozen=True, slots=True)
class Death:
    """`down`: seconds until the next runner starts."""

    at: float
    moment: Moment
    down: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All in order of time, and over at `ends`."""

    squalls: tuple[Squall, ...]
    spells: tuple[Spell, ...]
    blows: tuple[Blow, ...]
    deaths: tuple[Death, ...]
    ends: float


def make(begins: float, ends: float, kills: int, luck: random.Random, *, longest: float) -> Plan:
    """`longest`: seconds that anything lasts at most."""
    return Plan(
        squalls=tuple(_squalls(begins, ends, luck)),
        spells=tuple(_spells(begins, ends, luck, longest)),
        blows=tuple(_blows(begins, ends, luck, longest)),
        deaths=tuple(_deaths(begins, ends, kills, luck, longest)),
        ends=ends,
    )


def _squalls(begins: float, ends: float, luck: random.Random) -> Iterator[Squall]:
    kinds, at = _in_turn(SINGLE, luck), begins
    while (at := at + luck.expovariate(1 / 25)) < ends:
        method = "sendMessage" if luck.random() < 0.7 else "editMessageText"
        yield Squall(at, next(kinds), method, float(luck.randint(1, 40)))


def _spells(begins: float, ends: float, luck: random.Random, longest: float) -> Iterator[Spell]:
    """One at a time."""
    kinds, at = _in_turn(list(SpellKind), luck), begins
    often = min(600.0, (ends - begins) / (len(SpellKind) + 2))
    while (at := at + luck.uniform(0.3, 1.0) * often) < ends:
        kind = next(kinds)
        lasts = 0.0 if kind is SpellKind.MIGRATION else luck.choice((10.0, 40.0, 100.0, 200.0))
        until = min(at + min(lasts * luck.uniform(0.5, 1.5), longest, often), ends)
        yield Spell(at, until, kind, float(luck.randint(3, 30)))
        at = until


def _blows(begins: float, ends: float, luck: random.Random, longest: float) -> Iterator[Blow]:
    kinds = _in_turn(
        [
            BlowKind.KILLED,
            BlowKind.BACKEND_KILLED,
            *[BlowKind.FROZEN] * 4,
            *[BlowKind.SESSIONS_ENDED] * 4,
        ],
        luck,
    )
    often, at = min(500.0, (ends - begins) / 12), begins
    while (at := at + luck.uniform(0.5, 1.5) * often) < ends:
        yield Blow(at, next(kinds), min(luck.choice((2.0, 10.0, 30.0, 90.0)), longest))


def _deaths(begins: float, ends: float, kills: int, luck: random.Random, longest: float) -> Iterator[Death]:
    moments = _in_turn([Moment.ANY, Moment.ANY, Moment.AFTER_CARRIED_OUT, Moment.BEFORE_CARRIED_OUT], luck)
    for at in sorted(luck.uniform(begins, ends) for _ in range(kills)):
        chance = luck.random()
        if chance < 0.6:
            down = luck.uniform(0, 5)
        else:
            down = luck.uniform(5, 60) if chance < 0.9 else luck.uniform(100, 400)
        yield Death(at, next(moments), min(down, longest))


def _in_turn(kinds: Sequence[K], luck: random.Random) -> Iterator[K]:
    """All of them, in any order, again and again."""
    while True:
        yield from luck.sample(kinds, len(kinds))
