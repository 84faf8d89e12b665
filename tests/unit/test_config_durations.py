from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.config.values.durations import LONGEST, format_duration, parse_duration, parse_positive


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("250ms", 0.25),
        ("60s", 60),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172800),
        ("1d1h1m1s1ms", 90061.001),
        ("1.5h", 5400),
        (" 60s ", 60),
        ("60", 60),
        ("0.5", 0.5),
        (60, 60),
        (0.5, 0.5),
        ("0s", 0),
        (0, 0),
        ("36500d", LONGEST),
    ],
)
def test_a_duration_is_read(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "", " ", "s", "60x", "5M", "5 m", "-5m", "1m1h", "1m1m", "1:30", "1e3", "٥s", "60s!", "1h30", "ms1",
        True, False, None, [], {}, -1, -0.5, math.nan, math.inf, -math.inf, "36501d", 10**400,
        "9" * 5000 + "s", "nan", "inf", "1_000",
    ],
)  # fmt: skip
def test_nonsense_is_no_duration_and_the_error_says_what_is(written: object) -> None:
    with pytest.raises(ValueError, match="write 60s, 5m, 1h30m or a number of seconds") as caught:
        parse_duration(written)
    assert "{value}" in str(caught.value)


@pytest.mark.parametrize("written", [0, "0s", "0ms", "0.0001", 0.0009])
def test_less_than_a_millisecond_is_too_short_where_time_must_pass(written: object) -> None:
    with pytest.raises(ValueError, match="shortest is 1ms"):
        parse_positive(written)


@given(st.integers(min_value=0, max_value=int(LONGEST * 1000)))
def test_every_whole_number_of_milliseconds_survives_writing_and_reading(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.text())
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        assert "write" in str(error)  # noqa: PT017 -- either outcome is right
    else:
        assert 0 <= seconds <= LONGEST
