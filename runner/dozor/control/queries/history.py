"""History: runs, incidents and actions of people. A read model over the database.

Times are seconds since the epoch (UTC), durations in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.queries.incident_words import StormCount, read_storm_counts
from dozor.storage.postgres.pool import Connection, Row

# Each branch is bounded by itself, so that a long history costs no more than the page that is shown.
HISTORY_SQL = """
SELECT kind, at, name, runs, seconds, longest, text, number, ended_at FROM (
    (SELECT 'run' AS kind, finished_at AS at, outcome AS name, runs, seconds, seconds_max AS longest,
            coalesce(error_type || ': ' || coalesce(error_text, ''), '') AS text,
            NULL::bigint AS number, NULL::timestamptz AS ended_at
     FROM dozor.runs WHERE task = $1 ORDER BY finished_at DESC LIMIT $2::bigint + $3::bigint)
    UNION ALL
    (SELECT 'incident', opened_at, kind, failures, NULL, NULL, summary, id, resolved_at
     FROM dozor.incidents WHERE task = $1 ORDER BY opened_at DESC LIMIT $2::bigint + $3::bigint)
    UNION ALL
    (SELECT 'action', at, action, 1, NULL, NULL, actor, id, NULL
     FROM dozor.audit WHERE target = $1 AND target <> '' AND result IN ('done', 'already')
     ORDER BY id DESC LIMIT $2::bigint + $3::bigint)
) AS past ORDER BY at DESC, kind LIMIT $2::bigint OFFSET $3::bigint
"""

ERRORS_SQL = """
SELECT error_type, error_text, count(*) AS times, min(finished_at) AS first_at, max(finished_at) AS last_at,
       (array_agg(id ORDER BY finished_at DESC) FILTER (WHERE traceback IS NOT NULL))[1] AS traceback_of
FROM (SELECT id, error_type, error_text, finished_at, traceback FROM dozor.runs
      WHERE task = $1 AND outcome IN ('failed', 'timed_out') ORDER BY finished_at DESC LIMIT $2) AS recent
GROUP BY error_type, error_text ORDER BY last_at DESC LIMIT $3
"""

TRACEBACK_OF_SQL = "SELECT task, finished_at, error_type, traceback FROM dozor.runs WHERE id = $1"

TRACEBACK_OF_INCIDENT_SQL = """
SELECT r.task, r.finished_at, r.error_type, r.traceback
FROM dozor.incidents i JOIN dozor.runs r ON r.task = i.task AND r.traceback IS NOT NULL
WHERE i.id = $1 AND r.finished_at <= coalesce(i.resolved_at, now()) ORDER BY r.finished_at DESC LIMIT 1
"""

INCIDENTS_SQL = """
SELECT id, task, kind, severity, state, summary, failures, opened_at, acknowledged_by, resolved_at,
       resolved_by, fingerprint
FROM dozor.incidents WHERE $3::bigint IS NULL OR storm = $3
ORDER BY state = 'resolved',
         CASE WHEN state = 'resolved' THEN 0
              ELSE array_position(ARRAY['critical', 'warning', 'info'], severity) END,
         id DESC
LIMIT $1 OFFSET $2
"""

ONE_INCIDENT_SQL = """
SELECT id, task, kind, severity, state, summary, failures, opened_at, acknowledged_by, resolved_at,
       resolved_by, fingerprint
FROM dozor.incidents WHERE id = $1
"""

COUNT_INCIDENTS_SQL = """
SELECT count(*) FILTER (WHERE state <> 'resolved') AS open, count(*) AS total FROM dozor.incidents
WHERE $1::bigint IS NULL OR storm = $1
"""

AUDIT_SQL = """
SELECT at, actor, place, action, target, result FROM dozor.audit ORDER BY id DESC LIMIT $1 OFFSET $2
"""


class HistoryKind(StrEnum):
    RUN = "run"
    INCIDENT = "incident"
    ACTION = "action"


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One line of a task's history.

    `name`: a run's outcome, an incident's kind, a command. `text`: an error, a summary, who it was.
    `runs`: how many runs the line summarises; `seconds` is their sum, `longest` the longest of them.
    """

    kind: HistoryKind
    at: float
    name: str
    runs: int
    seconds: float | None
    longest: float | None
    text: str
    number: int | None
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """The same error, as often as it came. `traceback_of`: the run that has its traceback."""

    error_type: str | None
    error_text: str | None
    times: int
    first_at: float
    last_at: float
    traceback_of: str | None


