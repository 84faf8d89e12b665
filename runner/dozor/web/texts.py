"""The texts of the status page, from `web.*.ftl`; durations and schedules in its words."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, assert_never

from dozor.config.sections.tasks import Continuous, Cron, Every, Schedule
from dozor.language.names import Language
from dozor.language.templates import templates

Plural = dict[str, str]
"""A text for each plural category that the language has for whole numbers (https://cldr.unicode.org)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """`states` by value, `counted` after how many tasks are in it, `window` by days. Short units follow a
    number. `{…}` is filled in, `{n}` with the plural's number.
    """

    title: str
    states: dict[str, str]
    counted: dict[str, Plural]
    ready: str
    not_ready: str
    unknown: str
    runner: str
    up: str
    zone: str
    tasks: Plural
    all_tasks: str
    filter: str
    more: str
    no_tasks: str
    no_match: str
    broken: str
    nothing_broken: str
    paused: str
    healthy: str
    other_group: str
    overdue: str
    behind: str
    last_success: str
    next_run: str
    running: str
    never: str
    now: str
    ago: str
    ahead: str
    in_a_row: Plural
    failing_since: str
    by: str
    backlog: str
    where: str
    incidents: str
    task_incidents: str
    no_incidents: str
    more_incidents: Plural
    acknowledged: str
    not_acknowledged: str
    on_call: str
    on_call_until: str
    nobody_on_call: str
    silenced_until: str
    silenced_open: str
    explained: str
    of_runner: str
    queue: str
    queue_empty: str
    attempts: Plural
    messages: dict[str, str]
    uptime: str
    uptime_about: str
    bars: str
    bars_failed: Plural
    bar_ok: str
    bar_failed: Plural
    bar_none: str
    bars_loading: str
    live: str
    polling: str
    connecting: str
    stale: str
    stale_silent: str
    stale_refused: str
    stale_answer: str
    as_of: str
    read_only: str
    sign_in: str
    sign_out: str
    sign_in_label: str
    cancel: str
    restart: str
    pause: str
    resume: str
    run_now: str
    acknowledge: str
    give_back: str
    silence: str
    unsilence: str
    silence_for: str
    done: str
    already: str
    refused: str
    denied: str
    failed: str
    became: str
    other_language: str
    back: str
    schedule: str
    runs: Plural
    failures: Plural
    summary: str
    in_all: str
    window: dict[str, str]
    succeeded_share: str
    p50: str
    p95: str
    no_runs: str
    chart: str
    chart_runs: str
    chart_durations: str
    chart_about: str
    portion_runs: str
    traceback: str
    no_traceback: str
    errors: str
    no_errors: str
    times: Plural
    first_time: str
    last_time: str
    timeline: str
    no_timeline: str
    outcomes: dict[str, str]
    lasted: str
    still_open: str
    resolved: str
    no_past_incidents: str
    why: str
    removed: str
    unknown_task: str
    unavailable: str
    needs_script: str
    every: str
    continuous: str
    milliseconds: str
    seconds: str
    minutes: str
    hours: str
    days: str


@cache
def texts_of(language: Language) -> Texts:
    """Raises KeyError if a text is missing: a bug."""
    found = templates(language, "web")
    values: dict[str, Any] = {
        field.name: found[f"web-{field.name.replace('_', '-')}"] for field in fields(Texts)
    }
    values["window"] = {days.removeprefix("d"): text for days, text in values["window"].items()}
    return Texts(**values)


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
