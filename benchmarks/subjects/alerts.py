"""From an exception to the request on the wire, and what a storm sends."""

from __future__ import annotations

import asyncio

from benchmarks import delivery
from benchmarks.suite.results import Goal, Row, Scale, Subject, quantile

WIRE_GOAL_MS = 25.0
GAP = "the commit of state, incident and message (fsync) comes before the request, and a slow disk is in it"
NOTES = (
    "Exception to wire: a checker raises, state, incident and message are committed (fsync), and"
    " the request reaches"
    " a Bot API stand-in in another process. The supervisor, the journal and the dispatcher are"
    " those of the product,"
    " in one process with the bare `bot.send_message` that takes turns with them; grouping and"
    " Telegram's pace are off.",
    "Storm: so many tasks fail within a second, stop after 20 s and recover from the 60th second"
    " on; the stand-in keeps"
    " Telegram's pace.",
)


def measure(scale: Scale) -> Subject:
    rows: list[Row] = []
    bare: list[list[float]] = []
    ours: list[list[float]] = []
    for _ in range(scale.rounds):
        one, other = asyncio.run(delivery.measure(scale.alerts))
        bare.append(one)
        ours.append(other)
    case = f"exception to wire, {scale.alerts} alerts"
    for name, rounds, goal in (
        ("bare send_message", bare, None),
        ("Dozor", ours, Goal(WIRE_GOAL_MS, explanation=GAP) if scale.alerts >= 50 else None),
    ):
        rows += [
            Row(case, name, "p50", "ms", tuple(quantile(values, 0.5) * 1e3 for values in rounds)),
            Row(case, name, "p99", "ms", tuple(quantile(values, 0.99) * 1e3 for values in rounds), goal),
        ]
    if scale.storm:
        found = asyncio.run(delivery.storm(scale.storm))
        sent = found.times("sendMessage")
        case = f"storm of {scale.storm:,} tasks"
        rows += [
            Row(case, "Dozor", "first message after", "s", (sent[0],)),
            Row(case, "Dozor", "messages in a minute", "", (float(sum(at <= 60 for at in sent)),)),
            Row(case, "Dozor", "edits in 100 s", "", (float(len(found.times("editMessageText"))),)),
            Row(case, "Dozor", "refused for pace", "", (float(found.refused),)),
        ]
    return Subject("Alerts", tuple(rows), NOTES)
