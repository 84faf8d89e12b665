"""Deposits ingested from a stand-in of Toncenter, beside tonutils alone reading the same history.

    python -m benchmarks.deposits                100,000 incoming transfers

The stand-in is a process of its own; CPU is this process's. Most of it is ton-core taking cells apart, which
is measured by itself, on cells of the same history: the rest of the checker's CPU is ours.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from loguru import logger
from ton_core import Cell, NetworkGlobalID, Transaction
from tonutils.clients import ToncenterClient

from benchmarks.place import benchmark_place
from dozor_market.decisions.attribution import issue_invoice
from dozor_market.demo.chain import OUR_WALLET, Chain
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import audit, create_user
from dozor_market.ton_deposits import check_transactions
from tests.checkers.stage import StageContext

AMOUNT: Final = 20_000_000
INVOICES: Final = 1000
SAMPLE: Final = 5000
CREDITED: Final = """
SELECT count(*) AS n, sum(amount)::bigint AS total FROM market.deposits WHERE state = 'credited'"""


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds: by the clock, and of this process's CPU."""

    wall: float
    cpu: float


class Watch:
    """Measures what happens within it."""

    def __enter__(self) -> Watch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.effort = Effort(time.perf_counter() - self._wall, time.process_time() - self._cpu)


async def stand_in(count: int) -> None:
    """Serve a chain of `count` transfers until standard input ends."""
    chain = Chain()
    for number in range(count):
        chain.transfer(AMOUNT + number, f"INV-{number % INVOICES}")
    async with serve(Toncenter(chain)) as url:
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def parse_with_ton_core(count: int) -> float:
    """Seconds of CPU that ton-core takes for one transaction: its cell with the hash, then its fields."""
    chain = Chain()
    data = [chain.transfer(AMOUNT + number, f"INV-{number % INVOICES}").data for number in range(count)]
    with Watch() as watch:
        for one in data:
            Transaction.deserialize(Cell.one_from_boc(one).begin_parse())
    return watch.effort.cpu / count


async def read_with_tonutils(url: str, count: int) -> Effort:
    """The peer: fetch and parse the whole history, and do nothing with it."""
    client = ToncenterClient(NetworkGlobalID.MAINNET, base_url=url, rps_limit=10**6)
    await client.connect()
    with Watch() as watch:
        found = await client.get_transactions(OUR_WALLET.to_str(), limit=count)
    await client.close()
    if len(found) != count:
        raise SystemExit(f"tonutils read {len(found)} of {count}")
    return watch.effort


async def ingest(url: str, count: int) -> tuple[Effort, Effort]:
    """The checker: everything new is read, verified, credited. Then a run that finds nothing new."""
    async with benchmark_place() as place:
        await place.create("run")
        async with place.pool("run") as pool:
            async with pool.acquire() as connection, connection.transaction():
                for number in range(INVOICES):
                    await issue_invoice(connection, f"INV-{number}", await create_user(connection, "payer"))
            context = StageContext(pool)
            efforts = []
            for _ in range(2):
                with Watch() as watch:
                    await check_transactions(
                        context,
                        providers=[{"kind": "toncenter", "url": url, "rps": 10**6}],
                        wallet=OUR_WALLET.to_str(),
                        behind_after=None,
                    )
                efforts.append(watch.effort)
            async with pool.acquire() as connection:
                faults = await audit(connection)
                row = await connection.fetchrow(CREDITED)
    expected = count * AMOUNT + count * (count - 1) // 2
    if faults or row["n"] != count or row["total"] != expected:
        raise SystemExit(f"credited {row['n']} of {count}, {row['total']} of {expected}: {faults[:3]}")
    return efforts[0], efforts[1]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of `count` transactions. `parsing`: seconds of CPU that ton-core takes for one of them."""

    count: int
    peer: Effort
    ours: Effort
    empty: Effort
    parsing: float


async def measure(count: int) -> Figures:
    """Read `count` transactions with tonutils alone, then with the checker."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.deposits",
        "--serve",
        f"--count={count}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    try:
        peer = await read_with_tonutils(url, count)
        ours, empty = await ingest(url, count)
    finally:
        process.terminate()
        await process.wait()
    return Figures(count, peer, ours, empty, parse_with_ton_core(min(count, SAMPLE)))


def show(found: Figures) -> None:
    count, parsing = found.count, found.parsing
    for name, effort in (("tonutils alone", found.peer), ("checker", found.ours)):
        print(
            f"{name:15} {effort.wall:6.2f} s  {count / effort.wall:7.0f} transactions/s"
            f"  CPU {effort.cpu / count * 1e6:6.1f} us a transaction"
        )
    print(f"of the checker's CPU, ton-core's parsing: {parsing * 1e6:.1f} us a transaction")
    print(f"ours: {(found.ours.cpu / count - parsing) * 1e6:.1f} us a transaction")
    print(
        f"a run with nothing new: {found.empty.wall * 1000:.1f} ms, of it CPU {found.empty.cpu * 1000:.1f} ms"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    logger.remove()
    if options.serve:
        asyncio.run(stand_in(options.count))
    else:
        show(asyncio.run(measure(options.count)))


if __name__ == "__main__":
    main()
