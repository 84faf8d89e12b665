"""What breaks, when, and for how long: what the messages are compared with. Made from a seed."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush

RESTART_DELAY = 20.0
REPEATED, STOPPED_AFTER = 3, 5
"""Failures: to the first alert, and to a critical stop of the tasks that stop."""
PAUSE = 150.0
"""Seconds a task is well between two breakages, so that a run succeeds."""
BURSTS = 0.005
"""The share of bursts among what happens."""


def every(task: str) -> float:
    """Seconds between its runs, 45 to 75: so that not all fail in the same second. Tasks are t000, t001, …"""
    return 45.0 + int(task[1:]) * 7 % 31


class Temper(StrEnum):
    """How a task takes failures."""

    PATIENT = "patient"
    """Never stops."""
    STRICT = "strict"
    """Stops, until a person restarts it."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """A task fails with an error of this name in [begins, ends): fast seconds since the beginning."""

    task: str
    error: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Truth:
    """`tempers`: all tasks. `breakages`: of each task, in order of time. `ends`: when all is well again."""

    tempers: dict[str, Temper]
    breakages: dict[str, list[Breakage]]
    ends: float

    @property
    def count(self) -> int:
        return sum(map(len, self.breakages.values()))

    def broken(self, task: str, at: float) -> Breakage | None:
        """What is wrong with it at `at`."""
        mine = self.breakages[task]
        number = bisect_right(mine, at, key=lambda one: one.begins)
        if number == 0 or at >= mine[number - 1].ends:
            return None
        return mine[number - 1]


def make(count: int, luck: random.Random, *, tasks: int, begins: float, gap: float, longest: float) -> Truth:
    """`count` breakages of `tasks` tasks: one every `gap` seconds on average, now and then many at once.

    The first at `begins`; `longest`: seconds that a breakage lasts at most.
    """
    names = [f"t{number:03}" for number in range(tasks)]
    tempers = {name: Temper.STRICT if number % 5 < 2 else Temper.PATIENT for number, name in enumerate(names)}
    breakages: dict[str, list[Breakage]] = {name: [] for name in names}
    free = [(begins, luck.random(), name) for name in names]
    free.sort()
    at, number, events, bursts = begins, 0, 0, 0
    while number < count:
        at = max(at + luck.expovariate(1 / gap), free[0][0])
        events += 1
        wanted = luck.random() < BURSTS or (bursts == 0 and number >= 0.6 * count)
        burst = luck.randint(8, 40) if wanted else 1
        bursts += int(wanted)
        spread = luck.choice((0.0, 5.0, 20.0))
        for place in range(min(burst, count - number)):
            if free[0][0] > at:
                break
            _, _, name = heappop(free)
            error = f"Broken{number:05}Error" if burst == 1 else f"Burst{events:05}Error"
            first = at + place * spread / burst
            one = Breakage(name, error, first, first + min(_lasts(tempers[name], luck), longest))
            breakages[name].append(one)
            heappush(free, (one.ends + PAUSE, luck.random(), name))
            number += 1
    return Truth(tempers, breakages, max(one.ends for mine in breakages.values() for one in mine))


def _lasts(temper: Temper, luck: random.Random) -> float:
    """Seconds: the first failure comes within `every`, the next ones each RESTART_DELAY later."""
    chance = luck.random()
    match temper:
        case Temper.PATIENT if chance < 0.7:
            return luck.uniform(120, 300)
        case Temper.PATIENT if chance < 0.93:
            return luck.uniform(300, 1200)
        case Temper.PATIENT:
            return luck.uniform(1200, 3000)
        case Temper.STRICT if chance < 0.2:
            return luck.uniform(105, 120)  # over before it stops, mostly
        case Temper.STRICT if chance < 0.8:
            return luck.uniform(180, 500)
        case Temper.STRICT:
            return luck.uniform(500, 2000)
