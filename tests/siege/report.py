"""The figures of a siege, and its problems."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

from tests.bot.botapi.pace import Limits
from tests.siege.evidence import Evidence, Label
from tests.siege.pace import excesses
from tests.siege.verdict import Judge

FRESH = 60.0
"""Seconds for which a runner may not know what the one before it has just sent."""


@dataclass(slots=True)
class Report:
    """`figures`: for people. `problems` is to be empty."""

    figures: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def report(evidence: Evidence, slack: float) -> Report:
    """`slack`: real seconds that the machine may take for what should take none."""
    judge = Judge(evidence, slack)
    judge.judge()
    made = Report(problems=judge.problems)
    chronicle, seen = evidence.chronicle, evidence.seen
    if chronicle.drained_at is None:
        made.problems.insert(0, f"{chronicle.left} things were left to tell when patience ended")
    made.problems += [f"ended by itself: {ended}" for ended in chronicle.ended]
    made.problems += seen.strays
    of_tasks = [row for row in evidence.incidents if row.task is not None]
    storms = [row for row in evidence.incidents if row.kind == "storm"]
    labels = Counter(told.label for told in evidence.sends)
    blows = Counter(outage.kind.value for outage in chronicle.outages)
    figures: dict[str, object] = {
        "breakages": chronicle.truth.count,
        "incidents of tasks": len(of_tasks),
        "told alone": sum(row.told for row in of_tasks),
        "in storms": f"{sum(not row.told for row in of_tasks)} in {len(storms)}",
        "counted in digests": f"{judge.counted} of {judge.members} members of storms",
        "other incidents": len(evidence.incidents) - len(of_tasks) - len(storms),
        "messages": len(evidence.sends),
        "edits": sum(map(len, evidence.edits.values())),
        "told as past": labels[Label.PAST],
        "repeats, marked": judge.marked,
        "open over a move": f"{judge.told_anew} times for long",
        "answers doubted": f"{judge.doubted} that the stand-in had given",
        "kill -9": f"{len(chronicle.deaths)}, {chronicle.at_calls} of them in the middle of a call",
        "false starts": f"{chronicle.false_starts} while PostgreSQL was away",
        "PostgreSQL": ", ".join(f"{count} {name}" for name, count in sorted(blows.items())),
        "Telegram": ", ".join(f"{count} {name}" for name, count in seen.faults.most_common()),
        "exception to chat": _quantiles(judge.latencies),
        "current, too late": _quantiles(judge.flights),
        **_pace(evidence, made.problems),
        "stalls": _quantiles([to - at for at, to in seen.stalls]),
        "fast hours": f"{chronicle.haste.speed * chronicle.took / 3600:.1f}",
        "took": f"{chronicle.took:.0f} s, seconds {chronicle.haste.speed:g} times as fast",
    }
    made.figures = {name: str(value) for name, value in figures.items()}
    return made


def _quantiles(values: list[float]) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    picked = [ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.9, 0.99, 1.0)]
    return f"{len(ordered)}: " + ", ".join(
        f"{name} {value:.1f} s" for name, value in zip(("p50", "p90", "p99", "max"), picked, strict=True)
    )


def _pace(evidence: Evidence, problems: list[str]) -> dict[str, object]:
    births = evidence.chronicle.births
    refused = [attempt for attempt in evidence.seen.attempts if not attempt.admitted]
    ages = []
    for attempt in refused:
        number = bisect_right(births, attempt.at)
        ages.append(attempt.at - births[number - 1])
    fresh = sum(age < FRESH for age in ages)
    found = excesses(evidence.seen.attempts, Limits())
    worst = max(found, key=lambda one: one.most / one.burst, default=None)
    problems += [
        f"chat {one.chat}: {one.most:.1f} calls over its pace, its burst is {one.burst:g}"
        for one in found
        if one.most > one.burst
    ]
    return {
        "refused as too fast": f"{len(refused)} of {len(evidence.seen.attempts)}, "
        f"{fresh} by a runner younger than {FRESH:g} s",
        "most over a pace": "0" if worst is None else f"{worst.most:.1f} calls in chat {worst.chat}",
    }
