"""Lengths of time on the command line, written as in the chat; a bare number is asked about."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from dozor.cli.alert_commands import _period, _words
from dozor.errors import CommandRefusedError
from dozor.language import Language
from dozor.language.process import language_in_use, use_language

ZONE = ZoneInfo("UTC")
LENGTHS: list[tuple[tuple[str, ...], float | None, str]] = [
    (("30", "минут"), 1800, ""),
    (("30 минут",), 1800, ""),
    (("2", "часа", "выкатка"), 7200, "выкатка"),
    (("1", "h"), 3600, ""),
    (("for", "90m", "a", "deployment"), 5400, "a deployment"),
    (("1:30",), 5400, ""),
    (("1h30m",), 5400, ""),
    (("полчаса",), 1800, ""),
    (("до", "18:00"), None, ""),
    (("until", "tomorrow", "9:00", "holiday"), None, "holiday"),
]
REFUSED: list[tuple[tuple[str, ...], dict[Language, str]]] = [
    (("30",), {Language.EN: "30 of what", Language.RU: "30 чего"}),
    (("0m",), {Language.EN: "more than zero", Language.RU: "больше нуля"}),
    (("40d",), {Language.EN: "at most 30 days", Language.RU: "не больше 30 дней"}),
    (("soon",), {Language.EN: "not a length of time", Language.RU: "не срок"}),
]


@pytest.mark.parametrize(("words", "seconds", "reason"), LENGTHS)
def test_a_length_is_read_as_in_the_chat(words: tuple[str, ...], seconds: float | None, reason: str) -> None:
    found = _period(_words(words), ZONE, with_reason=True)
    if seconds is not None:
        assert found["seconds"] == seconds
    assert 0 < found["seconds"] <= 2 * 86_400
    assert found.get("reason", "") == reason


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(("words", "expected"), REFUSED)
def test_what_is_no_length_is_refused_with_an_example(
    words: tuple[str, ...], expected: dict[Language, str], language: Language
) -> None:
    before = language_in_use()
    use_language(language)
    try:
        with pytest.raises(CommandRefusedError, match=expected[language]):
            _period(words, ZONE, with_reason=True)
    finally:
        use_language(before)


def test_words_after_a_length_that_takes_no_reason_are_refused() -> None:
    with pytest.raises(CommandRefusedError, match="not a length of time"):
        _period(("1h", "later"), ZONE, with_reason=False)
