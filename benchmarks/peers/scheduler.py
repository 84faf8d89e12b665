"""APScheduler 3: an AsyncIOScheduler with an interval trigger for each task, jobs in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from benchmarks.peers.arguments import Arguments, arguments, nothing
from benchmarks.suite.recorder import Beat


async def main(given: Arguments) -> None:
    scheduler = AsyncIOScheduler(
        timezone=UTC,
        executors={"default": AsyncIOExecutor()},
        job_defaults={"misfire_grace_time": None, "coalesce": True},
    )
    begin = datetime.now(UTC) + timedelta(seconds=0.05 + given.tasks / 10_000)
    every = given.tasks // given.recorded

    def checker(number: int, due: datetime) -> Callable[[], Awaitable[object]]:
        if number % every:
            return nothing
        beat = Beat(given.recorder, fixed_rate=True, first_due=due.timestamp())

        async def recorded() -> None:
            beat.ran()

        return recorded

    for number in range(given.tasks):
        due = begin + timedelta(seconds=number / given.tasks)
        scheduler.add_job(checker(number, due), "interval", seconds=1, start_date=due, next_run_time=due)
    scheduler.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
