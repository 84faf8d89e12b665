"""Pictures in the documentation are what the program really shows."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from runner.alerting.incident import Incident, IncidentKind, IncidentState
from runner.alerting.notification import Facts, Notification, NotificationKind, Severity
from runner.alerting.wording import Wording
from runner.language.translator import Translator
from tests.docs.pages import blocks_of
from tests.house.sources import ROOT

MOSCOW = ZoneInfo("Europe/Moscow")
BEGAN = datetime(2026, 3, 2, 14, 3, 20, tzinfo=MOSCOW).timestamp()
TASK = "ton_deposits"
FAILURE = Facts(
    max_failures=5,
    error_type="TimeoutError",
    error_text="TON API did not answer in 10 s",
    error_where="ton_deposits.py:58 in read_page",
    failing_since=BEGAN,
)
INCIDENT = Incident(
    id=17,
    task=TASK,
    kind=IncidentKind.REPEATED_ERRORS,
    severity=Severity.WARNING,
    state=IncidentState.OPEN,
    fingerprint="",
    summary="",
    failures=3,
    opened_at=BEGAN,
    updated_at=BEGAN,
    notified_at=BEGAN,
)


@dataclass(frozen=True, slots=True)
class StoppedClock:
    at: float

    def now(self) -> float:
        return self.at


def shown(language: str, kind: NotificationKind, after: float, facts: Facts, incident: Incident) -> str:
    """A message as a chat shows it `after` seconds, its buttons under it."""
    note = Notification(
        key="1-1",
        kind=kind,
        severity=incident.severity,
        created_at=BEGAN + after,
        task=TASK,
        incident_id=incident.id,
        facts=facts,
    )
    message = Wording(Translator(language), MOSCOW, StoppedClock(BEGAN + after)).note(note, incident)
    buttons = ["  ".join(f"[ {button.label} ]" for button in row) for row in message.buttons]
    return "\n".join([message.plain, *buttons])


@pytest.mark.parametrize(("page", "language"), [("README.md", "en"), ("README.ru.md", "ru")])
def test_the_incident_in_the_readme_is_as_the_chat_shows_it(page: str, language: str) -> None:
    stopped = replace(INCIDENT, kind=IncidentKind.CRITICAL_STOP, severity=Severity.CRITICAL)
    resolved = replace(stopped, state=IncidentState.RESOLVED, severity=Severity.INFO)
    failing = replace(FAILURE, failures=3, next_run_at=BEGAN + 180)
    recovered = Facts(failing_since=BEGAN, lasted=420, by="telegram:111")
    messages = (
        shown(language, NotificationKind.REPEATED_ERRORS, 120, failing, INCIDENT),
        shown(language, NotificationKind.CRITICAL_STOP, 240, replace(FAILURE, failures=5), stopped),
        shown(language, NotificationKind.RECOVERED, 420, recovered, resolved),
    )
    (picture,) = [block for block in blocks_of(ROOT / page) if block.about == "rendered"]
    assert picture.text.strip() == "\n\n".join(messages)


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] in ("Unreleased", importlib.metadata.version("dozor"))
    assert importlib.metadata.version("dozor") in versions
