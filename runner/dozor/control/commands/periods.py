"""Lengths of time as people write them in a chat, in Russian and English. Pure.

Either a length ("30 минут", "2 ч 30 мин", "полчаса", "1h30m", "1:30") or a moment ("до 18:00", "until
tomorrow 9:00", "до 1 декабря"). A moment without a date is the next one of that time. A bare number has no
unit, and "18:00" may be a length or a moment: whoever wrote it must be asked.
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
LENGTH_BELOW = 5
"""Hours from which "18:00" is no longer taken for a length without asking."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """`seconds` from now; `words`: how many of the words belong to it."""

    seconds: float
    words: int


@dataclass(frozen=True, slots=True)
class WithoutUnit:
    """A bare number, such as 30."""

    number: int


@dataclass(frozen=True, slots=True)
class LengthOrMoment:
    """Hours and minutes such as 18:00: of a length, or of a clock."""

    hours: int
    minutes: int


class Unusable(Enum):
    """Why it is no length of time."""

    NOT_UNDERSTOOD = auto()
    NOT_POSITIVE = auto()
    """Zero or less, or a date in the past."""
    TOO_LONG = auto()
    """More than `LONGEST`."""


Unclear = WithoutUnit | LengthOrMoment | Unusable
Period = Lasting | Unclear

_UNITS: dict[float, str] = {
    1.0: "s sec secs second seconds с сек секунда секунды секунд секунду",
    MINUTE: "m min mins minute minutes м мин минута минуты минут минуту минутку минуточку",
    HOUR: "h hr hrs hour hours ч час часа часов часик",
    DAY: "d day days д дн день дня дней сутки суток",
    WEEK: "w wk week weeks н нед неделя недели недель неделю",
    30 * DAY: "month months мес месяц месяца месяцев",
}
_SECONDS = {name: seconds for seconds, names in _UNITS.items() for name in names.split()}
_HALF = {"полчаса": 0.5 * HOUR, "полчасика": 0.5 * HOUR, "полминуты": 0.5 * MINUTE, "полдня": 0.5 * DAY}
_NUMBERS = {
    name: value
    for value, names in (
        (0.5, "пол half ½"),
        (0.25, "quarter четверть ¼"),
        (0.75, "¾"),
        (1.0, "a an one один одна одну одно"),
        (1.5, "полтора полторы полутора 1½"),
        (2.0, "two couple pair два две пару пара"),
        (2.5, "2½"),
        (3.0, "three три"),
        (4.0, "four четыре"),
        (5.0, "five пять"),
        (6.0, "six шесть"),
        (7.0, "seven семь"),
        (8.0, "eight восемь"),
        (9.0, "nine девять"),
        (10.0, "ten десять"),
        (11.0, "eleven одиннадцать"),
        (12.0, "twelve двенадцать"),
        (15.0, "fifteen пятнадцать"),
        (20.0, "twenty двадцать"),
        (30.0, "thirty тридцать"),
        (40.0, "forty сорок"),
        (45.0, "forty-five"),
        (50.0, "fifty пятьдесят"),
        (60.0, "sixty шестьдесят"),
        (90.0, "ninety девяносто"),
    )
    for name in names.split()
}
_FOR = frozenset(("на", "for"))
_UNTIL = frozenset(["до", "until", "till", "til", "по"])
_JOINING = frozenset(("и", "and", "of", "с"))
_ARTICLES = ("a", "an", "of", "the")
_BEFORE_ITS_NUMBER = frozenset(
    ("секунд", "минут", "часа", "часов", "дня", "дней", "суток", "недели", "недель")
)
_MINUTES = re.compile(r"[1-5]?[0-9]")
_AND_A_HALF = (("с", "половиной"), ("and", "a", "half"), ("and", "half"))
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "января янв january jan",
            "февраля фев february feb",
            "марта мар march mar",
            "апреля апр april apr",
            "мая may",
            "июня июн june jun",
            "июля июл july jul",
            "августа авг august aug",
            "сентября сен сент september sep sept",
            "октября окт october oct",
            "ноября ноя нояб november nov",
            "декабря дек december dec",
        ),
        1,
    )
    for name in names.split()
}
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
_CLOCK = re.compile(r"([0-9]{1,2})(?:[:.-]([0-9]{2}))?([ap]\.?m\.?)?")
_DAY_OF_MONTH = re.compile(r"([0-9]{1,2})(?:st|nd|rd|th|-?го|-?е)?")
_HALVES_OF_DAY = frozenset(("am", "pm", "a.m", "p.m", "утра", "дня", "вечера", "ночи", "часов", "часа", "ч"))
_YEAR = re.compile(r"20[0-9]{2}")
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
    if rest[0] in _DAYS and len(rest) > 2 and rest[1] in _UNTIL:
        rest = [rest[1], rest[0], *rest[2:]]  # "завтра до 9:00"
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


def _length(words: Sequence[str]) -> tuple[float, int] | Unclear:
    if words[0][:1] in "-−" and len(words[0]) > 1:
        return Unusable.NOT_POSITIVE if _starts_like_a_length(words[0][1:]) else Unusable.NOT_UNDERSTOOD
    if clock := _HOURS_AND_MINUTES.fullmatch(words[0]):
        hours, minutes = int(clock[1]), int(clock[2])
        if LENGTH_BELOW <= hours < 24:
            return LengthOrMoment(hours, minutes)
        return hours * HOUR + minutes * MINUTE, 1
    total, place, unit = 0.0, 0, 0.0
    while place < len(words):
        joined = words[place] in _JOINING and place > 0
        rest = words[place + 1 :] if joined else words[place:]
        if place and not joined and unit == HOUR and len(rest) == 1 and (left := _minutes(rest[0])):
            return total + left * MINUTE, len(words)  # "1 час 30"
        part = (_first_part(words) if place == 0 else None) or _part(rest)
        if part is None and place and (half := _half(words[place:])):
            part, joined = (unit / 2, half, unit), False  # "час с половиной"
        if part is None:
            break
        total, unit = total + part[0], part[2]
        place += part[1] + (1 if joined else 0)
    if place:
        return total, place
    if _NUMBER.fullmatch(words[0]):
        number = float(words[0].replace(",", "."))
        if number <= 0:
            return Unusable.NOT_POSITIVE
        return WithoutUnit(int(number)) if number.is_integer() else Unusable.NOT_UNDERSTOOD
    return Unusable.NOT_UNDERSTOOD


def _starts_like_a_length(word: str) -> bool:
    return (
        bool(_NUMBER.fullmatch(word)) or bool(_HOURS_AND_MINUTES.fullmatch(word)) or _glued(word) is not None
    )


def _first_part(words: Sequence[str]) -> tuple[float, int, float] | None:
    """A unit before its number ("минут 30", "часа два"), or a unit alone ("час", "сутки")."""
    if (unit := _unit(words[0])) is None or len(words[0]) <= 2:
        return None
    if words[0] in _BEFORE_ITS_NUMBER and len(words) > 1 and (number := _number(words[1])) is not None:
        return number * unit, 2, unit
    return unit, 1, unit


def _part(words: Sequence[str]) -> tuple[float, int, float] | None:
    """One amount with its unit, how many words it is, and the (last) unit."""
    if not words:
        return None
    first = words[0]
    if first in _HALF:
        return _HALF[first], 1, MINUTE
    if (glued := _glued(first)) is not None:
        return glued[0], 1, glued[1]
    if first in _ARTICLES and len(words) > 1 and words[1] in _NUMBERS:
        part = _part(words[1:])  # a couple of hours
        return None if part is None else (part[0], part[1] + 1, part[2])
    if (number := _number(first)) is None:
        return None
    after, half = list(words[1:]), _half(words[1:])
    if half and len(after) > half and (unit := _unit(after[half])) is not None:
        return (number + 0.5) * unit, half + 2, unit  # "два с половиной часа"
    skipped = 0
    while first in _NUMBERS and skipped < len(after) and after[skipped] in _ARTICLES:
        skipped += 1  # half an hour, quarter of an hour
    if skipped < len(after) and (unit := _unit(after[skipped])) is not None:
        return number * unit, skipped + 2, unit
    return None


def _half(words: Sequence[str]) -> int:
    """How many words of "с половиной" or "and a half" it begins with; 0: it does not."""
    return next((len(said) for said in _AND_A_HALF if tuple(words[: len(said)]) == said), 0)


def _number(word: str) -> float | None:
    if _NUMBER.fullmatch(word) and word[0] not in "+-−":
        return float(word.replace(",", "."))
    return _NUMBERS.get(word)


def _minutes(word: str) -> int | None:
    """Minutes of an hour, without their unit."""
    return int(word) if _MINUTES.fullmatch(word) else None


def _glued(word: str) -> tuple[float, float] | None:
    """Of "1h30m", "90мин", "2h30": seconds, and the last unit."""
    total, place, unit = 0.0, 0, 0.0
    while place < len(word):
        part = _PART.match(word, place)
        known = None if part is None else _unit(part[2])
        if part is None or known is None:
            minutes = _minutes(word[place:]) if unit == HOUR else None
            return None if minutes is None else (total + minutes * MINUTE, MINUTE)
        total, unit = total + float(part[1].replace(",", ".")) * known, known
        place = part.end()
    return (total, unit) if place else None


def _unit(word: str) -> float | None:
    return _SECONDS.get(word.rstrip("."))


# -- moments


def _until(words: Sequence[str], now: float, timezone: tzinfo) -> tuple[float, int] | Unusable:
    """Seconds until it, and how many words it is."""
    here = datetime.fromtimestamp(now, timezone)
    day, at, used = None, None, 0
    while used < min(len(words), 6):
        word, following = words[used], words[used + 1] if used + 1 < len(words) else ""
        if word in ("в", "at", "on", "во", "утра", "the") and used and word not in _TIMES:
            used += 1
        elif day is None and (named := _month_day(word, following, here)) is not None:
            day, used = named, used + 2
            if used < len(words) and _YEAR.fullmatch(words[used]):
                day, used = _in_year(day, int(words[used])), used + 1
        elif day is None and (found := _day(word, here)) is not None:
            day, used = found, used + 1
        elif at is None and (clock := _clock(word)) is not None:
            if word.isdecimal() and (_unit(following) or HOUR) != HOUR and following != "дня":
                return Unusable.NOT_UNDERSTOOD  # "до 5 минут"
            at, used = clock, used + 1
        elif at is not None and word.rstrip(".") in _HALVES_OF_DAY:
            at, used = _by_half_of_day(at, word.replace(".", "")), used + 1
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


def _month_day(word: str, following: str, here: datetime) -> date | None:
    """ "1 декабря", "Dec 1": the next such day; None: these words name none."""
    number, month = (word, following) if following.rstrip(".") in _MONTHS else (following, word)
    found = _DAY_OF_MONTH.fullmatch(number)
    if found is None or month.rstrip(".") not in _MONTHS:
        return None
    try:
        named = date(here.year, _MONTHS[month.rstrip(".")], int(found[1]))
    except ValueError:
        return None
    return _in_year(named, here.year + 1) if named < here.date() else named


def _in_year(day: date, year: int) -> date:
    """The 29th of February becomes the 28th."""
    try:
        return day.replace(year)
    except ValueError:
        return day.replace(year, day=28)


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
        return _in_year(named, named.year + 1) if year is None and named < today else named
    except ValueError:
        return None


def _clock(word: str) -> tuple[int, int] | None:
    if word in _TIMES:
        return _TIMES[word], 0
    found = _CLOCK.fullmatch(word.removesuffix("ч").removesuffix("h"))
    if found is None:
        return None
    hours, minutes = int(found[1]), int(found[2] or 0)
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        return None
    return _by_half_of_day((hours, minutes), found[3].replace(".", "")) if found[3] else (hours, minutes)


def _by_half_of_day(at: tuple[int, int], word: str) -> tuple[int, int]:
    hours, minutes = at
    if word in ("pm", "дня", "вечера") and hours < 12:
        return hours + 12, minutes
    if word in ("am", "ночи") and hours == 12:
        return 0, minutes
    return at
