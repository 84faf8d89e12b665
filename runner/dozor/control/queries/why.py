"""Why messages about an incident were sent or not: a read model over the incident and its outbox rows.

The planner's decisions come from the incident's row, those of delivery from the rows of its messages. What a
version without these columns has done is derived from the state of the outbox rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dozor.alerting.delivery.transport import NAME as SECOND_CHANNEL
from dozor.alerting.model.decisions import NotifyDecision, NotifyReason, from_json, to_json
from dozor.clock import to_iso
from dozor.control.queries.people import actors_of_place
from dozor.storage.postgres.pool import Connection, Row

MESSAGES = 500
"""Outbox rows of one incident that are read, the newest."""
SAME = 0.001
"""Seconds: a row and a decision this close are about the same message."""

WHY_INCIDENT_SQL = "SELECT id, task, kind, severity, state, decisions FROM dozor.incidents WHERE id = $1"

WHY_MESSAGES_SQL = """
SELECT id, kind, destination, state, attempts, transport, last_error,
       extract(epoch FROM created_at)::float8 AS created_at,
       extract(epoch FROM delivered_at)::float8 AS delivered_at, decisions, count(*) OVER () AS total
FROM dozor.notifications WHERE incident_id = $1 ORDER BY id DESC LIMIT $2
"""

NAMES_SQL = "SELECT actor, name FROM dozor.people WHERE actor = ANY($1::text[])"

_QUEUED = frozenset({NotifyReason.QUEUED, NotifyReason.QUIET_HOURS})
_SETTLED = frozenset(
    {
        NotifyReason.SENT,
        NotifyReason.EDITED,
        NotifyReason.FALLBACK,
        NotifyReason.SUPERSEDED,
        NotifyReason.GROUPED,
        NotifyReason.EXPIRED,
        NotifyReason.GIVEN_UP,
    }
)


@dataclass(frozen=True, slots=True)
class Why:
    """Decisions about one incident, in the order of time.

    `left_out`: older messages that are not read. `names`: of the people and chats in it, by actor.
    """

    id: int
    task: str | None
    kind: str
    severity: str
    state: str
    decisions: tuple[NotifyDecision, ...]
    left_out: int
    names: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Times are ISO 8601 UTC."""
        return {
            "incident": self.id,
            "task": self.task,
            "kind": self.kind,
            "severity": self.severity,
            "state": self.state,
            "left_out": self.left_out,
            "decisions": [_decision_json(one) for one in self.decisions],
        }


async def read_why(connection: Connection, incident_id: int, now: float) -> Why | None:
    """None: there is no incident with this id. `now`: seconds since the epoch."""
    if not 0 < incident_id < 2**63:
        return None
    row = await connection.fetchrow(WHY_INCIDENT_SQL, incident_id)
    if row is None:
        return None
    messages = list(reversed(await connection.fetch(WHY_MESSAGES_SQL, incident_id, MESSAGES)))
    planned = [from_json(entry) for entry in row["decisions"] or ()]
    decisions = [*planned, *_unrecorded(planned, messages)]
    decisions += [one for message in messages for one in _delivery(message, now)]
    decisions.sort(key=lambda one: one.at)  # stable: what was queued comes before what became of it
    actors = list({one.by for one in decisions if one.by is not None})
    actors += {actor for one in decisions for place in one.to for actor in actors_of_place(place)}
    names = {found["actor"]: found["name"] for found in await connection.fetch(NAMES_SQL, actors)}
    return Why(
        id=row["id"],
        task=row["task"],
        kind=row["kind"],
        severity=row["severity"],
        state=row["state"],
        decisions=tuple(decisions),
        left_out=(messages[0]["total"] if messages else 0) - len(messages),
        names=names,
    )


def _unrecorded(planned: Iterable[NotifyDecision], messages: Sequence[Row]) -> list[NotifyDecision]:
    """Messages whose queueing no decision records: an older version wrote them, or the log was full."""
    recorded = [one for one in planned if one.reason in _QUEUED]
    found: dict[tuple[str, float], NotifyDecision] = {}
    for message in messages:
        kind, at, place = message["kind"], message["created_at"], message["destination"]
        if any(one.kind == kind and abs(one.at - at) < SAME and place in one.to for one in recorded):
            continue
        known = found.get((kind, at), NotifyDecision(at=at, reason=NotifyReason.QUEUED, kind=kind))
        found[kind, at] = replace(known, to=(*known.to, place))
    return list(found.values())


def _delivery(message: Row, now: float) -> list[NotifyDecision]:
    """What became of one message, and what is still to come."""
    decisions = [from_json(entry) for entry in message["decisions"] or ()]
    if not any(one.reason in _SETTLED for one in decisions):
        decisions.append(_present(message, now))
    kind, to = message["kind"], (message["destination"],)
    return [replace(one, kind=kind, to=to) for one in decisions]


def _present(message: Row, now: float) -> NotifyDecision:
    """By the state of the row alone."""
    error, at = message["last_error"], message["created_at"]
    match message["state"]:
        case "delivered":
            fallback = message["transport"] == SECOND_CHANNEL
            reason = NotifyReason.FALLBACK if fallback else NotifyReason.SENT
            at = at if message["delivered_at"] is None else message["delivered_at"]
            return NotifyDecision(at=at, reason=reason, transport=message["transport"])
        case "undeliverable":
            return NotifyDecision(at=at, reason=NotifyReason.GIVEN_UP, text=error)
        case "superseded":
            return NotifyDecision(at=at, reason=NotifyReason.SUPERSEDED, text=error)
        case "expired":
            return NotifyDecision(at=at, reason=NotifyReason.EXPIRED)
        case _:
            return NotifyDecision(at=now, reason=NotifyReason.WAITING, text=error)


def _decision_json(decision: NotifyDecision) -> dict[str, Any]:
    values = to_json(decision)
    values.update((name, to_iso(values[name])) for name in ("at", "last_at", "ends_at") if name in values)
    return values
