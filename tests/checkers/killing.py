"""A campaign: processes run all three checkers and are killed at random, until nothing is left to do."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import Chain, raw
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import audit
from tests.preloaded import processes
from tests.preloaded.processes import Started

ROOT = Path(__file__).parents[2]

LEFT = """
SELECT (SELECT count(*) FROM market.auctions WHERE state = 'open')
     + (SELECT count(*) FROM market.presales WHERE state = 'paid')
     + $1::bigint - (SELECT count(*) FROM market.deposits)"""
STATES = "SELECT state, count(*) FROM market.{} GROUP BY state"
DEPOSIT = 10_000_000


@dataclass(slots=True)
class Report:
    """What came of it. `left` and `faults` must be empty, counts must be those of the seed."""

    kills: int = 0
    processes: int = 0
    left: int = 0
    faults: list[str] = field(default_factory=list)
    auctions: Counter[str] = field(default_factory=Counter)
    bids: Counter[str] = field(default_factory=Counter)
    presales: Counter[str] = field(default_factory=Counter)
    settled_movements: int = 0
    deposited: int = 0
    quarantined: int = 0


def start(dsn: str, url: str, batch: int) -> Started:
    """One worker, already at work. Blocks until it is."""
    command = [sys.executable, "-m", "tests.checkers.worker", dsn, url, str(batch)]
    reading, writing = os.pipe()
    with open(reading, "rb") as said, open(os.devnull, "rb") as nothing:
        try:
            worker = processes.start(
                command, cwd=ROOT, env=os.environ, stdin=nothing.fileno(), stdout=writing, stderr=2
            )
        finally:
            os.close(writing)
        assert said.readline() == b"ready\n"
    return worker


async def campaign(
    pool: Pool, dsn: str, *, kills: int, deposits: int, batch: int, seed: int, pause: tuple[float, float]
) -> Report:
    """Four workers at a time, of which one is killed each time that another part of the first half is done.

    `kills`: how many parts, hence kills. `pause`: seconds (from, to) between looks at what is left.
    """
    chance = random.Random(seed)
    report = Report()
    chain = Chain()
    for _ in range(deposits):
        chain.transfer(DEPOSIT, "campaign")
    await pool.execute("INSERT INTO market.invoices (code, user_id) VALUES ('campaign', 1)")
    await pool.execute("INSERT INTO market.ton_wallets (address) VALUES ($1)", raw(chain.address))
    workers: list[Started] = []
    async with serve(Toncenter(chain)) as url:
        left = total = await pool.fetchval(LEFT, deposits)
        while left:
            missing = 4 - len(workers)
            workers += await asyncio.gather(
                *(asyncio.to_thread(start, dsn, url, batch) for _ in range(missing))
            )
            report.processes += missing
            await asyncio.sleep(chance.uniform(*pause))
            left = await pool.fetchval(LEFT, deposits)
            due = kills * 2 * (total - left) // total
            if left and report.kills < min(due, kills):
                victim = chance.choice(workers)
                if victim.poll() is None:
                    victim.kill()
                    await asyncio.to_thread(victim.wait)
                    report.kills += 1
            workers = [worker for worker in workers if worker.poll() is None]
        await asyncio.gather(*(asyncio.to_thread(worker.wait) for worker in workers))
    await examine(pool, report, deposits)
    return report


async def examine(pool: Pool, report: Report, deposits: int) -> None:
    """Read the books."""
    async with pool.acquire() as connection:
        report.left = await connection.fetchval(LEFT, deposits)
        report.faults = await audit(connection)
        for name, counter in (
            ("auctions", report.auctions),
            ("bids", report.bids),
            ("presales", report.presales),
        ):
            counter.update(dict(await connection.fetch(STATES.format(name))))
        report.settled_movements = await connection.fetchval(
            "SELECT count(*) FROM market.movements WHERE starts_with(reference, 'auction:')"
        )
        report.deposited = await connection.fetchval("SELECT sum(amount)::bigint FROM market.deposits")
        report.quarantined = await connection.fetchval("SELECT count(*) FROM dozor.quarantine")
