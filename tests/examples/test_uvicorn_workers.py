"""`uvicorn --workers 3` with a runner in each worker: one leads, all answer, another one takes over."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from dozor.cluster import lease
from dozor.cluster.lease import Holder
from dozor.process.identity import ProcessIdentity
from dozor.storage.postgres.pool import connect, disconnect
from tests.effort import cases
from tests.examples.test_examples import Stage, free_port
from tests.system.process import DOZOR, PATIENCE, Process
from tests.waiting import stretched, until

LEASE = 3.0
SLACK = 3.0
"""Seconds that a busy machine may add."""
WORKERS = cases(2, 3)
PAUSE = 0.1
"""Seconds between two requests of a visitor."""
ENDS = [signal.SIGKILL, signal.SIGTERM] * cases(1, 3)
"""What the leader gets, one after the other."""

STUBBORN = """
import asyncio


async def check_rates(ctx):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ctx.log.info("cancelled, and goes on")
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """To one request, by the loop's clock. `pid` None: there was none."""

    began: float
    ended: float
    pid: int | None
    leads: bool = False


class Visitor:
    """Asks `/` again and again, each time on a connection of its own, so that any worker may answer."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/"
        self.answers: list[Answer] = []

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Four at a time."""
        visits = [asyncio.create_task(self._visit()) for _ in range(4)]
        yield
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    async def _visit(self) -> None:
        now = asyncio.get_running_loop().time
        connector = aiohttp.TCPConnector(force_close=True)
        limit = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:
            while True:
                began = now()
                try:
                    async with session.get(self._url) as response:
                        body = await response.json() if response.status == 200 else {}
                except (aiohttp.ClientError, TimeoutError):
                    body = {}
                self.answers.append(Answer(began, now(), body.get("pid"), body.get("leads", False)))
                await asyncio.sleep(PAUSE)

    def pids(self, since: float = 0.0) -> set[int]:
        return {one.pid for one in self.answers if one.pid is not None and one.began >= since}

    def first_leader(self, *, other_than: int = 0, since: float = 0.0) -> Answer | None:
        found = (one for one in self.answers if one.leads and one.pid != other_than and one.began >= since)
        return next(found, None)

    async def next_leader(self, former: int, since: float) -> Answer:
        """The first answer, asked for since then, of another worker that leads."""
        await until(lambda: self.first_leader(other_than=former, since=since) is not None, within=PATIENCE)
        found = self.first_leader(other_than=former, since=since)
        assert found is not None
        return found

    def failures(self, since: float) -> list[Answer]:
        """Requests begun since then that were not answered."""
        return [one for one in self.answers if one.began >= since and one.pid is None]


@pytest.fixture
def stage(tmp_path: Path, empty_database: str) -> Iterator[Stage]:
    """Its processes are a group of their own, which ends with the test: workers outlive a killed parent."""
    made = Stage(tmp_path / "app", empty_database)
    yield made
    with suppress(ProcessLookupError):
        os.killpg(made.process.pid, signal.SIGKILL)
    made.process.kill()


async def everybody_answers(visitor: Visitor, since: float = 0.0) -> None:
    try:
        await until(
            lambda: len(visitor.pids(since)) == WORKERS and visitor.first_leader(since=since) is not None,
            within=PATIENCE * 2,
        )
    except TimeoutError:
        raise AssertionError(f"{visitor.pids(since)}, {visitor.answers[-1:]}") from None


async def everybody_is_ready(port: int) -> None:
    """Several requests in a row are answered with 200, soon: a standby looks four times a second."""
    ready, said = 0, ""
    deadline = asyncio.get_running_loop().time() + stretched(PATIENCE)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        while ready < 4 * WORKERS:
            async with session.get(f"http://127.0.0.1:{port}/ready") as response:
                ready = ready + 1 if response.status == 200 else 0
                said = await response.text()
            assert asyncio.get_running_loop().time() < deadline, said
            await asyncio.sleep(0.02)


async def start(stage: Stage, port: int) -> Process:
    """Migrated, and started; it may not answer yet."""
    migrated = stage.start("uvicorn_workers", str(DOZOR), "migrate")
    assert await migrated.ends() == 0, migrated.text
    command = ("-m", "uvicorn", "app:app", "--port", str(port), "--workers", str(WORKERS), "--no-access-log")
    return stage.start("uvicorn_workers", *command, LEASE_TTL=f"{LEASE}s")


async def test_a_leader_that_ends_is_replaced_and_every_request_is_answered(stage: Stage) -> None:
    port = free_port()
    process = await start(stage, port)
    await process.says("Application startup complete", times=WORKERS, within=PATIENCE * 2)
    visitor, now = Visitor(port), asyncio.get_running_loop().time
    async with visitor.asking():
        await everybody_answers(visitor)
        await everybody_is_ready(port)
        for end in ENDS:
            leader = next(one for one in reversed(visitor.answers) if one.leads)
            assert leader.pid is not None
            killed = now()
            os.kill(leader.pid, end)
            gone = now()
            led = await visitor.next_leader(leader.pid, since=gone)
            print(f"another worker led {led.ended - killed:.2f} s after {end.name}")
            assert led.ended - killed < LEASE + 1.0 + SLACK
            await everybody_answers(visitor, since=led.ended)  # uvicorn has started a third one again
            assert not visitor.failures(since=gone)
            slowest = max(one.ended - one.began for one in visitor.answers if one.began >= gone)
            print(f"the slowest of {len(visitor.answers)} answers took {slowest:.2f} s")
    await process.says("rates are checked", times=2)
    assert await process.stop() in (0, -signal.SIGTERM), process.text
    assert "Traceback" not in process.text, process.text


async def test_a_worker_whose_run_outlives_the_lease_ends_and_is_replaced(
    stage: Stage, empty_database: str
) -> None:
    """Nothing can end the run but the end of its process, and nobody but the application ends that."""
    port = free_port()
    process = await start(stage, port)
    (stage.folder / "checkers.py").write_text(STUBBORN)
    await process.says("Application startup complete", times=WORKERS, within=PATIENCE * 2)
    visitor = Visitor(port)
    async with visitor.asking():
        await everybody_answers(visitor)
        await process.says("Starting background task: rates")
        led = visitor.first_leader()
        assert led is not None
        await take_over(empty_database, LEASE)
        await process.says("cancelled, and goes on")
        await process.says("this worker ends: The lease of the cluster was lost")
        await until(lambda: len(visitor.pids()) > WORKERS, within=PATIENCE * 2)
        with pytest.raises(ProcessLookupError):
            os.kill(led.pid or 0, 0)


async def take_over(dsn: str, ttl: float) -> None:
    """Another process takes the lease for `ttl` seconds, whatever the present leader thinks of it."""
    other = Holder(uuid4(), "other", "0", ProcessIdentity.own())
    connection = await connect(dsn)
    try:
        async with asyncio.timeout(10):
            while await lease.take(connection, other, ttl, lapsed=await lease.read(connection)) is None:
                pass
    finally:
        await disconnect(connection)
