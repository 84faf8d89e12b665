"""Escalation: whom to call next when nobody acknowledges an incident, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import SEVERITY_RANK
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.config.values.incident_kinds import Severity
from dozor.storage.tables.silences import OverrideRow


class EscalationTarget(StrEnum):
    """Whom a level calls."""

    ONCALL = "oncall"
    SECOND = "second"
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Level:
    """`after`: seconds since the incident was notified, or since its acknowledgement expired."""

    after: float
    whom: EscalationTarget | str
    """An `EscalationTarget`, or the name of a person."""


@dataclass(frozen=True, slots=True)
class Call:
    """One message to one destination, calling `people` by name."""

    destination: str
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class DueLevel:
    """A level that is due since `at` (seconds since the epoch)."""

    level: Level
    at: float


def due_level(
    levels: tuple[Level, ...], incident: Incident, now: float, min_severity: Severity = Severity.CRITICAL
) -> DueLevel | None:
    """The next level whose time has come; None: not yet, or the incident is over or not severe enough.

    Whether it is called, the notification pipeline decides: a silence or an acknowledgement holds it.
    """
    if not incident.is_open or incident.calm_since is not None or incident.level >= len(levels):
        return None
    if SEVERITY_RANK[incident.severity] < SEVERITY_RANK[min_severity]:
        return None
    level = levels[incident.level]
    since = incident.opened_at if incident.level_since is None else incident.level_since
    at = since + level.after
    return DueLevel(level, at) if now >= at else None


def calls_for(level: Level, oncall: OnCall, overrides: Iterable[OverrideRow], now: float) -> tuple[Call, ...]:
    """Whom to call, by destination; if the level names nobody known: everybody, or else only the chat."""
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
