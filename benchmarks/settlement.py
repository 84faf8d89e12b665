"""Settlement of expired auctions by the checker, beside one hand-written SQL script doing the same postings.

python -m benchmarks.settlement              100,000 auctions, 500,000 bids: seconds, and times the script's
python -m benchmarks.settlement --sealed     the same with every bid's money still held
python -m benchmarks.settlement --kills      four processes, all three checkers, at least 30 kills
python -m benchmarks.settlement --empty      an empty run with 10 million settled rows (minutes, 6 GB of disk)
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from loguru import logger

from benchmarks.empty_run import measure_empty_run
from benchmarks.handwritten import GUARDED, UNGUARDED
from benchmarks.marketplace import fill
from benchmarks.place import Place, benchmark_place
from dozor.storage.postgres.pool import Pool
from dozor_market.auctions import check_auctions
from dozor_market.ledger import audit
from tests.checkers.killing import DEPOSIT, campaign
from tests.checkers.stage import StageContext

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


async def settle_by_script(pool: Pool, script: str) -> None:
    async with pool.acquire() as connection:
        await connection.execute(script, timeout=600)


async def contest(place: Place, contestant: str) -> Outcome:
    """One contestant on a fresh copy of the seed."""
    await place.clone("seed", "run")
    async with place.pool("run") as pool:
        begun = time.perf_counter()
        match contestant:
            case "checker":
                await check_auctions(StageContext(pool), behind_after=None)
            case "script":
                await settle_by_script(pool, UNGUARDED)
            case "guarded script":
                await settle_by_script(pool, GUARDED)
        seconds = time.perf_counter() - begun
        async with pool.acquire() as connection:
            faults = await audit(connection)
        if faults:
            raise SystemExit(f"{contestant}: {faults[:3]}")
        return Outcome(
            seconds,
            [tuple(row) for row in await pool.fetch(STATES)],
            [tuple(row) for row in await pool.fetch(BALANCES)],
        )


async def compare(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each contestant, in turn, on copies of one database; their results must agree."""
    times: dict[str, list[float]] = {"script": [], "guarded script": [], "checker": []}
    async with benchmark_place(embedded=options.embedded) as place:
        await place.create("seed")
        async with place.pool("seed") as pool, pool.acquire() as connection:
            await fill(
                connection, auctions=options.auctions, bids_each=options.bids_each, sealed=options.sealed
            )
        first: Outcome | None = None
        for _ in range(options.rounds):
            for contestant, seconds in times.items():
                outcome = await contest(place, contestant)
                first = first or outcome
                if (outcome.states, outcome.balances) != (first.states, first.balances):
                    raise SystemExit(f"{contestant} settled differently")
                seconds.append(outcome.seconds)
                print(f"  {contestant}: {outcome.seconds:.1f} s", flush=True)
    return times


def show(options: argparse.Namespace, times: dict[str, list[float]]) -> None:
    bids = options.auctions * options.bids_each
    kind = "sealed, all held" if options.sealed else "open"
    print(f"{options.auctions} auctions ({kind}), {bids} bids; median (least to most) of {options.rounds}")
    medians = {contestant: statistics.median(seconds) for contestant, seconds in times.items()}
    for contestant, seconds in times.items():
        median = medians[contestant]
        print(
            f"{contestant:15} {median:6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
            f"  {options.auctions / median:7.0f} auctions/s  {median / medians['script']:5.2f} x script"
            f"  {median / medians['guarded script']:5.2f} x guarded script"
        )


async def kill(options: argparse.Namespace) -> None:
    """The kill campaign, whole. Exits with what is wrong, if anything is."""
    presales, deposits = options.auctions // 10, options.auctions // 50
    async with benchmark_place(embedded=options.embedded) as place:
        await place.create("run")
        async with place.pool("run") as pool:
            async with pool.acquire() as connection:
                await fill(connection, auctions=options.auctions, presales=presales, sealed=options.sealed)
            begun = time.perf_counter()
            report = await campaign(
                pool,
                place.at("run"),
                kills=options.at_least,
                deposits=deposits,
                batch=50,
                seed=options.seed,
                pause=(0.05, 0.4),
            )
            seconds = time.perf_counter() - begun
    print(f"{report.kills} kills of {report.processes} processes in {seconds:.0f} s")
    print(f"auctions {dict(report.auctions)}, bids {dict(report.bids)}, presales {dict(report.presales)}")
    print(f"left {report.left}, quarantined {report.quarantined}, faults {report.faults[:5]}")
    wrong = [
        report.kills < options.at_least,
        report.left or report.quarantined or report.faults,
        report.settled_movements != report.auctions["settled"],
        report.bids["won"] != report.auctions["settled"],
        report.auctions.total() != options.auctions,
        report.presales != {"overdue": presales},
        report.deposited != deposits * DEPOSIT,
    ]
    if any(wrong):
        raise SystemExit(f"not as it should be: {wrong}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--auctions", type=int, default=100_000)
    parser.add_argument("--bids-each", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sealed", action="store_true")
    parser.add_argument("--embedded", action="store_true", help="with the embedded server's own settings")
    parser.add_argument("--kills", action="store_true")
    parser.add_argument("--at-least", type=int, default=30, help="kills")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--rows", type=int, default=10_000_000, help="settled rows for --empty")
    options = parser.parse_args(argv)
    logger.remove()
    if options.kills:
        asyncio.run(kill(options))
    elif options.empty:
        asyncio.run(measure_empty_run(options.rows))
    else:
        show(options, asyncio.run(compare(options)))


if __name__ == "__main__":
    main()
