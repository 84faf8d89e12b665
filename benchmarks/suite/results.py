"""Measured values, goals, and how much of everything a form of `make bench` measures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Sense(StrEnum):
    """Which side of the limit a goal asks for."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Goal:
    """`explanation`: the cause of a gap and what was tried, shown where the goal is missed."""

    limit: float
    sense: Sense = Sense.AT_MOST
    explanation: str = ""

    def met(self, value: float) -> bool:
        """Whether `value`, in the unit of its row, reaches the goal."""
        return value <= self.limit if self.sense is Sense.AT_MOST else value >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one contestant: a value for each round, in `unit`; NaN: there was none to be measured."""

    case: str
    contestant: str
    figure: str
    unit: str
    values: tuple[float, ...]
    goal: Goal | None = None

    @property
    def median(self) -> float:
        """Of the rounds that have a value; NaN if none has."""
        known = [value for value in self.values if not math.isnan(value)]
        return statistics.median(known) if known else math.nan


@dataclass(frozen=True, slots=True)
class Subject:
    """A section of RESULTS.md. `notes`: how it was measured, a paragraph each."""

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. Durations in seconds."""

    name: str
    rounds: int
    counts: tuple[int, ...]
    """Numbers of tasks of the supervision benchmark."""
    warm: float
    """How long a contestant runs before it is measured."""
    window: float
    peers: bool
    """Whether peers that have to be installed are measured."""
    start_tasks: int
    failing: tuple[int, ...]
    """Failures a second that are asked for, in this order."""
    alerts: int
    storm: int
    """Tasks that fail at once; 0: no storm."""
    auctions: int
    deposits: int
    pool: tuple[str, ...]
    """Arguments of benchmarks.pool; none: no pool."""
    recovered: tuple[int, int]
    """Tasks and incidents that a start finds."""
    page_tasks: int
    scrape_tasks: int
    month: tuple[int, int]
    """Tasks and days of the simulated growth."""


FULL = Scale(
    name="full",
    rounds=3,
    counts=(100, 1_000, 10_000),
    warm=3.0,
    window=6.0,
    peers=True,
    start_tasks=10_000,
    failing=(500, 1_000, 1_500, 2_000, 2_500),
    alerts=60,
    storm=1_000,
    auctions=20_000,
    deposits=20_000,
    pool=("--workers", "1", "2", "4", "--rounds", "1", "--seconds", "6", "--latency", "10"),
    recovered=(10_000, 100_000),
    page_tasks=2_000,
    scrape_tasks=10_000,
    month=(20, 30),
)
QUICK = Scale(
    name="quick",
    rounds=1,
    counts=(100, 1_000),
    warm=1.5,
    window=3.0,
    peers=True,
    start_tasks=2_000,
    failing=(200, 500),
    alerts=20,
    storm=0,
    auctions=1_000,
    deposits=1_000,
    pool=("--workers", "1", "--rounds", "1", "--tasks", "500", "--seconds", "3", "--latency", "3"),
    recovered=(1_000, 5_000),
    page_tasks=500,
    scrape_tasks=1_000,
    month=(2, 30),
)
SMOKE = Scale(
    name="smoke",
    rounds=1,
    counts=(5,),
    warm=0.5,
    window=1.0,
    peers=False,
    start_tasks=10,
    failing=(5,),
    alerts=2,
    storm=0,
    auctions=20,
    deposits=20,
    pool=(),
    recovered=(5, 20),
    page_tasks=5,
    scrape_tasks=5,
    month=(1, 2),
)


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of `values` are; raises ValueError where there are none."""
    ordered: Sequence[float] = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
