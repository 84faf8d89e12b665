"""Small pictures made of characters: the last runs as a sparkline, progress as a bar. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dozor.storage.tables.runs import RunRecord

BLOCKS = "▁▂▃▄▅▆▇█"
FAILED, CUT = "✖", "·"
FULL, EMPTY = "▓", "░"
BAR_CELLS = 12


def sparkline(newest_first: Sequence[RunRecord]) -> str:
    """The oldest on the left: the higher the longer it took; a failure is a cross, a cut-off run a dot."""
    good = [record.seconds / record.runs for record in newest_first if record.outcome == "succeeded"]
    longest = max(good, default=0.0)
    return "".join(_cell(record, longest) for record in reversed(newest_first))


def _cell(record: RunRecord, longest: float) -> str:
    match record.outcome:
        case "succeeded":
            share = record.seconds / record.runs / longest if longest > 0 else 0.0
            return BLOCKS[min(len(BLOCKS) - 1, int(share * len(BLOCKS)))]
        case "failed" | "timed_out":
            return FAILED
        case _:
            return CUT


def bar(done: float, total: float) -> str:
    """`total` above 0; what is outside of 0 to `total` is cut off."""
    filled = int(min(1.0, max(0.0, done / total)) * BAR_CELLS)
    return FULL * filled + EMPTY * (BAR_CELLS - filled)
