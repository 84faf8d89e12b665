"""Procrastinate: periodic tasks by cron, deferred and run by one worker on PostgreSQL.

    python -m benchmarks.peers.periodic TASKS RECORDED FILE DSN

The cron of every task is `* * * * * *`, once a second by croniter's sixth field; Procrastinate defers what is
due half a second after it (`procrastinate.periodic.MARGIN`), and all tasks are due at the same moment.
"""

from __future__ import annotations

import asyncio
import sys

from procrastinate import App, PsycopgConnector

from benchmarks.peers.arguments import Arguments, arguments


async def main(given: Arguments, dsn: str) -> None:
    app = App(connector=PsycopgConnector(conninfo=dsn))
    every = given.tasks // given.recorded

    def declare(number: int) -> None:
        record = number % every == 0

        @app.periodic(cron="* * * * * *")
        @app.task(name=f"task_{number:05}")
        async def checker(timestamp: int) -> None:
            if record:
                given.recorder.ran(float(timestamp))

    for number in range(given.tasks):
        declare(number)
    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        await app.run_worker_async(concurrency=20, install_signal_handlers=True)


if __name__ == "__main__":
    asyncio.run(main(arguments(), sys.argv[4]))
