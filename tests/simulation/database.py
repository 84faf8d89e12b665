"""What PostgreSQL keeps, as far as supervision and the dispatcher ask it; each statement by its constant.

The statements themselves are tested on a real server. Here one of them costs a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg

from dozor.storage.journal import Commit
from dozor.storage.tables import destinations, incidents, notifications
from dozor.storage.tables import live_messages as living
from dozor.storage.tables.destinations import DestinationRow
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.notifications import NotificationRow
from dozor.storage.tables.tasks import CheckpointRow, TaskRow

OWED = ("pending", "sending")


@dataclass(slots=True)
class Owed:
    """A row of the outbox."""

    id: int
    row: NotificationRow
    state: str = "pending"
    attempts: int = 0
    unknown: int = 0
    shown_on: str | None = None
    message_id: int | None = None


@dataclass(slots=True)
class Living:
    first_id: int
    message_id: int
    shown_at: float


class Database:
    """The tables, and a pool's methods to ask them. `up` False: every question fails as an outage does."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.up = True
        self.tasks: dict[str, TaskRow] = {}
        self.incidents: dict[int, IncidentRow] = {}
        self.outbox: dict[int, Owed] = {}
        self.pending: dict[int, Owed] = {}
        self.keys: set[str] = set()
        self.living: dict[tuple[str, int], Living] = {}
        self.destinations: dict[str, DestinationRow] = {}
        self._answers: dict[str, Callable[..., Any]] = {
            notifications.CLAIM_SQL: self._claim,
            notifications.DELIVERED_SQL: self._delivered,
            notifications.PUT_BACK_SQL: self._put_back,
            notifications.DROP_SQL: self._drop,
            notifications.SUPERSEDE_SQL: self._supersede,
            notifications.UNSHOWN_SQL: self._unshown,
            notifications.SHOWN_SQL: self._shown,
            notifications.PENDING_BY_DESTINATION_SQL: self._owed_since,
            notifications.URGENT_SINCE_SQL: lambda priority: [],
            living.OUTDATED_SQL: self._outdated,
            living.PLACES_SQL: list,
            living.UNENDED_SQL: lambda destination: None,
            living.SHOWS_SQL: self._shows,
            living.FORGET_SQL: lambda key, number: self.living.pop((key, number), None),
            living.FORGET_ALL_SQL: lambda key: self.living.clear(),
            destinations.READ_DESTINATIONS_SQL: lambda: [asdict(row) for row in self.destinations.values()],
            destinations.RECENT_CALLS_SQL: lambda since: [],
            destinations.WRITE_DESTINATION_SQL: self._write_destination,
            incidents.STORM_GROUPS_SQL: lambda storm, names: [],
        }

    # -- the pool's door

    async def fetch(self, query: str, *arguments: Any) -> Any:
        if not self.up:
            raise asyncpg.ConnectionDoesNotExistError("simulated outage")
        return self._answers[query](*arguments)

    fetchrow = fetch
    execute = fetch

    # -- the journal's door

    def write(self, commit: Commit) -> None:
        """One transaction."""
        for task in commit.tasks:
            self.tasks[task.name] = task
        for incident in commit.incidents:
            self.incidents[incident.id] = incident
        for row in commit.notifications:
            if row.key not in self.keys:
                self.keys.add(row.key)
                owed = Owed(len(self.outbox) + 1, row)
                self.outbox[owed.id] = self.pending[owed.id] = owed

    def checkpoint(self, hot: list[CheckpointRow], full: list[TaskRow]) -> None:
        for row in full:
            self.tasks[row.name] = row
        for name, state, runs, started, success, duration, following, running in hot:
            known = self.tasks.get(name)
            if known is not None:
                self.tasks[name] = replace(
                    known,
                    state=state,
                    runs_total=runs,
                    last_started_at=started,
                    last_success_at=success,
                    last_duration=duration,
                    next_run_at=following,
                    running_since=running,
                )

    def forget_settled(self) -> None:
        """Housekeeping: the outbox of a year does not fit into patience."""
        for number in [n for n, owed in self.outbox.items() if owed.state not in OWED][:-2000]:
            self.outbox[number] = Owed(number, self.outbox[number].row, self.outbox[number].state)

    # -- answers

    def _claim(self, destination: str, leave: list[int]) -> dict[str, Any] | None:
        waiting = [owed for owed in self.pending.values() if owed.id not in leave]
        if not waiting:
            return None
        urgent = min(waiting, key=lambda owed: (owed.row.priority, owed.id))
        about = urgent.row.incident_id
        same = [owed for owed in waiting if about is not None and owed.row.incident_id == about]
        head = min([urgent, *same], key=lambda owed: owed.id)
        head.unknown += head.state == "sending"
        head.state = "sending"
        head.attempts += 1
        return self._row(head)

    def _row(self, owed: Owed) -> dict[str, Any]:
        row, number = owed.row, owed.row.incident_id
        shown = None if number is None else self.living.get((row.destination, number))
        incident = None if number is None else self.incidents.get(number)
        return {
            "id": owed.id,
            "attempts": owed.attempts,
            "unknown_outcomes": owed.unknown,
            "transport": owed.shown_on,
            "fired": shown is not None,
            "first_id": None if shown is None else shown.first_id,
            "living_id": None if shown is None else shown.message_id,
            "incident": None if incident is None else _json(incident),
            **{name: getattr(row, name) for name in _ROW},
        }

    def _settle(self, number: int, state: str) -> Owed:
        owed = self.outbox[number]
        owed.state = state
        self.pending.pop(number, None)
        return owed

    def _delivered(
        self,
        number: int,
        transport: str,
        message_id: int | None,
        shows: float | None,
        at: float,
        decision: object,
        *place: object,
    ) -> None:
        owed = self._settle(number, "delivered")
        owed.message_id = message_id
        about = owed.row.incident_id
        if about is not None and message_id is not None and shows is not None:
            known = self.living.get((owed.row.destination, about))
            first = message_id if known is None else known.first_id
            self.living[owed.row.destination, about] = Living(first, message_id, shows)

    def _put_back(
        self, number: int, unknown: int, error: str, shown: str | None, retry_in: float, decision: object
    ) -> None:
        owed = self.outbox[number]
        owed.state = "pending"
        owed.unknown += unknown
        owed.shown_on = shown or owed.shown_on

    def _drop(self, number: int, state: str, why: str, decision: object) -> None:
        self._settle(number, state)

    def _supersede(
        self, destination: str, incident: int, but: int, why: str, known: float, decision: object
    ) -> None:
        for owed in list(self.pending.values()):
            others = owed.row.incident_id == incident and owed.id != but and owed.state == "pending"
            if others and owed.row.created_at <= known + 0.001:
                self._settle(owed.id, "superseded")

    def _unshown(self, destination: str, but: int) -> list[dict[str, Any]]:
        waiting = [owed for owed in self.pending.values() if owed.shown_on is None and owed.id != but]
        return [{**self._row(owed), "incident": None} for owed in waiting[:50]]

    def _shown(self, number: int, transport: str, decision: object) -> None:
        self.outbox[number].shown_on = transport

    def _owed_since(self) -> list[dict[str, Any]]:
        if not self.pending:
            return []
        since = min(owed.row.created_at for owed in self.pending.values())
        return [{"destination": "", "since": since, "count": len(self.pending)}]

    def _outdated(self, destination: str, leave: list[int]) -> dict[str, Any] | None:
        for (_, number), shown in self.living.items():
            incident = self.incidents.get(number)
            if incident is None or number in leave:
                continue
            if incident.updated_at > shown.shown_at + 0.001:
                return {"message_id": shown.message_id, "incident": _json(incident)}
        return None

    def _shows(self, destination: str, number: int, updated_at: float, edited_at: float) -> None:
        shown = self.living.get((destination, number))
        if shown is not None:
            shown.shown_at = updated_at

    def _write_destination(self, *values: Any) -> None:
        names = (
            "key",
            "chat_id",
            "moved_to",
            "held_until",
            "dead_since",
            "dead_reason",
            "thread_id",
            "bot_id",
        )
        self.destinations[values[0]] = DestinationRow(**dict(zip(names, values, strict=True)))


_ROW = tuple(NotificationRow.__dataclass_fields__)


def _json(row: IncidentRow) -> dict[str, Any]:
    """As `to_jsonb` writes it."""
    values: dict[str, Any] = {name: getattr(row, name) for name in IncidentRow.__dataclass_fields__}
    for name, value in values.items():
        if value is not None and name.endswith(("_at", "_since")):
            values[name] = datetime.fromtimestamp(value, UTC).isoformat()
    return values
