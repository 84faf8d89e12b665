"""The fault campaign on alerts: 429 storms, 5xx, refusals, hangs, lost answers, other places, kill -9s.

    python -m benchmarks.campaign [--incidents 10000] [--seed 1] [--crashes 5]

In virtual time on a real PostgreSQL, which loses connections at random and is killed `--crashes` times. Ends
with 1 if an incident was not told, or not told to be over, or told late as current, or twice unmarked, or not
told in the chat, topic or of the bot that the configuration has since, or if a message id left its place.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

from loguru import logger

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.storage.journal import Journal
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.pool import create_pool
from tests.alerting.campaign import Campaign, Report
from tests.alerting.stage import Stage, hooks
from tests.alerting.story import ManualClock
from tests.server import PostgresControl


async def _run(control: PostgresControl, incidents: int, seed: int, crashes: int) -> Report:
    await migrate(control.dsn)
    clock = ManualClock()
    direct_sends = DirectSends()
    journal = await Journal.open(control.dsn, "campaign", clock, hooks=hooks(direct_sends))
    pool = await create_pool(control.dsn, max_size=4)
    # A killed server loses nothing by this, a machine without power would.
    await pool.execute("ALTER SYSTEM SET fsync = off")
    await pool.execute("SELECT pg_reload_conf()")
    stage = Stage(control.dsn, journal, clock, pool, direct_sends)

    def crash() -> None:
        control.kill()
        control.start()

    report = await Campaign(stage, incidents, seed, crash=crash, crashes=crashes).run()
    stage.journal.abandon()
    pool.terminate()
    await asyncio.sleep(0)
    return report


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.campaign", description=__doc__)
    parser.add_argument("--incidents", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crashes", type=int, default=5)
    options = parser.parse_args(argv)
    logger.remove()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dozor-campaign-") as folder:
        control = PostgresControl(Path(folder) / "pg")
        try:
            report = asyncio.run(_run(control, options.incidents, options.seed, options.crashes))
        finally:
            control.stop()
    for field in fields(report):
        if field.name != "problems":
            print(f"{field.name:16} {getattr(report, field.name)}")
    print(f"{'took':16} {time.monotonic() - began:.0f} s")
    print(f"{'problems':16} {len(report.problems)}")
    for problem in report.problems[:20]:
        print(" ", problem)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
