"""What exceeds a message goes into its file: all of it, readable, and only once."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dozor.alerting.model.full_text import (
    ATTACHABLE,
    KEPT,
    WHOLE,
    attachment_text,
    set_text,
    without_attachment,
)
from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.model.safe_text import printable, utf16_length
from dozor.alerting.rendering.attachment import NOTE_UNITS
from dozor.alerting.rendering.render import MESSAGE_UNITS, render
from dozor.config.values.incident_kinds import Severity
from dozor.language import Translator
from tests.effort import cases

NOW = 1764000060.0
LINES = "\n".join(f"item {number}: off by {number * 7} 🦊" for number in range(500))


def say(
    kind: NotificationKind, facts: AlertData, task: str | None = "payouts", language: str = "ru"
) -> Message:
    note = Notification(
        key="k", kind=kind, severity=Severity.CRITICAL, created_at=NOW, task=task, facts=facts
    )
    message = render(note, Translator(language), ZoneInfo("UTC"), NOW)
    room = NOTE_UNITS if message.document else 0
    assert utf16_length(message.plain) <= MESSAGE_UNITS - room
    return message


def test_a_long_text_of_a_checker_is_shown_in_part_and_whole_in_the_file() -> None:
    message = say(NotificationKind.CHECKER, set_text(AlertData(), LINES))
    assert message.plain.startswith("🔴 payouts: item 0: off by 0 🦊\nitem 1")
    assert message.plain.endswith("…")
    document = message.document
    assert document is not None
    assert document.text == LINES
    assert document.name == "payouts-2025-11-24-160100.txt"
    assert document.note == "📎 Целиком: в файле под этим сообщением"


@pytest.mark.parametrize("kind", [NotificationKind.CHECKER, NotificationKind.RELOAD_REFUSED])
@pytest.mark.parametrize("text", ["", "short", "x" * KEPT, "слово " * 300])
def test_what_fits_has_no_file(kind: NotificationKind, text: str) -> None:
    assert say(kind, set_text(AlertData(), text)).document is None


def test_a_text_that_is_kept_whole_and_still_too_wide_has_a_file() -> None:
    text = "😀" * KEPT  # two units each
    facts = set_text(AlertData(), text)
    assert facts.whole is None
    document = say(NotificationKind.CHECKER, facts).document
    assert document is not None
    assert document.text == text


def test_a_long_reason_of_a_trouble_and_a_refused_configuration_have_files() -> None:
    reason = "could not connect: " + "a detail, " * 100
    trouble = set_text(AlertData(trouble="dependency", subject="TON"), reason)
    assert _text(say(NotificationKind.TROUBLE, trouble, task=None)) == reason
    shown, problems = "tasks.a: no", "tasks.a: no\ntasks.b: no"
    refused = say(NotificationKind.RELOAD_REFUSED, set_text(AlertData(), problems, shown), task=None)
    assert shown in refused.plain
    assert "tasks.b" not in refused.plain
    assert _text(refused) == problems
    assert refused.document is not None
    assert refused.document.name.startswith("dozor-")


@pytest.mark.parametrize("kind", [NotificationKind.REPEATED_ERRORS, NotificationKind.CRITICAL_STOP])
def test_a_long_error_brings_its_traceback_and_a_short_one_does_not(kind: NotificationKind) -> None:
    long, short = (
        AlertData(error_type="E", error_text="x" * 900),
        AlertData(error_type="E", error_text="x" * 600),
    )
    traceback = "Traceback (most recent call last):\n  …\nE: " + "x" * 5000
    assert attachment_text(short, traceback) is None
    assert attachment_text(long, traceback) == traceback
    assert attachment_text(long, "") is None
    facts = AlertData(error_type="E", error_text="x" * 900, whole=traceback)
    assert _text(say(kind, facts)) == traceback
    assert _text(say(kind, long)) == "E: " + "x" * 900  # told late: the incident keeps no traceback
    assert say(kind, short).document is None


def test_what_was_cut_before_the_file_says_so() -> None:
    stored = AlertData(error_type="E", error_text="x" * KEPT)
    text = _text(say(NotificationKind.CRITICAL_STOP, stored, language="en"))
    assert text.endswith("\n\n[Cut here: Dozor keeps the first 2,000 characters.]")
    huge = set_text(AlertData(), "y" * 1_000_000)
    assert len(huge.whole or "") == WHOLE + 1
    text = _text(say(NotificationKind.CHECKER, huge, language="en"))
    assert text == "y" * WHOLE + "\n\n[Cut here: Dozor keeps the first 65,536 characters.]"
    just = set_text(AlertData(), "z" * WHOLE)
    assert _text(say(NotificationKind.CHECKER, just)) == "z" * WHOLE


@pytest.mark.parametrize("kind", sorted(set(NotificationKind) - ATTACHABLE))
def test_what_repeats_or_ends_something_brings_no_file(kind: NotificationKind) -> None:
    facts = AlertData(error_type="E", error_text="x" * 1500, text="y" * 1500, failing_since=NOW, lasted=1.0)
    assert say(kind, facts).document is None


def test_a_list_longer_than_a_message_is_whole_in_its_file() -> None:
    names = tuple(f"task {number} " + "x" * 180 for number in range(20))
    facts = AlertData(lines=names, count=20, text="because " * 80)
    message = say(NotificationKind.SILENCE_OVER, facts, task=None)
    assert names[-1] not in message.plain
    text = _text(message)
    assert text.startswith(message.plain.removesuffix("…"))
    assert names[-1] in text


def test_an_incident_keeps_no_whole_text() -> None:
    facts = set_text(AlertData(subject="s"), LINES)
    assert without_attachment(facts) == AlertData(subject="s", text=facts.text)
    assert len(facts.text or "") <= KEPT


HOSTILE = ["\x00" * 70_000, "\ud800\udfff" * 40_000, "\u202e\x1b[31m" * 9000, "🇷🇺" * 9000, "e\u0301" * 70_000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", sorted(ATTACHABLE))
def test_a_hostile_text_is_a_legible_file(kind: NotificationKind, text: str) -> None:
    facts = set_text(AlertData(error_type="E", error_text=text[:KEPT], failing_since=NOW), text)
    _legible(_text(say(kind, facts, task="../../\x00etc")))


@settings(max_examples=cases(40, 200), deadline=None)
@given(st.text(st.characters()), st.integers(0, 4000))
def test_any_text_is_legible(text: str, times: int) -> None:
    shown = printable(text)
    _legible(shown)
    assert len(shown) == len(text.replace("\r\n", "\n"))
    facts = set_text(AlertData(), text * times)
    assert len(facts.text or "") <= KEPT
    assert (facts.whole is None) == (len(text * times) <= KEPT)


def _legible(text: str) -> None:
    assert not set(text) & set("\x00\x1b\u202e\r")
    text.encode("utf-8")


def _text(message: Message) -> str:
    assert message.document is not None
    assert "/" not in message.document.name
    return message.document.text
