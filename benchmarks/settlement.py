"""Settlement of expired auctions by the checker, beside one hand-written SQL script doing the same postings.

python -m benchmarks.settlement                 100,000 auctions, 500,000 bids: time, and times the script's
python -m benchmarks.settlement --sealed        the same with every bid's money still held
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any, Final

from loguru import logger

from benchmarks.handwritten import GUARDED, UNGUARDED
from benchmarks.marketplace import fill
from benchmarks.place import Place, benchmark_place
from runner.checkers.auctions import check_auctions
from runner.checkers.ledger import audit
from runner.storage.pool import Pool
from tests.checkers.stage import StageContext

BATCH: Final = 5000
STATES: Final = """
SELECT state, count(*), count(winning_bid_id), sum(hashtext(id || ':' || coalesce(winning_bid_id, 0)))
  FROM market.auctions GROUP BY state ORDER BY state"""
BALANCES: Final = "SELECT id, balance FROM market.accounts ORDER BY id"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds, and what must be the same for every contestant."""

    seconds: float
    states: list[tuple[Any, ...]]
    balances: list[tuple[Any, ...]]


async def settle_by_checker(pool: Pool) -> None:
    await check_auctions(StageContext(pool), batch=BATCH, behind_after=None)


async def settle_by_script(pool: Pool, script: str) -> None:
    async with pool.acquire() as connection:
        await connection.execute(script, timeout=600)


async def contest(place: Place, contestant: str) -> Outcome:
    await place.clone("seed", "run")
    async with place.pool("run") as pool:
        begun = time.perf_counter()
        match contestant:
            case "checker":
                await settle_by_checker(pool)
            case "script":
                await settle_by_script(pool, UNGUARDED)
            case "guarded script":
                await settle_by_script(pool, GUARDED)
        seconds = time.perf_counter() - begun
        faults = [] if contestant == "script" else await audit_all(pool)
        if faults:
            raise SystemExit(f"{contestant}: {faults[:3]}")
        return Outcome(
            seconds,
            [tuple(row) for row in await pool.fetch(STATES)],
            [tuple(row) for row in await pool.fetch(BALANCES)],
        )


async def audit_all(pool: Pool) -> list[str]:
    async with pool.acquire() as connection:
        return await audit(connection)


async def compare(auctions: int, bids_each: int, rounds: int, *, sealed: bool) -> dict[str, float]:
    """Median seconds of each contestant, in turn, on copies of one database; their results must agree."""
    times: dict[str, list[float]] = {"script": [], "guarded script": [], "checker": []}
    async with benchmark_place() as place:
        await place.create("seed")
        async with place.pool("seed") as pool, pool.acquire() as connection:
            await fill(connection, auctions=auctions, bids_each=bids_each, sealed=sealed)
        first: Outcome | None = None
        for _ in range(rounds):
            for contestant, seconds in times.items():
                outcome = await contest(place, contestant)
                first = first or outcome
                if (outcome.states, outcome.balances) != (first.states, first.balances):
                    raise SystemExit(f"{contestant} settled differently")
                seconds.append(outcome.seconds)
    return {contestant: statistics.median(seconds) for contestant, seconds in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--auctions", type=int, default=100_000)
    parser.add_argument("--bids-each", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sealed", action="store_true")
    arguments = parser.parse_args()
    logger.remove()
    times = asyncio.run(
        compare(arguments.auctions, arguments.bids_each, arguments.rounds, sealed=arguments.sealed)
    )
    print(
        f"{arguments.auctions} auctions, {arguments.auctions * arguments.bids_each} bids, batches of {BATCH}"
    )
    for contestant, seconds in times.items():
        print(
            f"{contestant:15} {seconds:6.2f} s  {arguments.auctions / seconds:8.0f} auctions/s"
            f"  {seconds / times['script']:5.2f} x script"
            f"  {seconds / times['guarded script']:5.2f} x guarded script"
        )


if __name__ == "__main__":
    main()
