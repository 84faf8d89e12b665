"""Draws one chart: JSON on standard input, PNG on standard output. A program by itself, see `painter`.

One picture for light and dark chats: it brings its own dark ground, with text that stays readable at the
third of its size that a phone shows.
"""

from __future__ import annotations

import io
import json
import os
import sys
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

GROUND, PANEL, INK, FAINT = "#17212b", "#1f2c38", "#f0f4f8", "#9fb0c0"
GOOD, BAD, WARN, LINE, SHADE = "#4fc38a", "#ff6b6b", "#f5b83d", "#6cb6ff", "#2f6ea8"
WIDTH, HEIGHT, DPI = 7.2, 9.0, 150
"""Inches, and points an inch: 1080 by 1350, a phone's width."""
MOODS = {"good": GOOD, "bad": BAD, "warn": WARN, "quiet": FAINT}
LEAST_VISIBLE = 0.05
"""The share of the axis below which a failure would not be seen."""

Json = dict[str, Any]


def draw(chart: Json) -> bytes:
    """The picture as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "font.family": "DejaVu Sans",
            "font.size": 14,
            "text.color": INK,
            "axes.edgecolor": FAINT,
            "axes.labelcolor": FAINT,
            "xtick.color": FAINT,
            "ytick.color": FAINT,
            "axes.facecolor": PANEL,
            "figure.facecolor": GROUND,
        }
    )
    figure, panels = plt.subplots(
        3, 1, figsize=(WIDTH, HEIGHT), dpi=DPI, sharex=True, gridspec_kw={"height_ratios": [3, 3, 2]}
    )
    words = chart["words"]
    figure.text(0.045, 0.965, words["task"], fontsize=21, fontweight="bold", va="top")
    figure.text(0.045, 0.925, words["period"], fontsize=15, color=FAINT, va="top")
    figure.text(
        0.955,
        0.965,
        words["share"],
        fontsize=27,
        fontweight="bold",
        va="top",
        ha="right",
        color=_mood(chart["share"]),
    )
    figure.text(0.955, 0.91, words["state"], fontsize=15, va="top", ha="right", color=MOODS[chart["mood"]])
    _runs(panels[0], chart)
    _durations(panels[1], chart)
    _streaks(panels[2], chart)
    for panel, title in zip(panels, (words["runs"], words["durations"], words["streaks"]), strict=True):
        panel.set_title(title, loc="left", fontsize=15, color=INK, pad=8)
        panel.grid(axis="y", color=FAINT, alpha=0.18)
        panel.tick_params(length=0, labelsize=13)
        for side in ("top", "right", "left"):
            panel.spines[side].set_visible(False)
        for since, to, severity in chart["incidents"]:
            panel.axvspan(
                since, to, color=BAD if severity == "critical" else WARN, alpha=0.2, lw=0, zorder=0.5
            )
    if not chart["portions"]:
        panels[0].text(
            0.5, 0.5, words["nothing"], transform=panels[0].transAxes, ha="center", va="center",
            fontsize=18, color=FAINT,
        )  # fmt: skip
        for panel in panels:
            panel.set_yticks([])
    _legend(panels[2], chart)
    _time(panels[-1], chart)
    figure.subplots_adjust(left=0.125, right=0.965, top=0.845, bottom=0.06, hspace=0.34)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def _mood(share: float | None) -> str:
    if share is None:
        return FAINT
    return GOOD if share >= 0.99 else WARN if share >= 0.9 else BAD


def _runs(panel: Any, chart: Json) -> None:
    """Successes upwards, failures downwards."""
    portions, width = chart["portions"], chart["width"]
    at = [portion["at"] + width / 2 for portion in portions]
    good = [portion["succeeded"] for portion in portions]
    bad = [portion["failed"] for portion in portions]
    top = max([*good, *bad, 1])
    shown = [0 if not failed else max(failed, top * LEAST_VISIBLE) for failed in bad]
    panel.bar(at, good, width=width * 0.86, color=GOOD, lw=0, zorder=2)
    panel.bar(at, [-failed for failed in shown], width=width * 0.86, color=BAD, lw=0, zorder=2)
    panel.axhline(0, color=FAINT, lw=1)
    deepest = max([*shown, 0])
    panel.set_ylim(-(deepest * 1.15 if deepest else top * 0.06), max([*good, 0]) * 1.12 or top)
    panel.yaxis.set_major_locator(_whole_numbers(5))
    panel.yaxis.set_major_formatter(lambda value, _: _short(abs(value)))


def _durations(panel: Any, chart: Json) -> None:
    known = [portion for portion in chart["portions"] if portion["p95"] is not None]
    words, width = chart["words"], chart["width"]
    longest = max([portion["p95"] for portion in known], default=1.0) or 1.0
    for line in _unbroken(known, width):
        at = [portion["at"] + width / 2 for portion in line]
        p50, p95 = [portion["p50"] for portion in line], [portion["p95"] for portion in line]
        mark = "o" if len(line) == 1 else None
        panel.fill_between(at, p50, p95, color=SHADE, alpha=0.35, lw=0)
        panel.plot(at, p95, color=WARN, lw=2.2, marker=mark, ms=5)
        panel.plot(at, p50, color=LINE, lw=2.6, marker=mark, ms=5)
    if known:
        panel.plot([], [], color=LINE, lw=3, label="p50")
        panel.plot([], [], color=WARN, lw=3, label="p95")
        panel.legend(
            loc="lower right", bbox_to_anchor=(1.0, 0.985), ncols=2, frameon=False, fontsize=14,
            handlelength=1.2, columnspacing=1.2, borderaxespad=0.2,
        )  # fmt: skip
    panel.set_ylim(0, longest * 1.15)
    scale, unit = (
        (1000, words["ms"]) if longest < 1 else (1, words["s"]) if longest < 120 else (1 / 60, words["min"])
    )
    panel.yaxis.set_major_locator(_few(5))
    panel.yaxis.set_major_formatter(
        lambda value, _: f"{value * scale:g} {unit}".replace(".", words["decimal"])
    )


def _streaks(panel: Any, chart: Json) -> None:
    portions, width, limit = chart["portions"], chart["width"], chart["limit"]
    at = [portion["at"] + width / 2 for portion in portions]
    streaks = [portion["streak"] for portion in portions]
    colours = [BAD if limit and streak >= limit else WARN for streak in streaks]
    panel.bar(at, streaks, width=width * 0.86, color=colours, lw=0, zorder=2)
    highest = max([*streaks, limit or 0, 1])
    if limit:
        panel.axhline(limit, color=BAD, lw=1.6, ls=(0, (4, 3)))
        panel.text(chart["since"], limit, " " + chart["words"]["limit"], color=BAD, fontsize=12, va="bottom")
    panel.set_ylim(0, highest * 1.35)
    panel.yaxis.set_major_locator(_whole_numbers(4))


def _unbroken(portions: list[Json], width: float) -> list[list[Json]]:
    """Portions that follow each other: no line is drawn over a gap."""
    lines: list[list[Json]] = []
    for portion in portions:
        if lines and portion["at"] - lines[-1][-1]["at"] < width * 1.5:
            lines[-1].append(portion)
        else:
            lines.append([portion])
    return lines


def _legend(panel: Any, chart: Json) -> None:
    """What the coloured ground means, if there is any."""
    from matplotlib.patches import Patch

    colours = {BAD if severity == "critical" else WARN for _, _, severity in chart["incidents"]}
    if colours:
        patches = [Patch(color=colour, alpha=0.4, lw=0) for colour in sorted(colours)]
        labels = [""] * (len(patches) - 1) + [chart["words"]["incident"]]
        panel.legend(
            patches, labels, loc="lower right", bbox_to_anchor=(1.0, 0.985), ncols=2, frameon=False,
            fontsize=14, handlelength=1.0, columnspacing=0.1, borderaxespad=0.2,
        )  # fmt: skip


def _time(panel: Any, chart: Json) -> None:
    zone, since, until = ZoneInfo(chart["zone"]), chart["since"], chart["until"]
    panel.set_xlim(since, until)
    days = (until - since) / 86400
    form, step = (
        ("%H:%M", timedelta(hours=6)) if days <= 1.5 else ("%d.%m", timedelta(days=max(1, days // 5)))
    )
    tick, ticks = datetime.fromtimestamp(since, zone).replace(hour=0, minute=0, second=0, microsecond=0), []
    while tick.timestamp() < until:
        if tick.timestamp() > since:
            ticks.append(tick)
        tick += step
    panel.set_xticks([tick.timestamp() for tick in ticks], [tick.strftime(form) for tick in ticks])
    panel.tick_params(axis="x", pad=9)


def _whole_numbers(count: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=count, integer=True)


def _few(count: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=count)


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


if __name__ == "__main__":
    os.nice(10)  # checkers come first
    sys.stdout.buffer.write(draw(json.load(sys.stdin)))
