"""Pictures in the documentation are what the program really shows."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from runner.alerting.notification import Facts, Notification, NotificationKind, Severity
from runner.alerting.render import render
from runner.language.translator import Translator
from tests.docs.pages import blocks_of
from tests.house.sources import ROOT

MOSCOW = ZoneInfo("Europe/Moscow")
BEGAN = datetime(2026, 3, 2, 14, 3, 20, tzinfo=MOSCOW).timestamp()


def shown(
    translator: Translator, kind: NotificationKind, severity: Severity, after: float, facts: Facts
) -> str:
    """A message as a chat shows it, its buttons under it."""
    note = Notification(
        key="1-1",
        kind=kind,
        severity=severity,
        created_at=BEGAN + after,
        task="ton_deposits",
        incident_id=17,
        facts=facts,
    )
    message = render(note, translator, MOSCOW, BEGAN + after)
    buttons = ["  ".join(f"[ {button.label} ]" for button in row) for row in message.buttons]
    return "\n".join([message.plain, *buttons])


@pytest.mark.parametrize(("page", "language"), [("README.md", "en"), ("README.ru.md", "ru")])
def test_the_incident_in_the_readme_is_as_the_chat_shows_it(page: str, language: str) -> None:
    translator = Translator(language)
    error = Facts(
        max_failures=5,
        error_type="TimeoutError",
        error_text="TON API did not answer in 10 s",
        error_where="ton_deposits.py:58 in read_page",
        failing_since=BEGAN,
    )
    messages = [
        (
            NotificationKind.REPEATED_ERRORS,
            Severity.WARNING,
            120,
            replace(error, failures=3, next_run_at=BEGAN + 180),
        ),
        (NotificationKind.CRITICAL_STOP, Severity.CRITICAL, 240, replace(error, failures=5)),
        (
            NotificationKind.RECOVERED,
            Severity.INFO,
            420,
            Facts(failing_since=BEGAN, lasted=420, by="telegram:111"),
        ),
    ]
    expected = "\n\n".join(shown(translator, *message) for message in messages)
    (picture,) = [block for block in blocks_of(ROOT / page) if block.about == "rendered"]
    assert picture.text.strip() == expected


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] in ("Unreleased", importlib.metadata.version("dozor"))
    assert importlib.metadata.version("dozor") in versions
