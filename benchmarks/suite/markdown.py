"""RESULTS.md from measured subjects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.suite.results import Row, Scale, Subject


def render(machine: Mapping[str, str], scale: Scale, subjects: Sequence[Subject], minutes: float) -> str:
    """The whole file."""
    runs = "one round each" if scale.rounds == 1 else f"{scale.rounds} rounds, contestants in turn"
    form = "" if scale.name == "full" else f" in its {scale.name} form"
    lines = [
        "# Results of the benchmarks",
        "",
        f"Written by `make bench`{form}, {minutes:.0f} minutes, {runs}. Every figure is a median; with"
        " several rounds the least and the most follow in brackets.",
    ]
    if scale.name != "full":
        lines += [
            "",
            f"**This is a {scale.name} run, with small sizes and short windows: `make bench` is the",
        ]
        lines[-1] += " whole measurement.**"
    lines += ["", "## Machine", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in machine.items() if value]
    lines += ["", *_goals(subjects)]
    for subject in subjects:
        lines += ["", *_section(subject)]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three significant digits, thousands with a comma; a dash for NaN."""
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def cell(row: Row) -> str:
    """The median and, with several rounds, the spread."""
    median = number(row.median)
    known = [value for value in row.values if not math.isnan(value)]
    if len(row.values) == 1 or not known:
        return median
    return f"{median} ({number(min(known))}–{number(max(known))})"


def _goals(subjects: Sequence[Subject]) -> list[str]:
    lines = ["## Goals", "", "| figure | goal | measured | |", "|---|---|---|---|"]
    gaps = []
    for subject in subjects:
        for row in subject.rows:
            if row.goal is None:
                continue
            goal, met = row.goal, row.goal.met(row.median)
            name = f"{subject.title}, {row.case}: {row.figure}"
            lines.append(
                f"| {name} | {goal.sense.value} {number(goal.limit)} {row.unit} | {cell(row)} {row.unit} |"
                f" {'met' if met else '**missed**'} |"
            )
            if not met and goal.explanation:
                gaps.append(f"- {name}: {goal.explanation}")
    return [*lines, *(["", "Gaps, with their cause:", "", *gaps] if gaps else [])]


def _section(subject: Subject) -> list[str]:
    """Figures are columns; a line for each case and contestant."""
    figures = list(dict.fromkeys((row.figure, row.unit) for row in subject.rows))
    places = list(dict.fromkeys((row.case, row.contestant) for row in subject.rows))
    cells = {(row.case, row.contestant, row.figure, row.unit): cell(row) for row in subject.rows}
    heads = [f"{figure}, {unit}" if unit else figure for figure, unit in figures]
    lines = [f"## {subject.title}", ""]
    for note in subject.notes:
        lines += [note, ""]
    if not figures:
        return lines[:-1]
    lines += [f"| | | {' | '.join(heads)} |", "|---" * 2 + "|--:" * len(figures) + "|"]
    previous = None
    for case, contestant in places:
        shown = [cells.get((case, contestant, *figure), "") for figure in figures]
        lines.append(f"| {case if case != previous else ''} | {contestant} | {' | '.join(shown)} |")
        previous = case
    return lines
