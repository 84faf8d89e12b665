"""Lengths of time as people write them in a chat, in Russian and English. Pure.

Either a length ("30 минут", "2 ч 30 мин", "полчаса", "1h30m", "1:30") or a moment ("до 18:00", "until
tomorrow 9:00"). A moment without a date is the next one of that time. A bare number has no unit: whoever
wrote it must be asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from enum import Enum, auto

MINUTE, HOUR, DAY, WEEK = 60.0, 3600.0, 86_400.0, 604_800.0
LONGEST = 30 * DAY
"""Seconds: nobody remembers a longer silence."""
SHORTEST = 1.0


@dataclass(frozen=True, slots=True)
class Lasting:
    """`seconds` from now; `words`: how many of the words belong to it."""

    seconds: float
    words: int


@dataclass(frozen=True, slots=True)
class WithoutUnit:
    """A bare number, such as 30."""

    number: int


class Unusable(Enum):
    """Why it is no length of time."""

    NOT_UNDERSTOOD = auto()
    NOT_POSITIVE = auto()
    """Zero or less, or a date in the past."""
    TOO_LONG = auto()
    """More than `LONGEST`."""


Period = Lasting | WithoutUnit | Unusable

_UNITS: dict[float, str] = {
    1.0: "s sec secs second seconds с сек секунда секунды секунд секунду",
    MINUTE: "m min mins minute minutes м мин минута минуты минут минуту минутку минуточку",
    HOUR: "h hr hrs hour hours ч час часа часов часик",
    DAY: "d day days д дн день дня дней сутки суток",
    WEEK: "w wk week weeks н нед неделя недели недель неделю",
}
_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names.split()}
_HALF = {"полчаса": 0.5 * HOUR, "полчасика": 0.5 * HOUR, "полминуты": 0.5 * MINUTE, "полдня": 0.5 * DAY}
_NUMBERS = {
    name: value
    for value, names in (
        (0.5, "пол half"),
        (1.0, "a an one один одна одну одно"),
        (1.5, "полтора полторы полутора"),
        (2.0, "two два две пару пара"),
        (3.0, "three три"),
        (4.0, "four четыре"),
        (5.0, "five пять"),
        (6.0, "six шесть"),
        (8.0, "eight восемь"),
        (10.0, "ten десять"),
        (12.0, "twelve двенадцать"),
        (15.0, "fifteen пятнадцать"),
        (20.0, "twenty двадцать"),
        (30.0, "thirty тридцать"),
        (40.0, "forty сорок"),
    )
    for name in names.split()
}
_FOR = frozenset(("на", "for"))
_UNTIL = frozenset(["до", "until", "till", "til", "по"])
_JOINING = frozenset(("и", "and", "of", "с"))
_DAYS = {"сегодня": 0, "today": 0, "tonight": 0, "завтра": 1, "tomorrow": 1, "послезавтра": 2}
_TIMES = {
    "утра": 9, "утром": 9, "morning": 9, "полудня": 12, "обеда": 12, "noon": 12, "вечера": 18,
    "вечером": 18, "evening": 18, "полуночи": 24, "midnight": 24,
}  # fmt: skip
_WEEKDAYS = {
    name: number
    for number, names in enumerate(
        (
            "понедельника понедельник пн monday mon",
            "вторника вторник вт tuesday tue",
            "среды среда ср wednesday wed",
            "четверга четверг чт thursday thu",
            "пятницы пятница пт friday fri",
            "субботы суббота сб saturday sat",
            "воскресенья воскресенье вс sunday sun",
        )
    )
    for name in names.split()
}
_PART = re.compile(r"([0-9]{1,9}(?:[.,][0-9]{1,6})?)([a-zа-яё]+)")
_NUMBER = re.compile(r"[+−-]?[0-9]{1,9}(?:[.,][0-9]{1,6})?")
_CLOCK = re.compile(r"([0-9]{1,2})(?:[:.]([0-9]{2}))?(am|pm)?")
_HOURS_AND_MINUTES = re.compile(r"([0-9]{1,3}):([0-5][0-9])")
_DATE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})(?:\.([0-9]{4}))?|([0-9]{4})-([0-9]{2})-([0-9]{2})")


def parse_period(words: Sequence[str], now: float, timezone: tzinfo) -> Period:
    """As many of the first words as belong to it.

    `now`: seconds since the epoch; moments are in `timezone`.
    """
    plain = [word.casefold().replace("ё", "е").rstrip(",;") for word in words]
    skipped = 1 if plain and plain[0] in _FOR and len(plain) > 1 else 0
    rest = plain[skipped:]
    if not rest:
        return Unusable.NOT_UNDERSTOOD
    found = _until(rest[1:], now, timezone) if rest[0] in _UNTIL else _length(rest)
    if not isinstance(found, tuple):
        return found
    seconds, used = found
    if seconds < SHORTEST:
        return Unusable.NOT_POSITIVE
    if seconds > LONGEST:
        return Unusable.TOO_LONG
    return Lasting(seconds, skipped + used + (1 if rest[0] in _UNTIL else 0))


# -- lengths


def _length(words: Sequence[str]) -> tuple[float, int] | WithoutUnit | Unusable:
    if words[0][:1] in "-−" and len(words[0]) > 1:
        return Unusable.NOT_POSITIVE if _starts_like_a_length(words[0][1:]) else Unusable.NOT_UNDERSTOOD
    if clock := _HOURS_AND_MINUTES.fullmatch(words[0]):
        return int(clock[1]) * HOUR + int(clock[2]) * MINUTE, 1
    total, place = 0.0, 0
    while place < len(words):
        joined = words[place] in _JOINING and place > 0
        part = _part(words[place + 1 :] if joined else words[place:])
        if part is None and place == 0 and len(words[0]) > 2 and (unit := _unit(words[0])) is not None:
            part = unit, 1  # "час", "hour", "сутки"
        if part is None:
            break
        total += part[0]
        place += part[1] + (1 if joined else 0)
    if place:
        return total, place
    if _NUMBER.fullmatch(words[0]):
        number = float(words[0].replace(",", "."))
        return WithoutUnit(int(number)) if number >= 1 else Unusable.NOT_POSITIVE
    return Unusable.NOT_UNDERSTOOD


def _starts_like_a_length(word: str) -> bool:
    return (
        bool(_NUMBER.fullmatch(word)) or bool(_HOURS_AND_MINUTES.fullmatch(word)) or _glued(word) is not None
    )


def _part(words: Sequence[str]) -> tuple[float, int] | None:
    """One amount with its unit, and how many words it is."""
    if not words:
        return None
    first, second = words[0], _unit(words[1]) if len(words) > 1 else None
    if first in _HALF:
        return _HALF[first], 1
    if (glued := _glued(first)) is not None:
        return glued, 1
    if _NUMBER.fullmatch(first) and second is not None:
        return float(first.replace(",", ".")) * second, 2
    if first in _NUMBERS:
        if second is not None:
            return _NUMBERS[first] * second, 2
        after = list(words[1:])
        if after and after[0] in ("a", "an", "of") and len(after) > 1 and (unit := _unit(after[1])):
            return _NUMBERS[first] * unit, 3  # half an hour
    return None


def _glued(word: str) -> float | None:
    """ "1h30m", "90мин"."""
    total, place = 0.0, 0
    while place < len(word):
        part = _PART.match(word, place)
        unit = None if part is None else _unit(part[2])
        if part is None or unit is None:
            return None
        total += float(part[1].replace(",", ".")) * unit
        place = part.end()
    return total if place else None


def _unit(word: str) -> float | None:
    return _SECONDS.get(word.rstrip("."))


# -- moments


def _until(words: Sequence[str], now: float, timezone: tzinfo) -> tuple[float, int] | Unusable:
    """Seconds until it, and how many words it is."""
    here = datetime.fromtimestamp(now, timezone)
    day, at, used = None, None, 0
    for word in words[:5]:
        if word in ("в", "at", "on", "во", "утра", "the") and used and word not in _TIMES:
            used += 1
        elif day is None and (found := _day(word, here)) is not None:
            day, used = found, used + 1
        elif at is None and (clock := _clock(word)) is not None:
            at, used = clock, used + 1
        elif at is not None and word in ("am", "pm", "утра", "дня", "вечера", "ночи", "часов", "часа", "ч"):
            at, used = _by_half_of_day(at, word), used + 1
        else:
            break
    if day is None and at is None:
        return Unusable.NOT_UNDERSTOOD
    hours, minutes = at or (0, 0)
    if at is None and day == here.date():
        hours = 24  # until the end of today
    begin = datetime.combine(here.date() if day is None else day, datetime.min.time())
    moment = (begin + timedelta(hours=hours, minutes=minutes)).replace(tzinfo=timezone)
    if day is None and moment.timestamp() <= now:
        moment = (begin + timedelta(days=1, hours=hours, minutes=minutes)).replace(tzinfo=timezone)
    return moment.timestamp() - now, used


def _day(word: str, here: datetime) -> date | None:
    """A date; None: the word names none."""
    today = here.date()
    if word in _DAYS:
        return today + timedelta(days=_DAYS[word])
    if word in _WEEKDAYS:
        return today + timedelta(days=(_WEEKDAYS[word] - today.weekday() - 1) % 7 + 1)
    found = _DATE.fullmatch(word)
    if found is None:
        return None
    day, month, year, iso_year, iso_month, iso_day = found.groups()
    try:
        if iso_year is not None:
            return date(int(iso_year), int(iso_month), int(iso_day))
        if int(month) > 12 or int(day) > 31:
            return None
        named = date(int(year or today.year), int(month), int(day))
        return named.replace(named.year + 1) if year is None and named < today else named
    except ValueError:
        return None


def _clock(word: str) -> tuple[int, int] | None:
    if word in _TIMES:
        return _TIMES[word], 0
    found = _CLOCK.fullmatch(word)
    if found is None:
        return None
    hours, minutes = int(found[1]), int(found[2] or 0)
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        return None
    return _by_half_of_day((hours, minutes), found[3]) if found[3] else (hours, minutes)


def _by_half_of_day(at: tuple[int, int], word: str) -> tuple[int, int]:
    hours, minutes = at
    if word in ("pm", "дня", "вечера") and hours < 12:
        return hours + 12, minutes
    if word in ("am", "ночи") and hours == 12:
        return 0, minutes
    return at
