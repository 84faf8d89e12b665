"""Which task's runs end the runner again and again (a segmentation fault, `os._exit`). Pure.

Three unclean ends in a row, each within two minutes of the start: the tasks that were in a run at all of them
are suspects. The next runner first supervises without them, for longer than the ones before it lived. If it
is killed in that time too, the cause is outside, and they are suspects no longer. Otherwise it starts them
one at a time; the one in whose turn the runner ends uncleanly is stopped by the next start.

Runs in progress are recorded only after a first quick unclean end, so that the runs of a runner that has no
such trouble wait for nothing: at the oldest of the three ends it may be unknown what was in a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

QUICK_SECONDS = 120.0
"""An end within this time of the start is one of a crash loop."""
ENDS = 3
"""So many of them in a row make suspects."""
MARGIN_SECONDS = 3.0
"""The recorded end is the last sign of life, and a start takes a moment: both are less than this."""


@dataclass(frozen=True, slots=True)
class RunnerEnd:
    """How a runner ended.

    `lived`: seconds from its start to its last sign of life. `in_flight`: tasks that were in a run, None: not
    recorded. `suspects`: those that had not been cleared, the one whose turn it was first.
    """

    lived: float
    clean: bool
    in_flight: frozenset[str] | None = None
    suspects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CrashVerdict:
    """What a start concludes from the ends before it.

    `record`: record which tasks are in a run. `culprit`: a task to stop. `suspects`: tasks to start one at a
    time. `hold`: seconds without any of them at first, and the length of a turn. `ends`: unclean ends in a
    row.
    """

    record: bool = False
    culprit: str | None = None
    suspects: tuple[str, ...] = ()
    hold: float = 0.0
    ends: int = 0


def judge(ends: Sequence[RunnerEnd]) -> CrashVerdict:
    """`ends`: of the runners before this one, the newest first."""
    if not ends or ends[0].clean:
        return CrashVerdict()
    last = ends[0]
    unclean = list(takewhile(lambda end: not end.clean, ends))
    quick = list(takewhile(lambda end: end.lived <= QUICK_SECONDS, unclean))
    hold = 1.5 * max((end.lived for end in quick), default=0.0) + MARGIN_SECONDS
    if last.suspects and last.in_flight is not None and last.suspects[0] in last.in_flight:
        return CrashVerdict(True, last.suspects[0], last.suspects[1:], hold, len(unclean))
    return CrashVerdict(bool(quick), None, _suspects(quick[:ENDS]), hold, len(unclean))


def _suspects(quick: Sequence[RunnerEnd]) -> tuple[str, ...]:
    if len(quick) < ENDS or any(end.in_flight is None for end in quick[:-1]):
        return ()
    recorded = [end.in_flight for end in quick if end.in_flight is not None]
    return tuple(sorted(frozenset.intersection(*recorded)))
