"""Silences: which incidents send no messages, until when, and at whose request. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from dozor.storage.tables.silences import SilenceRow


class SilenceScope(StrEnum):
    """What a silence covers."""

    ALL = "all"
    TASK = "task"
    KIND = "kind"
    INCIDENT = "incident"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(SilenceRow):
    """Its row, with a scope that is checked."""

    scope: SilenceScope

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


def silence(row: SilenceRow) -> Silence:
    """Raises ValueError for a scope of a newer version."""
    values: dict[str, Any] = {field.name: getattr(row, field.name) for field in fields(SilenceRow)}
    return Silence(**values | {"scope": SilenceScope(row.scope)})
