"""Lengths of time as people write them, in both languages."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.control.commands.periods import (
    LONGEST,
    Lasting,
    LengthOrMoment,
    Period,
    Unusable,
    WithoutUnit,
    parse_period,
)

ZONE = ZoneInfo("Europe/Moscow")
NOW = datetime(2026, 11, 28, 15, 0, tzinfo=ZONE).timestamp()  # a Saturday
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def _read(text: str) -> Period:
    return parse_period(text.split(), NOW, ZONE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30 минут", 30 * MINUTE), ("2 часа", 2 * HOUR), ("полчаса", 30 * MINUTE), ("1 h", HOUR),
        ("90m", 90 * MINUTE), ("1:30", 90 * MINUTE), ("1h30m", 90 * MINUTE), ("90мин", 90 * MINUTE),
        ("на 30 минут", 30 * MINUTE), ("for 2 hours", 2 * HOUR), ("полтора часа", 90 * MINUTE),
        ("1,5 ч", 90 * MINUTE), ("1.5h", 90 * MINUTE), ("half an hour", 30 * MINUTE), ("an hour", HOUR),
        ("час", HOUR), ("сутки", DAY), ("2 ч 30 мин", 150 * MINUTE), ("1 час и 20 минут", 80 * MINUTE),
        ("1 hour and 20 minutes", 80 * MINUTE), ("30 МИН.", 30 * MINUTE), ("пару часов", 2 * HOUR),
        ("два с половиной часа", 150 * MINUTE), ("2 с половиной часа", 150 * MINUTE),
        ("two and a half hours", 150 * MINUTE), ("час с половиной", 90 * MINUTE),
        ("минут 30", 30 * MINUTE), ("часа два", 2 * HOUR), ("минут десять", 10 * MINUTE),
        ("1h 30", 90 * MINUTE), ("1 час 30", 90 * MINUTE), ("2h30", 150 * MINUTE), ("2ч30", 150 * MINUTE),
        ("a couple of hours", 2 * HOUR), ("quarter of an hour", 15 * MINUTE), ("½ h", 30 * MINUTE),
        ("семь часов", 7 * HOUR), ("1 month", 30 * DAY), ("месяц", 30 * DAY), ("4:59", 299 * MINUTE),
        ("36:00", 36 * HOUR), ("three hours", 3 * HOUR),
        ("3 дня", 3 * DAY), ("1d12h", 36 * HOUR), ("неделю", 7 * DAY), ("45s", 45.0),
    ],
)  # fmt: skip
def test_lengths(text: str, seconds: float) -> None:
    assert _read(text) == Lasting(seconds, len(text.split()))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("до 18:00", 3 * HOUR), ("до 18", 3 * HOUR), ("until 18:00", 3 * HOUR), ("until 6pm", 3 * HOUR),
        ("until 6 pm", 3 * HOUR), ("до 9:00", 18 * HOUR), ("до 15:00", DAY),
        ("until tomorrow 9:00", 18 * HOUR),
        ("до завтра", 9 * HOUR), ("до завтра 9:00", 18 * HOUR), ("до завтра в 9:00", 18 * HOUR),
        ("until tomorrow at 9:00", 18 * HOUR), ("до утра", 18 * HOUR), ("до 9 утра", 18 * HOUR),
        ("до понедельника", 33 * HOUR), ("until monday 10:00", 43 * HOUR), ("до 01.12 10:00", 67 * HOUR),
        ("до 1 декабря", 57 * HOUR), ("until 1 December", 57 * HOUR), ("until Dec 1st", 57 * HOUR),
        ("до 1 декабря 10:00", 67 * HOUR), ("до 1-го декабря в 10:00", 67 * HOUR),
        ("until 1 December 2026", 57 * HOUR), ("till 6 p.m.", 3 * HOUR), ("until 6:00 p.m.", 3 * HOUR),
        ("until 6p.m.", 3 * HOUR), ("до 18-00", 3 * HOUR), ("до 18ч", 3 * HOUR), ("until 18h", 3 * HOUR),
        ("завтра до 9:00", 18 * HOUR), ("сегодня до 18:00", 3 * HOUR),
        ("until 2026-12-01", 57 * HOUR), ("до 24:00", 9 * HOUR), ("до полуночи", 9 * HOUR),
    ],
)  # fmt: skip
def test_moments(text: str, seconds: float) -> None:
    assert _read(text) == Lasting(seconds, len(text.split()))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("30", WithoutUnit(30)), ("30 деплой", WithoutUnit(30)), ("0", Unusable.NOT_POSITIVE),
        ("0m", Unusable.NOT_POSITIVE), ("0:00", Unusable.NOT_POSITIVE), ("-5m", Unusable.NOT_POSITIVE),
        ("-1 час", Unusable.NOT_POSITIVE), ("-30", Unusable.NOT_POSITIVE), ("−2 часа", Unusable.NOT_POSITIVE),
        ("31 день", Unusable.TOO_LONG), ("999999h", Unusable.TOO_LONG),
        ("чепуха", Unusable.NOT_UNDERSTOOD), ("soon", Unusable.NOT_UNDERSTOOD),
        ("до", Unusable.NOT_UNDERSTOOD),
        ("until 25:00", Unusable.NOT_UNDERSTOOD), ("до вчера", Unusable.NOT_UNDERSTOOD),
        ("до 32.13", Unusable.NOT_UNDERSTOOD), ("1h30x", Unusable.NOT_UNDERSTOOD),
        ("", Unusable.NOT_UNDERSTOOD),
        ("18:00", LengthOrMoment(18, 0)), ("9:30 деплой", LengthOrMoment(9, 30)),
        ("1.5", Unusable.NOT_UNDERSTOOD), ("0.5", Unusable.NOT_UNDERSTOOD),
        ("до 5 минут", Unusable.NOT_UNDERSTOOD), ("until 20 minutes", Unusable.NOT_UNDERSTOOD),
        ("до 1 января", Unusable.TOO_LONG), ("до 28 ноября 9:00", Unusable.NOT_POSITIVE),
        ("до 31 ноября", Unusable.NOT_UNDERSTOOD), ("2 months", Unusable.TOO_LONG),
        ("до сегодня 9:00", Unusable.NOT_POSITIVE),
    ],
)  # fmt: skip
def test_what_cannot_be_used(text: str, found: Period) -> None:
    assert _read(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [("2 часа деплой базы", 2), ("до 18:00 деплой", 2), ("1h с причиной", 1), ("1h день рождения", 1),
     ("1h 30 задач", 1), ("до 18:00 1 задача", 2),
     ("until tomorrow 9:00 maintenance", 3)],
)  # fmt: skip
def test_the_reason_is_left_over(text: str, words: int) -> None:
    found = _read(text)
    assert isinstance(found, Lasting)
    assert found.words == words


def test_a_moment_is_that_of_the_wall_clock_when_clocks_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    evening = datetime(2026, 10, 24, 22, 0, tzinfo=berlin).timestamp()  # the night has 25 hours
    assert parse_period(["до", "завтра", "9:00"], evening, berlin) == Lasting(12 * HOUR, 3)


@given(st.lists(st.text(max_size=12), max_size=6))
def test_anything_can_be_read(words: list[str]) -> None:
    found = parse_period(words, NOW, ZONE)
    if isinstance(found, Lasting):
        assert 0 < found.seconds <= LONGEST
        assert 0 < found.words <= len(words)
