"""Times and schedules on the status page."""

from __future__ import annotations

import dataclasses
import re
from zoneinfo import ZoneInfo

import pytest

from dozor.alerting.model.notification import NotificationKind
from dozor.config.sections.tasks import Continuous, Cron, Every, Schedule
from dozor.language.names import Language
from dozor.supervision.core.state import RunOutcome, State
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
        assert set(texts.counted) == set(texts.states)
        assert set(texts.messages) == {kind.value for kind in NotificationKind}
        assert set(texts.outcomes) == {outcome.value for outcome in RunOutcome}


def test_every_plural_has_the_forms_of_its_language() -> None:
    """Of whole numbers, as CLDR has them: Russian one, few and many, English one and other."""
    plurals = [field.name for field in dataclasses.fields(RU) if field.type == "Plural"]
    assert len(plurals) > 5
    for name in plurals:
        assert set(getattr(RU, name)) == {"one", "few", "many"}, name
        assert set(getattr(EN, name)) == {"one", "other"}, name
    assert {frozenset(forms) for forms in RU.counted.values()} == {frozenset(("one", "few", "many"))}
    assert {frozenset(forms) for forms in EN.counted.values()} == {frozenset(("one", "other"))}


def test_both_languages_are_filled_in_with_the_same_values() -> None:
    def values(text: object) -> set[str]:
        if isinstance(text, dict):
            return set().union(*(values(one) for one in text.values()))
        return set(re.findall(r"\{(\w+)\}", str(text)))

    for field in dataclasses.fields(RU):
        assert values(getattr(RU, field.name)) == values(getattr(EN, field.name)), field.name
