"""`web.public_url`: what is taken, and the link that alerts carry with it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.model.safe_text import utf16_length
from dozor.alerting.rendering.render import MESSAGE_UNITS
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.config.values.addresses import parse_public_url
from dozor.config.values.incident_kinds import Severity
from dozor.language.translator import Translator
from tests.alerting.story import ManualClock

URL = "https://dozor.example.com/watch"


def note(task: str | None, text: str = "no") -> Notification:
    return Notification(
        key="1",
        kind=NotificationKind.CHECKER,
        severity=Severity.WARNING,
        created_at=0.0,
        task=task,
        facts=AlertData(text=text),
    )


def words(public_url: str | None) -> MessageRenderer:
    return MessageRenderer(Translator("en"), ZoneInfo("UTC"), ManualClock(), public_url=public_url)


def test_an_alert_of_a_task_ends_with_the_address_of_its_page() -> None:
    assert (
        words(URL).notification(note("presale.checker-1")).plain.endswith(f"\n{URL}/task/presale.checker-1")
    )


@pytest.mark.parametrize(("url", "task"), [(None, "presale_checker"), (URL, None)])
def test_without_an_address_or_a_task_there_is_no_link(url: str | None, task: str | None) -> None:
    assert "http" not in words(url).notification(note(task)).plain


@pytest.mark.parametrize("text", ["x" * 10_000, "я" * 4096, "😀" * 3000])
def test_the_link_has_room_under_any_text(text: str) -> None:
    message = words(URL).notification(note("a", text))
    assert utf16_length(message.plain) <= MESSAGE_UNITS
    assert message.plain.endswith(f"\n{URL}/task/a")


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (None, None),
        ("", None),
        ("https://dozor.example.com/", "https://dozor.example.com"),
        (" http://10.0.0.1:9464 ", "http://10.0.0.1:9464"),
        ("https://example.com/dozor", "https://example.com/dozor"),
    ],
)
def test_an_address_is_taken_without_its_last_slash(value: object, url: str | None) -> None:
    assert parse_public_url(value) == url


@pytest.mark.parametrize(
    "value",
    [
        5,
        "dozor.example.com",
        "ftp://example.com",
        "https://",
        "https://a:b@c",
        "https://a/?b=c",
        "https://[x",
    ],
)
def test_what_is_no_address_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"write https://dozor\.example\.com or null"):
        parse_public_url(value)
