"""Short simulations with every test run; `make simulate` plays long ones."""

from __future__ import annotations

import pytest
from loguru import logger

from tests.effort import SOAK, cases
from tests.simulation.invariants import BrokenInvariantError
from tests.simulation.loop import run_virtually
from tests.simulation.planted import BUGS
from tests.simulation.world import Outcome, World


def life(seed: int, days: float = 60.0) -> Outcome:
    logger.disable("dozor")
    try:
        return run_virtually(World(seed, days=days, count=5).live())
    finally:
        logger.enable("dozor")


@pytest.mark.parametrize("seed", range(1, 6))
def test_no_invariant_is_broken(seed: int) -> None:
    outcome = life(seed)
    assert outcome.runs > 100


def test_a_seed_reproduces_a_life_exactly() -> None:
    days = cases(60, 120)
    first, second = life(7, days=days), life(7, days=days)
    assert first == second
    assert first.kills + first.outages > 0
    assert first.digest != life(8, days=days).digest


@pytest.mark.parametrize("bug", [name for name in BUGS if name is not None])
def test_a_planted_bug_is_found(bug: str) -> None:
    found = 0
    with BUGS[bug]():
        for seed in range(1, 6):
            if found and not SOAK:
                break
            try:
                life(seed, days=200)
            except BrokenInvariantError:
                found += 1
    assert found >= 1
