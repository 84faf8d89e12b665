"""What everybody has left behind: the chats, the tables, the runner's log, the besieger's chronicle."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections import defaultdict
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import ModuleType
from typing import Any

from dozor.alerting.delivery import worker
from dozor.language import Language, Translator
from dozor.storage import health
from dozor.storage.postgres.pool import connect, disconnect
from dozor.storage.tables import incidents
from dozor.storage.tables.incidents import IncidentRow
from tests.siege.places import destination
from tests.siege.siege import Chronicle
from tests.siege.standin import Seen, Shown

NOTIFICATIONS_SQL = """
SELECT id, incident_id, task, kind, destination, state, message_id, attempts, unknown_outcomes, last_error,
       extract(epoch FROM created_at)::float8 AS created_at
FROM dozor.notifications ORDER BY id
"""
MARKS = ("Возможно, повтор", "Отправлено сюда заново")
_PREFIX = r"(?P<at>\d+\.\d+) \d+ [A-Z]+ "
"""The time, the process and the level; see `tests.siege.besieged.LINE`."""


def _line(module: ModuleType, key: str, **patterns: str) -> re.Pattern[str]:
    """Matches the log line of `key`. `patterns`: of its arguments.

    Made from the text that the runner logs, so that a line that is reworded is still recognised.
    """
    marks = {name: f"@{number}@" for number, name in enumerate(patterns)}
    text = re.escape(Translator(Language.RU).format(key, **marks))
    for name, pattern in patterns.items():
        text = text.replace(marks[name], pattern)
    return re.compile(f"{_PREFIX}{re.escape(module.__name__)} {text}")


_DOUBT = _line(
    worker, "log-not-delivered", id=r"(?P<id>\d+)", kind=r"\w+", outcome=r"Unknown\((?P<reason>.*)\)"
)
_AWAY = (
    _line(health, "log-database-away", reason=".*"),
    _line(health, "log-database-no-resources", reason=".*"),
)
_BACK = _line(health, "log-database-back", seconds=r"[\d.]+")


class Label(Enum):
    """What a text says."""

    REPEATED = auto()
    STOPPED = auto()
    PAST = auto()
    RECOVERED = auto()
    REMINDER = auto()
    ESCALATION = auto()
    STORM = auto()
    OTHER = auto()


FIRING = (Label.REPEATED, Label.STOPPED)
CURRENT = (*FIRING, Label.REMINDER, Label.ESCALATION, Label.STORM)
"""They say that something is broken now."""

_HEADERS = (
    (Label.REPEATED, re.compile(r"⚠️ (t\d{3}): .*(?:подряд|ошибка в)")),
    (Label.STOPPED, re.compile(r"🛑 (t\d{3}) остановлена: ")),
    (Label.PAST, re.compile(r"✅ (t\d{3}): было сломано")),
    (Label.RECOVERED, re.compile(r"✅ (t\d{3}) снова работает")),
    (Label.REMINDER, re.compile(r"🛑 (t\d{3}) всё ещё остановлена|⚠️ (t\d{3}): ошибки продолжаются")),
    (Label.ESCALATION, re.compile(r"🔴 @ann: нужна реакция. (t\d{3}) ")),
    (Label.STORM, re.compile(r"(?:⚠️|🔴) Сбои сразу во многих задачах: (\d+)")),
)
RUNNER_ENDED = "RunnerEnded"
"""The error of a task that is stopped because the runner kept ending uncleanly during its runs."""
_ERROR = re.compile(rf"(?:Broken|Burst)\d{{5}}Error|\b{RUNNER_ENDED}\b")


@dataclass(frozen=True, slots=True)
class Telling:
    """A text in a chat, understood. `task`, `error`: None where it names none."""

    shown: Shown
    place: str
    label: Label
    task: str | None
    error: str | None

    @property
    def at(self) -> float:
        return self.shown.at

    @property
    def marked(self) -> bool:
        return any(mark in self.shown.text for mark in MARKS)

    @property
    def header(self) -> str:
        return self.shown.text.partition("\n")[0]

    @property
    def over(self) -> bool:
        """It says that all is well."""
        return self.shown.text.startswith("✅")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A row of the outbox. Times are seconds since the epoch."""

    id: int
    incident_id: int | None
    task: str | None
    kind: str
    destination: str
    state: str
    message_id: int | None
    attempts: int
    unknown_outcomes: int
    last_error: str | None
    created_at: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """A line of the runner's log: what became of a message it did not know."""

    at: float
    notification: int
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """`sends`: new messages; `edits`: by message."""

    chronicle: Chronicle
    seen: Seen
    incidents: list[IncidentRow]
    outbox: list[Owed]
    doubts: list[Doubt]
    away: list[tuple[float, float]]
    """When PostgreSQL was away, as far as a runner could see."""
    sends: list[Telling]
    edits: dict[int, list[Telling]]


def gather(chronicle: Chronicle, dsn: str, seen_file: Path, log: Path) -> Evidence:
    """After the siege, while the database still runs."""
    seen = pickle.loads(seen_file.read_bytes())
    assert isinstance(seen, Seen)
    rows, outbox = asyncio.run(_read(dsn))
    edits: dict[int, list[Telling]] = defaultdict(list)
    sends: list[Telling] = []
    for shown in seen.shown:
        told = understand(shown)
        if shown.edit:
            edits[shown.message].append(told)
        else:
            sends.append(told)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return Evidence(
        chronicle, seen, rows, outbox, doubts_in(lines), _away(lines, chronicle), sends, dict(edits)
    )


def doubts_in(lines: list[str]) -> list[Doubt]:
    """The messages whose delivery the runner did not know."""
    found = map(_DOUBT.match, lines)
    return [Doubt(float(one["at"]), int(one["id"]), one["reason"]) for one in found if one is not None]


def outages_in(lines: list[str]) -> list[tuple[float, bool]]:
    """When a runner lost the database, and when (True) it had it back."""
    found = []
    for line in lines:
        if (back := _BACK.match(line)) is not None:
            found.append((float(back["at"]), True))
        elif (away := next(filter(None, (one.match(line) for one in _AWAY)), None)) is not None:
            found.append((float(away["at"]), False))
    return found


async def _read(dsn: str) -> tuple[list[IncidentRow], list[Owed]]:
    """Both oldest first."""
    connection = await connect(dsn)
    rows = await incidents.read_recent(connection, 10_000_000)
    outbox = [_owed(dict(row)) for row in await connection.fetch(NOTIFICATIONS_SQL)]
    await disconnect(connection)
    return rows[::-1], outbox


def _away(lines: list[str], chronicle: Chronicle) -> list[tuple[float, float]]:
    """What the runners have said, to the end of each; and what was done."""
    found = [(outage.began, outage.ended) for outage in chronicle.outages]
    since: float | None = None
    ends = [(death, True) for death in chronicle.deaths]
    for at, ended in sorted([*outages_in(lines), *ends]):
        if not ended:
            since = at if since is None else since
        elif since is not None:
            found.append((since, at))
            since = None
    return sorted(found)


def understand(shown: Shown) -> Telling:
    """By its words, as a person would."""
    place = destination(shown.chat, shown.thread)
    error = _ERROR.search(shown.text)
    for label, header in _HEADERS:
        found = header.match(shown.text)
        if found is not None:
            task = None if label is Label.STORM else next(name for name in found.groups() if name)
            return Telling(shown, place, label, task, error and error[0])
    return Telling(shown, place, Label.OTHER, None, None)


def _owed(values: dict[str, Any]) -> Owed:
    return Owed(**values)
