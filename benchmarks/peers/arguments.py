"""The command line of every peer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.suite.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Arguments:
    """`tasks` no-op tasks; the first `recorded` of them record."""

    tasks: int
    recorded: int
    recorder: Recorder


def arguments() -> Arguments:
    """Of this process."""
    tasks, recorded, path = sys.argv[1:4]
    return Arguments(int(tasks), int(recorded), Recorder(Path(path)))


async def nothing() -> None:
    """The checker."""