@dataclass(frozen=True, slots=True)
class Traceback:
    task: str
    at: float
    error_type: str
    text: str


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """An incident as a list shows it. `task` None: of the runner itself."""

    id: int
    task: str | None
    kind: str
    severity: str
    state: str
    summary: str
    failures: int
    opened_at: float
    acknowledged_by: str | None
    resolved_at: float | None
    resolved_by: str | None
    subject: str = ""
    """Its cause, such as the name of a dependency, or the key of a chat."""
    storm: StormCount | None = None
    """What a storm groups."""

    @property
    def is_open(self) -> bool:
        return self.state != "resolved"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """Who did or tried what, from where, and what came of it."""

    at: float
    actor: str
    place: str
    action: str
    target: str
    result: str


async def read_history(connection: Connection, task: str, limit: int, skip: int = 0) -> list[HistoryEvent]:
    """The newest first."""
    rows = await connection.fetch(HISTORY_SQL, task, limit, skip)
    return [
        HistoryEvent(
            HistoryKind(row["kind"]),
            row["at"].timestamp(),
            row["name"],
            row["runs"],
            row["seconds"],
            row["longest"],
            row["text"],
            row["number"],
            None if row["ended_at"] is None else row["ended_at"].timestamp(),
        )
        for row in rows
    ]


async def read_errors(
    connection: Connection, task: str, *, limit: int = 5, failures: int = 500
) -> list[ErrorGroup]:
    """Of the last `failures` failures, the errors seen last first."""
    rows = await connection.fetch(ERRORS_SQL, task, failures, limit)
    return [
        ErrorGroup(
            row["error_type"],
            row["error_text"],
            row["times"],
            row["first_at"].timestamp(),
            row["last_at"].timestamp(),
            row["traceback_of"],
        )
        for row in rows
    ]


async def read_traceback_of(connection: Connection, run_id: str) -> Traceback | None:
    """None: there is no such run, or it left none."""
    return _traceback(await connection.fetchrow(TRACEBACK_OF_SQL, run_id))


async def read_traceback_of_incident(connection: Connection, incident_id: int) -> Traceback | None:
    """Of the incident's last failure; None: it left none."""
    return _traceback(await connection.fetchrow(TRACEBACK_OF_INCIDENT_SQL, incident_id))


def _traceback(row: Row | None) -> Traceback | None:
    if row is None or row["traceback"] is None:
        return None
    return Traceback(row["task"], row["finished_at"].timestamp(), row["error_type"] or "", row["traceback"])


async def read_incidents(
    connection: Connection, limit: int, skip: int = 0, storm: int | None = None
) -> tuple[list[IncidentLine], int, int]:
    """The open ones first, the worst of them first; then the newest. And how many are open, and there are.

    `storm`: only those in this storm's digest.
    """
    rows = await connection.fetch(INCIDENTS_SQL, limit, skip, storm)
    counts = await connection.fetchrow(COUNT_INCIDENTS_SQL, storm)
    assert counts is not None
    lines = [incident_line(row) for row in rows]
    storms = await read_storm_counts(connection, [one.id for one in lines if one.kind == IncidentKind.STORM])
    return [replace(one, storm=storms.get(one.id)) for one in lines], counts["open"], counts["total"]


async def read_incident(connection: Connection, incident_id: int) -> IncidentLine | None:
    """None: there is none with this id."""
    row = await connection.fetchrow(ONE_INCIDENT_SQL, incident_id)
    return None if row is None else incident_line(row)


def incident_line(row: Row) -> IncidentLine:
    """A row with the columns of INCIDENTS_SQL."""
    return IncidentLine(
        id=row["id"],
        task=row["task"],
        kind=row["kind"],
        severity=row["severity"],
        state=row["state"],
        summary=row["summary"],
        failures=row["failures"],
        opened_at=row["opened_at"].timestamp(),
        acknowledged_by=row["acknowledged_by"],
        resolved_at=None if row["resolved_at"] is None else row["resolved_at"].timestamp(),
        resolved_by=row["resolved_by"],
        subject=row["fingerprint"],
    )


async def read_audit(connection: Connection, limit: int, skip: int = 0) -> list[AuditLine]:
    """The newest first."""
    return [
        AuditLine(
            row["at"].timestamp(), row["actor"], row["place"], row["action"], row["target"], row["result"]
        )
        for row in await connection.fetch(AUDIT_SQL, limit, skip)
    ]
