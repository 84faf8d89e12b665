"""Other queues for `benchmarks.pool`, each as one process that enqueues and some that work.

PgQueuer: its own statements, in batches of 500, without a run of ours. Procrastinate: its worker with 100
jobs at once, jobs deferred in batches of 500. Celery: Redis as its broker, `solo` workers, no results; a job
is acknowledged before it is run, and nothing is on disk. Procrastinate and Celery come from the dependency
group `bench`, Redis is Debian's `redis-server`; a peer that is not installed is left out.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from importlib import import_module
from typing import Any

from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import QUEUE, MigrationSet
from dozor.storage.postgres.pool import Pool, connect, create_pool

BATCH = 500
WAITING = 20 * BATCH
"""Jobs that wait at most: whoever enqueues stops there until some are done."""


async def new_database(server: str, *sets: MigrationSet) -> str:
    name = f"b_{uuid.uuid4().hex[:8]}"
    connection = await connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    dsn = server.replace("@/postgres?", f"@/{name}?")
    await migrate(dsn, sets)
    return dsn


async def rate(count: Callable[[], Awaitable[Any]], seconds: float) -> float:
    """What `count` grows by in a second."""
    first, began = await count(), time.perf_counter()
    await asyncio.sleep(seconds)
    last = await count()
    return float(last - first) / (time.perf_counter() - began)


async def _measured(
    name: str,
    workers: int,
    where: str,
    waiting: Callable[[], Awaitable[Any]],
    done: Callable[[], Awaitable[Any]],
    seconds: float,
) -> float:
    """The rate of `done`: one process enqueues until ten batches are `waiting`, then the workers join it."""
    command = [sys.executable, "-m", "benchmarks.pool", "--peer"]
    processes = [_started([*command, f"{name}-enqueue", where])]
    try:
        async with asyncio.timeout(120):
            while await waiting() < 10 * BATCH:  # noqa: ASYNC110 -- of a server
                await asyncio.sleep(0.05)
            processes += [_started([*command, f"{name}-work", where]) for _ in range(workers)]
            while await done() < BATCH:  # noqa: ASYNC110 -- of a server
                await asyncio.sleep(0.05)
        return await rate(done, seconds)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


# -- PgQueuer


async def pgqueuer(server: str, workers: int, seconds: float) -> float:
    # With its log and its notifications.
    alone = MigrationSet(QUEUE.schema, QUEUE.package, files=QUEUE.load()[:1])
    dsn = await new_database(server, alone)
    pool = await create_pool(dsn, max_size=1)
    waiting = "SELECT count(*) FROM dozor_queue.pgqueuer"
    done = "SELECT count(*) FROM dozor_queue.pgqueuer_log WHERE status = 'successful'"
    try:
        return await _measured(
            "pgqueuer", workers, dsn, lambda: pool.fetchval(waiting), lambda: pool.fetchval(done), seconds
        )
    finally:
        pool.terminate()


async def _pgqueuer(role: str, dsn: str) -> None:
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
    from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
    from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId
    from pgqueuer.ports.repository import EntrypointExecutionParameter
    from pgqueuer.queries import Queries

    from dozor.cluster.placement import environment, settings

    pool: Pool = await create_pool(dsn, max_size=4, json_codec=False, reset=False)
    queries = Queries(AsyncpgPoolDriver(pool), qbe=environment(), qbq=QueryQueueBuilder(settings()))
    if role == "pgqueuer-enqueue":
        while True:
            waiting = await pool.fetchval("SELECT count(*) FROM dozor_queue.pgqueuer")
            if waiting > WAITING:
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


# -- Procrastinate


async def procrastinate(server: str, workers: int, seconds: float) -> float | None:
    if importlib.util.find_spec("procrastinate") is None:
        return None
    dsn = await new_database(server)
    app, _ = _procrastinate_app(dsn)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
    pool = await create_pool(dsn, max_size=1)
    waiting = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"
    done = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"
    try:
        return await _measured(
            "procrastinate",
            workers,
            dsn,
            lambda: pool.fetchval(waiting),
            lambda: pool.fetchval(done),
            seconds,
        )
    finally:
        pool.terminate()


def _procrastinate_app(dsn: str) -> tuple[Any, Any]:
    queue = import_module("procrastinate")  # as the others below: mypy may not find it
    app = queue.App(connector=queue.PsycopgConnector(conninfo=dsn))

    @app.task(name="nothing")  # type: ignore[untyped-decorator]  # of a module without types
    async def nothing() -> None:
        pass

    return app, nothing


async def _procrastinate(role: str, dsn: str) -> None:
    app, nothing = _procrastinate_app(dsn)
    async with app.open_async():
        if role == "procrastinate-work":
            await app.run_worker_async(concurrency=100, install_signal_handlers=False)
            return
        waiting = "SELECT count(*) AS count FROM procrastinate_jobs WHERE status = 'todo'"
        while True:
            row = await app.connector.execute_query_one_async(waiting)
            if row["count"] > WAITING:
                await asyncio.sleep(0.1)
                continue
            await nothing.batch_defer_async(*({} for _ in range(BATCH)))


# -- Celery


async def celery(server: str, workers: int, seconds: float) -> float | None:
    """`server` is not used: its jobs are in a Redis of its own."""
    redis_server = shutil.which("redis-server")
    if redis_server is None or importlib.util.find_spec("celery") is None:
        return None
    redis = import_module("redis")
    with _redis(redis_server) as url:
        counter = redis.Redis.from_url(url)

        async def done() -> int:
            return int(counter.get("done") or 0)

        async def waiting() -> int:
            return int(counter.llen("celery"))

        return await _measured("celery", workers, url, waiting, done, seconds)


@contextmanager
def _redis(program: str) -> Iterator[str]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)  # noqa: TID251 -- no loop here
        yield f"redis://127.0.0.1:{port}/0"


def _celery(role: str, url: str) -> None:
    redis, queue = import_module("redis"), import_module("celery")
    app = queue.Celery("peer", broker=url)
    app.conf.update(
        task_ignore_result=True, worker_prefetch_multiplier=BATCH, worker_enable_remote_control=False
    )
    client, done = redis.Redis.from_url(url), 0

    @app.task(name="nothing")  # type: ignore[untyped-decorator]  # of a module without types
    def nothing() -> None:
        nonlocal done
        done += 1
        if done % 100 == 0:
            client.incrby("done", 100)

    if role == "celery-work":
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        name = f"{uuid.uuid4()}@x"
        app.worker_main(["worker", "--pool", "solo", "--loglevel", "ERROR", *alone, "--hostname", name])
        return
    with app.producer_pool.acquire(block=True) as producer:
        while True:
            if int(client.llen("celery")) > WAITING:
                time.sleep(0.01)  # noqa: TID251 -- no loop here
                continue
            for _ in range(BATCH):
                nothing.apply_async(producer=producer)


PEERS: dict[str, Callable[[str, int, float], Awaitable[float | None]]] = {
    "PgQueuer alone": pgqueuer,
    "Procrastinate": procrastinate,
    "Celery on Redis": celery,
}


def run_process(role: str, where: str) -> None:
    """One of the processes of a peer; until it is ended."""
    match role.partition("-")[0]:
        case "pgqueuer":
            asyncio.run(_pgqueuer(role, where))
        case "procrastinate":
            asyncio.run(_procrastinate(role, where))
        case "celery":
            _celery(role, where)
