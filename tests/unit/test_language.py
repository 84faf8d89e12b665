"""The language of a process, and how its texts are put together."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from dozor.language import Translator
from dozor.language.process import from_environment, from_text
from dozor.language.times import ago, ahead, clock, duration, rough


@pytest.mark.parametrize(
    ("env", "language"),
    [
        ({}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru"}, "ru"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "run_RD"}, "en"),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ru_RU"}, "ru"),
        ({"LC_MESSAGES": "ru_RU", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "ru_RU"}, "ru"),
        ({"LC_CTYPE": "ru_RU", "LANGUAGE": "ru"}, "en"),
    ],
)
def test_auto_follows_the_first_variable_that_is_set(env: dict[str, str], language: str) -> None:
    assert from_environment(env) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("tasks: {", "ru"),
        ("language: en\ntasks: {", "en"),
        ("language: 'en'   # log and alerts\n\ttasks:", "en"),
        ("tasks: {\nlanguage: en\n", "en"),
        ("web:\n  language: en\n", "ru"),
        ("language: auto\n", "ru"),
        ("language: ${NO_SUCH:-en}\n", "en"),
        ("language: ${MINE}\n", "en"),
        ("language: klingon\n", "ru"),
        ("language:\n", "ru"),
    ],
)
def test_the_language_of_a_broken_configuration_is_found(text: str, language: str) -> None:
    assert from_text(text, {"LANG": "ru_RU", "MINE": "en"}) == language


def test_a_missing_argument_is_an_error_and_not_a_hole_in_the_text() -> None:
    with pytest.raises(ValueError, match="alert-recovered"):
        Translator("ru").format("alert-recovered")


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        Translator("ru").format("no-such-key")


def test_no_isolation_marks_around_arguments() -> None:
    assert Translator("ru").format("alert-recovered", task="x") == "✅ x снова работает"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 ошибка подряд"),
        (2, "2 ошибки подряд"),
        (5, "5 ошибок подряд"),
        (11, "11 ошибок подряд"),
        (21, "21 ошибка подряд"),
    ],
)
def test_russian_plurals(count: int, words: str) -> None:
    text = Translator("ru").format("alert-repeated", sign="⚠️", task="t", failures=count, since="12:00")
    assert (words in text) == (count != 1)
    if count == 1:
        assert text == "⚠️ t: ошибка в 12:00"


@pytest.mark.parametrize(
    ("seconds", "russian", "english"),
    [
        (-5, "0 с", "0 s"),
        (0.42, "420 мс", "420 ms"),
        (45, "45 с", "45 s"),
        (60, "1 мин", "1 min"),
        (192, "3 мин 12 с", "3 min 12 s"),
        (4800, "1 ч 20 мин", "1 h 20 min"),
        (86400, "1 день", "1 day"),
        (2 * 86400 + 4 * 3600, "2 дня 4 ч", "2 days 4 h"),
        (5 * 86400, "5 дней", "5 days"),
    ],
)
def test_durations_in_words(seconds: float, russian: str, english: str) -> None:
    assert duration(Translator("ru"), seconds) == russian
    assert duration(Translator("en"), seconds) == english


def test_distances_in_time() -> None:
    russian, english = Translator("ru"), Translator("en")
    assert ago(russian, 200) == "3 мин назад"
    assert ago(english, 200) == "3 min ago"
    assert ago(russian, 0.5) == "только что"
    assert ahead(russian, 60) == "через 1 мин"
    assert ahead(english, -1) == "now"
    assert rough(russian, 23 * 86400) == "23 дня"


def test_clock_times_stand_in_the_configured_zone() -> None:
    now = 1764000180.0  # 2025-11-24 16:03:00 UTC
    moscow = ZoneInfo("Europe/Moscow")
    assert clock(now, moscow, now) == "19:03:00"
    assert clock(now, UTC, now) == "16:03:00 UTC"
    assert clock(now - 86400, moscow, now) == "23.11 19:03"
    assert clock(now - 400 * 86400, moscow, now) == "20.10.2024 19:03"
