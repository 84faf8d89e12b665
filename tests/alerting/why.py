"""`dozor why` in a test: the decisions about an incident as stored, and their lines in a language."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

from dozor.alerting.model.decisions import NotifyDecision
from dozor.alerting.rendering.decisions import why_lines
from dozor.alerting.rendering.phrases import Phrasebook
from dozor.control.queries.why import Why, read_why
from dozor.language import Translator
from tests.alerting.stage import Stage

PLACES = {"222": "bob"}
SNAPSHOTS = Path(__file__).parent / "snapshots" / "why"
"""`DOZOR_REWRITE_SNAPSHOTS=1` writes them anew: read the difference before committing it."""


async def why(stage: Stage, incident: int = 1) -> Why:
    """After what waits is written."""
    await stage.journal.write()
    async with stage.pool.acquire() as connection:
        found = await read_why(connection, incident, stage.clock.at)
    assert found is not None
    return found


async def reasons(stage: Stage, incident: int = 1) -> list[str]:
    """ "queued repeated_errors", in the order of time."""
    return [_short(one) for one in (await why(stage, incident)).decisions]


async def lines(stage: Stage, language: str, incident: int = 1) -> tuple[str, ...]:
    """Times in UTC, without saying so."""
    found = await why(stage, incident)
    say = Phrasebook(Translator(language), ZoneInfo("UTC"), stage.clock.at, found.names.get)
    return tuple(line.replace(" UTC", "") for line in why_lines(say, found.decisions, PLACES.get))


async def check_lines(stage: Stage, name: str, *incidents: int) -> None:
    """The lines of each incident (1 if none is named), in both languages, are those of `NAME.txt`."""
    parts = [
        "\n".join((f"# {language}, incident {incident}", *await lines(stage, language, incident)))
        for language in ("en", "ru")
        for incident in incidents or (1,)
    ]
    text = "\n\n".join(parts) + "\n"
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("DOZOR_REWRITE_SNAPSHOTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.exists(), f"no snapshot {path.name}: run with DOZOR_REWRITE_SNAPSHOTS=1"
    assert text == path.read_text("utf-8")


def _short(decision: NotifyDecision) -> str:
    return " ".join(part for part in (decision.reason, decision.because, decision.kind) if part)
