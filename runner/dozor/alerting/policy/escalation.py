"""Nobody reacts: who is called next, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dozor.alerting.model.incident import Incident, IncidentState
from dozor.alerting.model.notification import SEVERITY_RANK, Severity
from dozor.alerting.policy.oncall import OnCall, Override, Person


class EscalationTarget(StrEnum):
    """Whom a level calls."""

    ONCALL = "oncall"
    SECOND = "second"
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Level:
    """`after`: seconds since the incident was told, or since its acknowledgement ran out."""

    after: float
    whom: EscalationTarget | str
    """One of `Whom`, or the name of a person."""


@dataclass(frozen=True, slots=True)
class Call:
    """One message to one destination, calling `people` by name."""

    destination: str
    people: tuple[Person, ...]


def due_level(
    levels: tuple[Level, ...], incident: Incident, now: float, loud_from: Severity = Severity.CRITICAL
) -> Level | None:
    """The next level whose time has come; None: not yet, or somebody has reacted."""
    if incident.state is not IncidentState.OPEN or incident.quiet or incident.level >= len(levels):
        return None
    if SEVERITY_RANK[incident.severity] < SEVERITY_RANK[loud_from]:
        return None
    level = levels[incident.level]
    since = incident.opened_at if incident.level_since is None else incident.level_since
    return level if now >= since + level.after else None


def calls_for(level: Level, oncall: OnCall, overrides: Iterable[Override], now: float) -> tuple[Call, ...]:
    """Whom to call, by destination. Nobody to be found there: everybody; nobody at all: the chat itself."""
    overrides = tuple(overrides)
    names: list[str] = []
    match level.whom:
        case EscalationTarget.ONCALL:
            shift = oncall.now(now, overrides)
            names = [] if shift is None else [shift.person]
        case EscalationTarget.SECOND:
            second = oncall.second(now, overrides)
            names = [] if second is None else [second]
        case EscalationTarget.EVERYBODY:
            names = list(oncall.people)
        case name:
            names = [name]
    people = [oncall.people[name] for name in names if name in oncall.people]
    people = people or list(oncall.people.values())
    by_destination: dict[str, list[Person]] = {}
    for person in people:
        by_destination.setdefault(person.destination, []).append(person)
    if level.whom == EscalationTarget.EVERYBODY or not by_destination:
        by_destination.setdefault("", people)
    return tuple(Call(where, tuple(who)) for where, who in by_destination.items())
