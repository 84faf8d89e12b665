"""Texts, durations and schedules of the status page in a language."""

from __future__ import annotations

from typing import assert_never

from dozor.config.sections.tasks import Continuous, Cron, Every, Schedule
from dozor.language.names import Language
from dozor.web.texts.english import ENGLISH
from dozor.web.texts.keys import Texts
from dozor.web.texts.russian import RUSSIAN


def texts_of(language: Language) -> Texts:
    return RUSSIAN if language is Language.RU else ENGLISH


def span(texts: Texts, seconds: float) -> str:
    """The largest unit alone, as page.js has it too."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, texts.days), (3600, texts.hours), (60, texts.minutes)):
        if whole >= size:
            return f"{whole // size} {unit}"
    return f"{whole} {texts.seconds}"


def exactly(texts: Texts, seconds: float) -> str:
    """All units that are not 0: "1 min 30 s", "0.25 s"."""
    if seconds < 60 and seconds != int(seconds):
        return f"{seconds:g} {texts.seconds}"
    parts, rest = [], round(seconds)
    for size, unit in ((86400, texts.days), (3600, texts.hours), (60, texts.minutes), (1, texts.seconds)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def schedule_text(texts: Texts, schedule: Schedule) -> str:
    """When a task runs."""
    match schedule:
        case Every(seconds):
            return texts.every.format(time=exactly(texts, seconds))
        case Cron():
            return str(schedule)
        case Continuous():
            return texts.continuous
        case _:
            assert_never(schedule)
