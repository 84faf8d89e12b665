"""Thousands of deposit addresses against stand-ins that allow 100 requests a second each.

    python -m benchmarks.addresses               10,000 addresses, one deposit each, two providers

The first run finds every deposit in the blocks since the addresses were registered. The second one is a run
with nothing new in them. Then one deposit to each of 100 addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Final

from loguru import logger
from ton_core import Address

from benchmarks.place import benchmark_place
from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import Chain, raw
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import audit, create_user
from dozor_market.ton_deposits import check_transactions
from tests.checkers.stage import StageContext

AMOUNT: Final = 20_000_000
RPS: Final = 100
BLOCK: Final = 500
"""Transactions in one block."""
SOME: Final = 100
CREDITED: Final = """
SELECT count(*) AS n, coalesce(sum(amount), 0)::bigint AS total
  FROM market.deposits WHERE state = 'credited'"""
WATCH: Final = """
INSERT INTO market.ton_wallets (address, user_id)
SELECT a, u FROM unnest($1::text[], $2::bigint[]) AS t (a, u)"""


def address(number: int) -> Address:
    """An address of ours."""
    return Address((0, number.to_bytes(32, "big")))


async def stand_in(count: int) -> None:
    """Serve `count` chains. Each line on standard input adds a deposit to the first so many of them."""
    chains = [Chain(address=address(number)) for number in range(count)]
    toncenter = Toncenter(*chains)
    toncenter.rps = RPS
    async with serve(toncenter) as url:
        print(url, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            deposits, utime = map(int, line.split())
            for at, chain in enumerate(chains[:deposits], 1):
                chain.utime = utime
                chain.transfer(AMOUNT)
                if at % BLOCK == 0:
                    toncenter.seal()
            print(toncenter.requests, toncenter.refused, toncenter.seal(), flush=True)


class Server:
    """A stand-in in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self.url = url

    @classmethod
    async def start(cls, count: int) -> Server:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.addresses",
            "--serve",
            f"--count={count}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        return cls(process, (await process.stdout.readline()).decode().strip())

    async def deposit(self, count: int, utime: int) -> list[int]:
        """Deposits to the first `count` addresses. Returns requests, refused ones, and the last block."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{count} {utime}\n".encode())
        return [int(word) for word in (await self._process.stdout.readline()).split()]

    async def stop(self) -> None:
        self._process.terminate()
        await self._process.wait()


async def run(pool: Pool, servers: Sequence[Server]) -> float:
    """Seconds of one run of the checker."""
    began = time.perf_counter()
    await check_transactions(
        StageContext(pool),
        providers=[{"kind": "toncenter", "url": server.url, "rps": RPS} for server in servers],
        behind_after=None,
    )
    return time.perf_counter() - began


async def measure(count: int) -> None:
    servers = [await Server.start(count) for _ in range(2)]
    try:
        async with benchmark_place() as place:
            await place.create("run")
            async with place.pool("run") as pool:
                async with pool.acquire() as connection, connection.transaction():
                    users = [await create_user(connection, "payer") for _ in range(count)]
                    await connection.execute(WATCH, [raw(address(at)) for at in range(count)], users)
                expected = 0
                for name, deposits in (("one deposit each", count), ("nothing new", 0), ("some", SOME)):
                    now = int(time.time())
                    before = [await server.deposit(deposits, now) for server in servers]
                    expected += deposits
                    took = await run(pool, servers)
                    after = [await server.deposit(0, now) for server in servers]
                    row = await pool.fetchrow(CREDITED)
                    assert row is not None
                    if (row["n"], row["total"]) != (expected, expected * AMOUNT):
                        raise SystemExit(f"{name}: credited {row['n']} of {expected}")
                    asked = [new[0] - old[0] for new, old in zip(after, before, strict=True)]
                    print(f"{name:17} {deposits:6} deposits  {took:6.1f} s  getTransactions {asked}")
                async with pool.acquire() as connection:
                    if faults := await audit(connection):
                        raise SystemExit(str(faults[:3]))
    finally:
        for server in servers:
            await server.stop()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    logger.remove()
    asyncio.run(stand_in(options.count) if options.serve else measure(options.count))


if __name__ == "__main__":
    main()
