"""`make simulate`: lives of a runner under random seeds, on every core. A broken invariant names its seed.

python -m tests.simulation.play --years 1 --tasks 100
python -m tests.simulation.play --years 1000 --tasks 10 --first-seed 1
python -m tests.simulation.play --seed 17 --tasks 10     # exactly that life again
python -m tests.simulation.play --plant held             # a bug on purpose: must be found
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from dataclasses import asdict

from loguru import logger

from tests.simulation.loop import run_virtually
from tests.simulation.planted import BUGS
from tests.simulation.world import Outcome, World


def life(seed: int, *, tasks: int, days: float = 365.0, plant: str | None = None) -> Outcome:
    """One life. Raises BrokenInvariantError, or whatever else goes wrong in it."""
    logger.remove()
    with BUGS[plant]():
        return run_virtually(World(seed, days=days, count=tasks).live())


def _guarded(job: tuple[int, int, float, str | None]) -> tuple[int, Outcome | None, str]:
    seed, tasks, days, plant = job
    try:
        return seed, life(seed, tasks=tasks, days=days, plant=plant), ""
    except (AssertionError, SystemExit, Exception) as error:  # noqa: BLE001 -- told with its seed
        return seed, None, f"{type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--days", type=float, default=365.0, help="of one life")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seed", type=int, help="one life only, and its digest")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plant", choices=[name for name in BUGS if name])
    options = parser.parse_args()
    began = time.monotonic()
    first = options.first_seed if options.seed is None else options.seed
    seeds = range(first, first + (options.years if options.seed is None else 1))
    jobs = [(seed, options.tasks, options.days, options.plant) for seed in seeds]
    total: Counter[str] = Counter()
    broken = 0
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for done, (seed, outcome, problem) in enumerate(pool.imap_unordered(_guarded, jobs), 1):
            if outcome is None:
                broken += 1
                print(f"seed {seed}: {problem}", flush=True)
            else:
                figures = asdict(outcome)
                total.update({name: value for name, value in figures.items() if isinstance(value, int)})
                if options.seed is not None:
                    print(figures)
            if done % 100 == 0:
                print(f"{done} lives, {broken} broken, {time.monotonic() - began:.0f} s", flush=True)
    del total["seed"]
    counts = ", ".join(f"{value:,} {name}" for name, value in total.items())
    spent = time.monotonic() - began
    print(f"{len(jobs)} x {options.days:g} days of {options.tasks} tasks in {spent:.1f} s: {counts}")
    print(f"{broken} broken" if broken else "no invariant broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
