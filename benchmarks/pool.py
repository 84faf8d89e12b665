"""No-op runs of a pool through the whole product, with 1, 2 and 4 workers, beside PgQueuer alone.

    python -m benchmarks.pool [--workers 1 2 4] [--tasks 2000] [--seconds 8] [--latency 15]

Product: a leader and the workers are `dozor run` processes on an embedded server. A run counts when the state
that follows it is committed. PgQueuer: one process enqueues in batches, as many workers dequeue and
acknowledge; a job counts when it is acknowledged. Due to begun: `time.time()` in the checker, less its due
time, with 100 tasks once a second.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from benchmarks.marketplace import fill
from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE, QUEUE, MigrationSet
from dozor.storage.postgres.pool import Pool, connect, create_pool
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
BATCH = 500
AUCTIONS = 20_000


async def _database(server: str, *sets: MigrationSet) -> str:
    name = f"b_{uuid.uuid4().hex[:8]}"
    connection = await connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    dsn = server.replace("@/postgres?", f"@/{name}?")
    await migrate(dsn, sets)
    return dsn


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
    dsn = await _database(server, CORE, QUEUE)
    named = {f"t{n}": {"run": "pooled:nothing", "every": "20ms", "placement": "pool"} for n in range(tasks)}
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder), dsn, named)
        pool = await create_pool(dsn, max_size=2)
        try:
            for _ in range(workers):
                product.start("worker")
            product.start("leader")
            async with asyncio.timeout(60):
                while (await pool.fetchval(RUNS) or 0) < tasks:  # noqa: ASYNC110 -- rows of the database
                    await asyncio.sleep(0.1)
            return await _rate(lambda: pool.fetchval(RUNS), seconds)
        finally:
            product.stop()
            pool.terminate()


async def _auctions(server: str, workers: int, kills: int) -> str:
    """The auctions checker as four tasks of a pool; a worker is killed every second while work is left."""
    dsn = await _database(server, CORE, QUEUE, MIGRATIONS)
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
    dsn = await _database(server, CORE, QUEUE)
    named = {f"t{n}": {"run": "pooled:begun", "every": "1s", "placement": "pool"} for n in range(100)}
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder), dsn, named)
        begun = Path(folder) / "begun.txt"
        try:
            for role in ("worker", "worker", "leader"):
                product.start(role)
            async with asyncio.timeout(60):
                while not begun.exists() or begun.stat().st_size < 2_000:  # noqa: ASYNC110 -- a file
                    await asyncio.sleep(0.1)
            skipped = len(begun.read_text().splitlines())
            await asyncio.sleep(seconds)
            return [float(line) for line in begun.read_text().splitlines()[skipped:]]
        finally:
            product.stop()


async def _rate(count: Callable[[], Awaitable[Any]], seconds: float) -> float:
    first, began = await count(), time.perf_counter()
    await asyncio.sleep(seconds)
    last = await count()
    return float(last - first) / (time.perf_counter() - began)


def _started(role: str, dsn: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.pool", "--raw", role, dsn])


async def _raw(server: str, workers: int, seconds: float) -> float:
    """PgQueuer alone: its own statements, batched, without a run of ours."""
    alone = MigrationSet(QUEUE.schema, QUEUE.package, files=QUEUE.load()[:1])  # with its log
    dsn = await _database(server, alone)
    pool = await create_pool(dsn, max_size=4, json_codec=False)
    processes = [_started(role, dsn) for role in ("enqueue", *("dequeue",) * workers)]
    count = "SELECT count(*) FROM dozor_queue.pgqueuer_log WHERE status = 'successful'"
    try:
        async with asyncio.timeout(60):
            while await pool.fetchval(count) < BATCH:  # noqa: ASYNC110 -- rows of the database
                await asyncio.sleep(0.1)
        return await _rate(lambda: pool.fetchval(count), seconds)
    finally:
        for process in processes:
            process.terminate()
            process.wait(10)
        pool.terminate()


async def _raw_process(role: str, dsn: str) -> None:
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
    from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
    from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId
    from pgqueuer.ports.repository import EntrypointExecutionParameter
    from pgqueuer.queries import Queries

    from dozor.cluster.placement import environment, settings

    pool: Pool = await create_pool(dsn, max_size=4, json_codec=False)
    queries = Queries(AsyncpgPoolDriver(pool), qbe=environment(), qbq=QueryQueueBuilder(settings()))
    if role == "enqueue":
        while True:
            waiting = await pool.fetchval("SELECT count(*) FROM dozor_queue.pgqueuer")
            if waiting > 20 * BATCH:
                await asyncio.sleep(0.01)
                continue
            await queries.enqueue(["default"] * BATCH, [b"x"] * BATCH, [0] * BATCH)
    me = QueueManagerId(uuid.uuid4())
    offered = {QueueEntrypoint("default"): EntrypointExecutionParameter(concurrency_limit=0)}
    while True:
        jobs = await queries.dequeue(BATCH, offered, me, None, timedelta(seconds=30))
        if not jobs:
            await asyncio.sleep(0.01)
            continue
        await queries.log_jobs([(job, "successful", None) for job in jobs])


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
        for workers in options.workers:
            raw = await _raw(server.dsn, workers, options.seconds)
            ours = await _throughput(server.dsn, workers, options.tasks, options.seconds)
            print(
                f"{workers} worker(s): product {ours:8,.0f} runs/s   PgQueuer alone {raw:8,.0f} jobs/s   "
                f"{ours / raw:.0%}",
                flush=True,
            )
        if options.latency:
            found = sorted(await _latency(server.dsn, options.latency))
            p99 = found[int(len(found) * 0.99)]
            print(
                f"due to begun, {len(found)} runs: p50 {statistics.median(found) * 1000:.1f} ms, "
                f"p99 {p99 * 1000:.1f} ms, worst {found[-1] * 1000:.1f} ms"
            )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--latency", type=float, default=15.0)
    parser.add_argument(
        "--auctions", type=int, default=0, metavar="KILLS", help="the auctions checker instead"
    )
    parser.add_argument("--raw", nargs=2, metavar=("ROLE", "DSN"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.raw:
        asyncio.run(_raw_process(*options.raw))
    else:
        asyncio.run(_measure(options))


if __name__ == "__main__":
    main()
