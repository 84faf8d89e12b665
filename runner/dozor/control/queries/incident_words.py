"""The summary of an incident in one line, also for kinds that store no error text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.decisions import kind_text
from dozor.alerting.rendering.phrases import limit_name
from dozor.config.values.incident_kinds import IncidentKind
from dozor.language.translator import Translator
from dozor.storage.postgres.pool import Connection

SUBJECT_UNITS = 80
DEAF = "commands"
"""Subject of a bot incident: it receives no commands. Any other subject: it failed to answer."""

STORM_COUNTS_SQL = """
SELECT storm, count(*) AS members, count(*) FILTER (WHERE state <> 'resolved') AS open
FROM dozor.incidents WHERE storm = ANY($1::int8[]) GROUP BY storm
"""


@dataclass(frozen=True, slots=True)
class StormCount:
    """Incidents that a storm groups, and how many of them are open."""

    members: int
    open: int


async def read_storm_counts(connection: Connection, ids: Iterable[int]) -> dict[int, StormCount]:
    """By the storm's id; one that groups nothing is missing."""
    rows = await connection.fetch(STORM_COUNTS_SQL, list(ids))
    return {row["storm"]: StormCount(row["members"], row["open"]) for row in rows}


def incident_about(
    translator: Translator,
    kind: str,
    subject: str,
    summary: str,
    storm: StormCount | None,
    place_of: Callable[[str], str | None] = lambda place: None,
) -> str:
    """Never empty. `subject`: the incident's fingerprint; `place_of`: what a chat or person is called."""
    text, said = translator.format, one_line(summary)
    named = shorten(one_line(subject), SUBJECT_UNITS)
    reason = f": {said}" if said and said != named else ""
    match kind:
        case IncidentKind.STORM:
            count = storm or StormCount(0, 0)
            if not count.members:
                return text("about-storm-empty")
            if not count.open:
                return text("about-storm-over", count=count.members)
            return text("about-storm", open=count.open, count=count.members)
        case IncidentKind.TELEGRAM:
            return text("about-telegram", chat=place_of(subject) or named) + reason
        case IncidentKind.DEPENDENCY:
            return text("about-dependency", name=named) + reason
        case IncidentKind.LIMIT:
            return limit_name(text, named) + reason
        case IncidentKind.BOT:
            return text("about-bot-deaf" if subject == DEAF else "about-bot-failed") + reason
        case IncidentKind.UNCLEAN_END:
            return text("about-unclean-end")
        case _:
            return said or text(kind_text(kind) or "about-unknown")
