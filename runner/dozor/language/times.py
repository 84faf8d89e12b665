"""Durations, distances in time and clock times as texts."""

from __future__ import annotations

from datetime import datetime, tzinfo

from dozor.language.translator import Translator

MINUTE, HOUR, DAY = 60, 3600, 86400
JUST_NOW = 2.0


def duration(translator: Translator, seconds: float) -> str:
    """Two units at most: "0.4 s", "45 s", "3 min 12 s", "1 h 20 min", "2 days 4 h". Negative counts as 0."""
    seconds = max(0.0, seconds)
    if seconds == 0:
        return translator.format("seconds", count=0)
    if seconds < 1:
        return translator.format("milliseconds", count=max(1, round(seconds * 1000)))
    whole = round(seconds)
    if whole < MINUTE:
        return translator.format("seconds", count=whole)
    if whole < HOUR:
        minutes, rest = divmod(whole, MINUTE)
        text = translator.format("minutes", count=minutes)
        return f"{text} {translator.format('seconds', count=rest)}" if rest else text
    if whole < DAY:
        hours, rest = divmod(whole // MINUTE, 60)
        text = translator.format("hours", count=hours)
        return f"{text} {translator.format('minutes', count=rest)}" if rest else text
    days, rest = divmod(whole // HOUR, 24)
    text = translator.format("days", count=days)
    return f"{text} {translator.format('hours', count=rest)}" if rest else text


def rough(translator: Translator, seconds: float) -> str:
    """The largest unit alone, where space is short: "45 s", "3 min", "2 days"."""
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return translator.format("seconds", count=whole)
    if whole < HOUR:
        return translator.format("minutes", count=whole // MINUTE)
    if whole < DAY:
        return translator.format("hours", count=whole // HOUR)
    return translator.format("days", count=whole // DAY)


def ago(translator: Translator, seconds: float) -> str:
    """ "just now", "3 min ago"."""
    if seconds < JUST_NOW:
        return translator.format("just-now")
    return translator.format("ago", duration=rough(translator, seconds))


def ahead(translator: Translator, seconds: float) -> str:
    """ "now", "in 3 min 12 s"."""
    if seconds < 1.0:
        return translator.format("right-now")
    return translator.format("ahead", duration=duration(translator, seconds))


def clock(at: float, timezone: tzinfo, now: float) -> str:
    """ "14:03:20", with the date before it on another day. In UTC it says so: few people live there."""
    moment, today = datetime.fromtimestamp(at, timezone), datetime.fromtimestamp(now, timezone)
    text = moment.strftime("%H:%M:%S" if moment.date() == today.date() else "%d.%m %H:%M")
    if moment.year != today.year:
        text = moment.strftime("%d.%m.%Y %H:%M")
    return f"{text} UTC" if str(timezone) == "UTC" else text
