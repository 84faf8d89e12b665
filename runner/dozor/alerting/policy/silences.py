"""Silences: what people have asked not to be told of, until when, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dozor.storage.tables.silences import SilenceRow


class SilenceScope(StrEnum):
    """What a silence covers."""

    ALL = "all"
    TASK = "task"
    KIND = "kind"
    INCIDENT = "incident"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Times are seconds since the epoch (UTC). `ends_at` None: until its incident is resolved."""

    id: int
    scope: SilenceScope
    target: str
    reason: str
    created_by: str
    created_at: float
    ends_at: float | None
    ended_at: float | None = None
    ended_by: str | None = None

    def active(self, now: float) -> bool:
        return self.ended_at is None and (self.ends_at is None or now < self.ends_at)

    def covers(self, *, incident: int, task: str | None, kind: str) -> bool:
        match self.scope:
            case SilenceScope.ALL:
                return True
            case SilenceScope.TASK:
                return task is not None and task == self.target
            case SilenceScope.KIND:
                return kind == self.target
            case SilenceScope.INCIDENT:
                return str(incident) == self.target


def covering(
    silences: Iterable[Silence], now: float, *, incident: int, task: str | None, kind: str
) -> Silence | None:
    """The active silence that covers the incident and lasts longest; None if there is none."""
    found = [s for s in silences if s.active(now) and s.covers(incident=incident, task=task, kind=kind)]
    return max(found, key=lambda s: float("inf") if s.ends_at is None else s.ends_at, default=None)


def silence_row(silence: Silence) -> SilenceRow:
    return SilenceRow(
        id=silence.id,
        scope=silence.scope.value,
        target=silence.target,
        reason=silence.reason,
        created_by=silence.created_by,
        created_at=silence.created_at,
        ends_at=silence.ends_at,
        ended_at=silence.ended_at,
        ended_by=silence.ended_by,
    )


def silence(row: SilenceRow) -> Silence:
    return Silence(
        id=row.id,
        scope=SilenceScope(row.scope),
        target=row.target,
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
        ends_at=row.ends_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )
