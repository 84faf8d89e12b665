"""A campaign: processes run all three checkers and are killed at random, until nothing is left to do."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import Chain, raw
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import audit

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


async def start(dsn: str, url: str, batch: int) -> asyncio.subprocess.Process:
    """One worker, already at work."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.checkers.worker",
        dsn,
        url,
        str(batch),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def campaign(
    pool: Pool, dsn: str, *, kills: int, deposits: int, batch: int, seed: int, pause: tuple[float, float]
) -> Report:
    """Four workers at a time; every `pause` seconds (from, to) one is killed while work is left.

    Kills stop when `kills` are done, so that the rest can be finished.
    """
    chance = random.Random(seed)
    report = Report()
    chain = Chain()
    for _ in range(deposits):
        chain.transfer(DEPOSIT, "campaign")
    await pool.execute("INSERT INTO market.invoices (code, user_id) VALUES ('campaign', 1)")
    await pool.execute("INSERT INTO market.ton_wallets (address) VALUES ($1)", raw(chain.address))
    workers: list[asyncio.subprocess.Process] = []
    async with serve(Toncenter(chain)) as url:
        while await pool.fetchval(LEFT, deposits):
            missing = 4 - len(workers)
            workers += await asyncio.gather(*(start(dsn, url, batch) for _ in range(missing)))
            report.processes += missing
            await asyncio.sleep(chance.uniform(*pause))
            if report.kills < kills and await pool.fetchval(LEFT, deposits):
                victim = chance.choice(workers)
                if victim.returncode is None:
                    victim.kill()
                    await victim.wait()
                    report.kills += 1
            workers = [worker for worker in workers if worker.returncode is None]
        await asyncio.gather(*(worker.wait() for worker in workers))
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
