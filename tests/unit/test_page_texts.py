"""Times and schedules on the status page."""

from __future__ import annotations

import dataclasses
from zoneinfo import ZoneInfo

import pytest

from dozor.config.tasks import Continuous, Cron, Every, Schedule
from dozor.language.names import Language
from dozor.supervision.core.state import State
from dozor.web.texts import exactly, schedule_text, span, texts_of

RU, EN = texts_of(Language.RU), texts_of(Language.EN)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (200_000, "2 d")],
)
def test_a_distance_is_its_largest_unit(seconds: float, text: str) -> None:
    assert span(EN, seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.25 s"), (15, "15 s"), (90, "1 min 30 s"), (3600, "1 h"), (90_061, "1 d 1 h 1 min 1 s")],
)
def test_an_interval_is_told_exactly(seconds: float, text: str) -> None:
    assert exactly(EN, seconds) == text


@pytest.mark.parametrize(
    ("schedule", "ru", "en"),
    [
        (Every(60.0), "каждые 1 мин", "every 1 min"),
        (Continuous(), "без перерыва", "continuous"),
        (Cron("*/5 * * * *", ZoneInfo("UTC")), "cron */5 * * * * (UTC)", "cron */5 * * * * (UTC)"),
    ],
)
def test_a_schedule_in_both_languages(schedule: Schedule, ru: str, en: str) -> None:
    assert (schedule_text(RU, schedule), schedule_text(EN, schedule)) == (ru, en)


def test_both_languages_know_every_state_and_leave_no_text_empty() -> None:
    for texts in (RU, EN):
        assert set(texts.states) == {state.value for state in State}
        assert all(dataclasses.asdict(texts).values())
