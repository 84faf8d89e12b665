"""How soon a standby runs tasks after the leader of 10,000 tasks was killed.

    python -m benchmarks.take_over [--tasks 10000] [--lease 15] [--rounds 2] [--pool]

Two `dozor run` processes on an embedded server; the leader is killed with SIGKILL. "Same machine": the
standby sees that the process is dead. "Another machine": the lease names another boot: it waits for its end.
`--pool`: the runs go to a third process, a worker.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pool import Product
from benchmarks.pool_peers import new_database
from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migration_sets import CORE, QUEUE
from dozor.storage.postgres.pool import Pool, create_pool

GOAL = "goal: the first run at most the lease and 2 s after the kill"
NOT_RUN = "SELECT count(*) FROM dozor.tasks WHERE last_success_at IS NULL"
CHECKER = """
import time
from pathlib import Path

from dozor import Context

BEGUN: set[int] = set()


async def first(ctx: Context) -> None:
    if ctx.epoch not in BEGUN:
        BEGUN.add(ctx.epoch)
        (Path(__file__).parent / f"epoch-{ctx.epoch}").write_text(str(time.monotonic()))
"""


async def _led(pool: Pool, folder: Path, after: int) -> tuple[int, float]:
    """The epoch that follows `after`, and when its first run began by CLOCK_MONOTONIC."""
    async with asyncio.timeout(120):
        while True:
            epoch = await pool.fetchval("SELECT epoch FROM dozor.lease")
            begun = folder / f"epoch-{epoch}"
            if epoch > after and begun.exists() and (text := begun.read_text()):
                return epoch, float(text)
            await asyncio.sleep(0.02)


async def _take_over(server: str, options: argparse.Namespace, *, same_machine: bool) -> list[float]:
    dsn = await new_database(server, CORE, QUEUE)
    task: dict[str, Any] = {"run": "pooled:first", "every": "60s"}
    if options.pool:
        task["placement"] = "pool"
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = {f"t{n}": task for n in range(options.tasks)}
        tasks["t0"] = {**task, "every": "100ms"}  # due at any moment
        product = Product(folder, dsn, tasks, lease=f"{options.lease}s")
        (folder / "pooled.py").write_text(CHECKER)
        pool = await create_pool(dsn, max_size=1)
        try:
            if options.pool:
                product.start("worker")
            leader = product.start("leader")
            await _led(pool, folder, 0)
            async with asyncio.timeout(90):
                while await pool.fetchval(NOT_RUN):  # noqa: ASYNC110 -- rows of the database
                    await asyncio.sleep(0.5)
            for _ in range(options.rounds):
                standby = product.start("leader")
                await _stands_by(pool)
                await asyncio.sleep(2.0)  # states of the last second are written
                if not same_machine:
                    await pool.execute("UPDATE dozor.lease SET boot_id = 'another'")
                row = await pool.fetchrow("SELECT epoch, pid FROM dozor.lease")
                if row["pid"] != leader.pid:
                    raise SystemExit("the leader lost its lease by itself: this machine is too busy")
                killed = time.monotonic()
                leader.kill()
                _, began = await _led(pool, folder, row["epoch"])
                found.append(began - killed)
                leader = standby
        finally:
            product.stop()
            pool.terminate()
    return found


async def _stands_by(pool: Pool) -> None:
    present = "SELECT count(*) FROM dozor.replicas WHERE role = 'standby'"
    async with asyncio.timeout(120):
        while not await pool.fetchval(present):  # noqa: ASYNC110 -- rows of the database
            await asyncio.sleep(0.05)


async def _measure(options: argparse.Namespace) -> None:
    print(GOAL)
    with (
        tempfile.TemporaryDirectory(prefix="dozor-") as folder,
        start_embedded(Path(folder) / "pg") as server,
    ):
        for same in (True, False):
            seconds = await _take_over(server.dsn, options, same_machine=same)
            where = "same machine" if same else "another machine"
            shown = ", ".join(f"{one:.2f}" for one in seconds)
            print(f"{options.tasks:,} tasks, lease {options.lease} s, {where}: {shown} s", flush=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--lease", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--pool", action="store_true", help="runs of a pool, with one worker")
    asyncio.run(_measure(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
