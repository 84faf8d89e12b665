"""A chart: the data for the painter, and the text under the picture. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from dozor.alerting.model.message import Button, Message, Span, Style
from dozor.alerting.model.safe_text import one_line, shorten
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.alerting.rendering.render import bounded, error_span
from dozor.control.queries.statistics import Statistics
from dozor.control.queries.status import TaskStatus
from dozor.control.queries.status_page import health
from dozor.control.task_states import Health
from dozor.language.names import Language
from dozor.language.times import ago, duration
from dozor.language.translator import Translator
from dozor_bot.views.status import NAME_UNITS, state_words

CAPTION_UNITS = 1024
"""Bot API, captions."""
ERROR_UNITS = 200
MOODS = {
    Health.STOPPED: "bad",
    Health.FAILING: "warn",
    Health.HELD: "warn",
    Health.PAUSED: "quiet",
    Health.WELL: "good",
}


@dataclass(frozen=True, slots=True)
class Period:
    """`name` as people write it; `words`: the key of a text; drawn in `portions`."""

    name: str
    words: str
    seconds: float
    portions: int


PERIODS = {
    "24h": Period("24h", "period-day", 86_400.0, 48),
    "7d": Period("7d", "period-week", 7 * 86_400.0, 56),
    "30d": Period("30d", "period-month", 30 * 86_400.0, 60),
}
DAY = PERIODS["24h"]


def chart_order(
    task: TaskStatus, statistics: Statistics, period: Period, translator: Translator, timezone: tzinfo
) -> dict[str, Any]:
    """What `dozor_bot.charts.draw` draws."""
    text, limit = translator.format, task.max_consecutive_failures
    share = _share(statistics)
    return {
        "since": statistics.since,
        "until": statistics.now,
        "width": statistics.width,
        "zone": str(timezone),
        "limit": limit,
        "share": share,
        "mood": MOODS[health(task)],
        "portions": [
            {
                "at": portion.at,
                "succeeded": portion.succeeded,
                "failed": portion.failed,
                "streak": portion.streak,
                "p50": portion.p50,
                "p95": portion.p95,
            }
            for portion in statistics.portions
        ],
        "incidents": [
            [max(span.since, statistics.since), span.to or statistics.now, span.severity]
            for span in statistics.incidents
        ],
        "words": {
            "task": task.name,
            "period": text(period.words),
            "share": "" if share is None else _percent(share, translator),
            "state": state_words(translator, task.state).partition(" (")[0],
            "runs": text("chart-runs"),
            "durations": text("chart-durations"),
            "streaks": text("chart-streaks"),
            "limit": "" if limit is None else text("chart-limit", limit=limit),
            "incident": text("chart-incident"),
            "nothing": text("chart-nothing"),
            "decimal": _decimal(translator),
            "ms": text("unit-ms"),
            "s": text("unit-s"),
            "min": text("unit-min"),
        },
    }


def chart_caption(
    task: TaskStatus, statistics: Statistics, period: Period, translator: Translator
) -> Message:
    """The same in a few lines, and buttons to the other periods."""
    text, whole = translator.format, statistics.whole
    name = shorten(one_line(task.name), NAME_UNITS)
    spans = [Span(text("chart-title", task=name, period=text(period.words)), Style.BOLD)]
    lines: list[Span] = []
    if whole is None:
        lines.append(Span(text("chart-nothing")))
    else:
        total = whole.succeeded + whole.failed
        percent = _percent(whole.succeeded / total, translator)
        lines.append(Span(text("chart-share", good=whole.succeeded, total=total, percent=percent)))
        if whole.p50 is not None and whole.p95 is not None:
            p50, p95 = duration(translator, whole.p50), duration(translator, whole.p95)
            lines.append(Span(text("chart-quantiles", p50=p50, p95=p95)))
        if whole.streak:
            lines.append(Span(text("chart-longest-streak", streak=whole.streak)))
    if statistics.incidents:
        lines.append(Span(_incidents(statistics, translator)))
    if health(task) in (Health.STOPPED, Health.FAILING):
        state = state_words(translator, task.state)
        lines.append(Span(text("chart-now", state=state), Style.BOLD))
        error = error_span(task.last_error_type, one_line(task.last_error_text or ""), ERROR_UNITS)
        lines += [] if error is None else [error]
    if task.last_success_at is not None:
        distance = ago(translator, statistics.now - task.last_success_at)
        lines.append(Span(text("chart-last-success", ago=distance)))
    for line in lines:
        spans += [Span("\n"), line]
    return Message(spans=bounded(spans, CAPTION_UNITS), buttons=_buttons(task.name, period, translator))


def _incidents(statistics: Statistics, translator: Translator) -> str:
    spans, now = statistics.incidents, statistics.now
    lasted = sum((span.to or now) - max(span.since, statistics.since) for span in spans)
    text = translator.format("chart-incidents", count=len(spans), duration=duration(translator, lasted))
    return text if spans[-1].to is not None else f"{text} {translator.format('chart-still-open')}"


def _buttons(task: str, shown: Period, translator: Translator) -> tuple[tuple[Button, ...], ...]:
    periods = tuple(
        Button(
            f"• {translator.format(period.words)} •" if period is shown else translator.format(period.words),
            encode(Origin.MENU, f"chart.{period.name}", task),
        )
        for period in PERIODS.values()
    )
    return (periods,)


def _share(statistics: Statistics) -> float | None:
    whole = statistics.whole
    return None if whole is None else whole.succeeded / (whole.succeeded + whole.failed)


def _percent(share: float, translator: Translator) -> str:
    """Never "100%" where something has failed, nor "0%" where something has not."""
    percent = share * 100
    if 0 < percent < 0.1 or 99.9 < percent < 100:
        percent = 0.1 if percent < 1 else 99.9
    return f"{percent:.1f}".removesuffix(".0").replace(".", _decimal(translator)) + "%"


def _decimal(translator: Translator) -> str:
    return "," if translator.language is Language.RU else "."
