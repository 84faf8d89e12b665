"""No-op runs of a pool through the whole product, with 1, 2 and 4 workers, beside other queues.

    python -m benchmarks.pool [--workers 1 2 4] [--rounds 3] [--seconds 8] [--latency 15]

Product: a leader and the workers are `dozor run` processes on an embedded server. A run counts when the state
that follows it is committed. The others, see `benchmarks.pool_peers`: a job counts when it is acknowledged.
All sides take turns in each round. Due to begun: `time.time()` in the checker, less its due time, with 100
tasks once a second.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.marketplace import fill
from benchmarks.pool_peers import PEERS, new_database, rate, run_process
from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migration_sets import CORE, QUEUE
from dozor.storage.postgres.pool import create_pool
from dozor_market.ledger import audit
from dozor_market.schema import MIGRATIONS

GOALS = "goals: at least 50 % of PgQueuer alone; due to begun at most 25 ms p50, 60 ms p99"
DOZOR = Path(sys.executable).with_name("dozor")
CHECKER = """
import time
from pathlib import Path

from dozor import Context

BEGUN = (Path(__file__).parent / "begun.txt").open("a", buffering=1)


async def nothing() -> None:
    pass


async def begun(ctx: Context) -> None:
    BEGUN.write(f"{time.time() - ctx.scheduled_at.timestamp()}\\n")
"""
RUNS = "SELECT sum(runs_total) FROM dozor.tasks"
AUCTIONS = 20_000
START_WITHIN = 120.0
"""Seconds; on a quiet machine it takes five."""


class Product:
    """A leader and workers in a folder of their own."""

    def __init__(self, folder: Path, dsn: str, tasks: dict[str, Any], lease: str = "15s") -> None:
        self.folder = folder
        (folder / "pooled.py").write_text(CHECKER)
        config = {
            "language": "en",
            "database": {"url": dsn},
            "web": {"listen": None},
            "cluster": {"enabled": True, "slots": 500, "lease_ttl": lease},
            "tasks": tasks,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, role: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{role}-{len(self._processes)}.log").open("wb")
        command = [str(DOZOR), "run", "-c", str(self.folder / "config.yaml"), "--role", role]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self._processes.append(process)
        return process

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


async def _throughput(server: str, workers: int, tasks: int, seconds: float) -> float:
    dsn = await new_database(server, CORE, QUEUE)
    named = {f"t{n}": {"run": "pooled:nothing", "every": "20ms", "placement": "pool"} for n in range(tasks)}
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder), dsn, named)
        pool = await create_pool(dsn, max_size=2)
        try:
            for _ in range(workers):
                product.start("worker")
            product.start("leader")
            async with asyncio.timeout(START_WITHIN):
                while (await pool.fetchval(RUNS) or 0) < tasks:  # noqa: ASYNC110 -- rows of the database
                    await asyncio.sleep(0.1)
            return await rate(lambda: pool.fetchval(RUNS), seconds)
        finally:
            product.stop()
            pool.terminate()


async def _auctions(server: str, workers: int, kills: int) -> str:
    """The auctions checker as four tasks of a pool; a worker is killed every second while work is left."""
    dsn = await new_database(server, CORE, QUEUE, MIGRATIONS)
    pool = await create_pool(dsn, max_size=2, command_timeout=None)
    async with pool.acquire() as connection:
        await fill(connection, people=500, auctions=AUCTIONS)
    checker = {"run": "dozor_market.auctions:check_auctions", "every": "200ms", "placement": "pool"}
    rules = {"args": {"batch": 20}, "restart_delay": "200ms", "max_consecutive_failures": None}
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder), dsn, {f"a{n}": {**checker, **rules} for n in range(4)}, lease="3s")
        try:
            product.start("leader")
            running = [product.start("worker") for _ in range(workers)]
            done, left = 0, AUCTIONS
            async with asyncio.timeout(240):
                while left:
                    await asyncio.sleep(1.0)
                    left = await pool.fetchval("SELECT count(*) FROM market.auctions WHERE state = 'open'")
                    if done < kills and left < AUCTIONS:
                        running[done % workers].kill()
                        running[done % workers] = product.start("worker")
                        done += 1
        finally:
            product.stop()
        async with pool.acquire() as connection:
            faults = await audit(connection)
        pool.terminate()
    return f"{AUCTIONS:,} auctions settled under {done} kills; faults of the ledger: {faults or 'none'}"


async def _latency(server: str, seconds: float) -> list[float]:
    dsn = await new_database(server, CORE, QUEUE)
    named = {f"t{n}": {"run": "pooled:begun", "every": "1s", "placement": "pool"} for n in range(100)}
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder), dsn, named)
        begun = Path(folder) / "begun.txt"
        try:
            for role in ("worker", "worker", "leader"):
                product.start(role)
            async with asyncio.timeout(START_WITHIN):
                while not begun.exists() or begun.stat().st_size < 2_000:  # noqa: ASYNC110 -- a file
                    await asyncio.sleep(0.1)
            skipped = len(begun.read_text().splitlines())
            await asyncio.sleep(seconds)
            return [float(line) for line in begun.read_text().splitlines()[skipped:]]
        finally:
            product.stop()


async def _measure(options: argparse.Namespace) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="dozor-") as folder,
        start_embedded(Path(folder) / "pg") as server,
    ):
        if options.auctions:
            for workers in options.workers:
                print(
                    f"{workers} worker(s): {await _auctions(server.dsn, workers, options.auctions)}",
                    flush=True,
                )
            return
        print(GOALS)
        for workers in options.workers if options.rounds else ():
            measured: dict[str, list[float]] = {}
            for _ in range(options.rounds):
                ours = await _throughput(server.dsn, workers, options.tasks, options.seconds)
                measured.setdefault("product", []).append(ours)
                _progress(workers, "product", ours)
                for name, peer in PEERS.items():
                    if (found := await peer(server.dsn, workers, options.seconds)) is not None:
                        measured.setdefault(name, []).append(found)
                        _progress(workers, name, found)
            medians = {name: statistics.median(rates) for name, rates in measured.items()}
            shown = "   ".join(f"{name} {median:,.0f}/s" for name, median in medians.items())
            share = medians["product"] / medians["PgQueuer alone"]
            print(f"{workers} worker(s): {shown}   product of PgQueuer alone: {share:.0%}", flush=True)
        if options.latency:
            late = sorted(await _latency(server.dsn, options.latency))
            p99 = late[int(len(late) * 0.99)]
            print(
                f"due to begun, {len(late)} runs: p50 {statistics.median(late) * 1000:.1f} ms, "
                f"p99 {p99 * 1000:.1f} ms, worst {late[-1] * 1000:.1f} ms"
            )


def _progress(workers: int, name: str, found: float) -> None:
    """Not on standard output, which has the results."""
    print(f"  {workers} worker(s), {name}: {found:,.0f}/s", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--latency", type=float, default=15.0)
    parser.add_argument(
        "--auctions", type=int, default=0, metavar="KILLS", help="the auctions checker instead"
    )
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many; 0: no throughput")
    parser.add_argument("--peer", nargs=2, metavar=("ROLE", "WHERE"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.peer:
        run_process(*options.peer)
    else:
        asyncio.run(_measure(options))


if __name__ == "__main__":
    main()
