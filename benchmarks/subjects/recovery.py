"""A start that finds many tasks and incidents of the runner before."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.subjects.startup import first_run
from benchmarks.subjects.supervision import CHECKERS
from benchmarks.suite.processes import postgres, write_config
from benchmarks.suite.results import Goal, Row, Scale, Subject
from dozor.storage.postgres.pool import connect
from dozor.storage.tables import incidents
from dozor.storage.tables.incidents import IncidentRow

OPEN_SHARE = 0.1
"""Of the incidents; the others are resolved."""
BATCH = 10_000
GOAL = 2.0
GAP = "as for the start without incidents; what the incidents add is the difference of the two rows"
NOTES = (
    "`dozor run` on a database where an earlier runner has left its tasks and incidents, a tenth"
    " of them open, each"
    " of a task. From the start of the process to the first run; the time that the same start"
    " takes without an"
    " incident is beside it.",
)


def measure(scale: Scale) -> Subject:
    tasks, count = scale.recovered
    without: list[float] = []
    found: list[float] = []
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as name, postgres(Path(name)) as server:
        folder = Path(name)
        (folder / "bench_checkers.py").write_text(CHECKERS)
        named = {
            f"task_{number:05}": {"run": "bench_checkers:recorded", "every": "1s"} for number in range(tasks)
        }
        for _ in range(scale.rounds):
            database = server.create()
            config = write_config(folder, server.at(database), named)
            first_run(config, folder)
            without.append(first_run(config, folder))
            asyncio.run(_leave(server.at(database), list(named), count))
            found.append(first_run(config, folder))
            server.run(f"DROP DATABASE {database} WITH (FORCE)")
    goal = Goal(GOAL, explanation=GAP) if tasks == 10_000 else None
    case = f"{tasks:,} tasks"
    return Subject(
        "Recovery",
        (
            Row(f"{case}, no incidents", "dozor run", "to the first run", "s", tuple(without)),
            Row(f"{case}, {count:,} incidents", "dozor run", "to the first run", "s", tuple(found), goal),
        ),
        NOTES,
    )


async def _leave(dsn: str, tasks: Sequence[str], count: int) -> None:
    """Incidents as a runner leaves them; at most one of a task is open."""
    now = time.time()
    opened = min(int(count * OPEN_SHARE), len(tasks))
    connection = await connect(dsn)
    try:
        for first in range(0, count, BATCH):
            rows = [
                IncidentRow(
                    id=1_000_000 + number,
                    task=tasks[number % len(tasks)],
                    kind="repeated_errors",
                    severity="warning",
                    state="open" if number < opened else "resolved",
                    fingerprint=f"ConnectionError:{number % 50}",
                    summary="ConnectionError: the provider does not answer",
                    failures=3,
                    opened_at=now - count + number,
                    updated_at=now - count + number,
                    resolved_at=None if number < opened else now - count + number + 30,
                    notified_at=now - count + number,
                )
                for number in range(first, min(first + BATCH, count))
            ]
            await incidents.write(connection, rows)
        await connection.execute("ANALYZE dozor.incidents")
    finally:
        await connection.close()
