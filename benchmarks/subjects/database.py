"""What a healthy run costs the database: transactions, statements, bytes of WAL; growth over a month."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.subjects.supervision import CHECKERS, every_second, recorded_of
from benchmarks.suite.processes import Server, dozor_run, pause, postgres, wait_for, write_config
from benchmarks.suite.recorder import Recorder
from benchmarks.suite.results import Row, Scale, Subject
from dozor.storage.postgres.pool import connect
from dozor.storage.tables import runs
from dozor.storage.tables.runs import RunRow

DAY = 86_400
STRETCH = 60
"""Seconds of successes that one row of the history stands for."""
USED = """
SELECT (SELECT wal_bytes FROM pg_stat_wal)::float8 AS wal, xact_commit::float8 AS transactions
FROM pg_stat_database WHERE datname = current_database()
"""
SIZE = "SELECT pg_total_relation_size('dozor.runs')::float8 AS size"
LOGGED = "log"
"""Stands for the statements in the log of the server."""
NOTES = (
    "Transactions and WAL are those of the whole server while `dozor run` is at work, its own"
    " polling included."
    " Statements are counted in the server's log (`log_statement = all`), in a run of their own.",
    "The month: the history of tasks at 1 Hz, a row for each minute of successes, written by the"
    " product's own"
    " statement with the times of a month. Size of the table with its indexes, before pruning (90 days).",
)


def measure(scale: Scale) -> Subject:
    count = scale.counts[-1]
    case = f"{count:,} tasks at 1 Hz"
    wal, transactions, statements = [], [], []
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as name, postgres(Path(name)) as server:
        for _ in range(scale.rounds):
            used = _used(Path(name), server, count, scale)
            transactions.append(used[0])
            wal.append(used[1])
        server.run("ALTER SYSTEM SET log_statement = 'all'")
        server.run("SELECT pg_reload_conf()")
        statements.append(_statements(Path(name), server, count, scale))
        server.run("ALTER SYSTEM RESET log_statement")
        server.run("SELECT pg_reload_conf()")
        tasks, days = scale.month
        grown = asyncio.run(_grow(server.at(server.create()), tasks, days))
    month = f"{tasks:,} tasks at 1 Hz, {days} days simulated"
    return Subject(
        "Database",
        (
            Row(case, "dozor run", "statements a run", "", tuple(statements)),
            Row(case, "dozor run", "transactions a run", "", tuple(transactions)),
            Row(case, "dozor run", "WAL a run", "bytes", tuple(wal)),
            Row(month, "dozor run", "history", "MB", (grown / 1e6,)),
            Row(month, "dozor run", "history a task and day", "kB", (grown / 1e3 / tasks / days,)),
        ),
        NOTES,
    )


def _observe(folder: Path, server: Server, count: int, scale: Scale, ask: str) -> tuple[float, list[float]]:
    """The runs in a window, and by how much each column of `ask` grew meanwhile."""
    (folder / "bench_checkers.py").write_text(CHECKERS)
    (folder / "record").unlink(missing_ok=True)
    recorder = Recorder(folder / "record")
    recorded = recorded_of(count)
    tasks = every_second(count, recorded)
    name = server.create()
    config = write_config(folder, server.at(name), tasks)
    with dozor_run(config, folder) as process:
        wait_for(lambda: recorder.count > 0, 120, "the first run", process)
        pause(scale.warm)
        before, first = recorder.count, list(_row(server, name, ask, folder))
        pause(scale.window)
        after, last = recorder.count, list(_row(server, name, ask, folder))
    recorder.close()
    server.run(f"DROP DATABASE {name} WITH (FORCE)")
    grown = [new - old for new, old in zip(last, first, strict=True)]
    return (after - before) * (count // recorded), grown


def _row(server: Server, name: str, ask: str, folder: Path) -> tuple[float, ...]:
    if ask == LOGGED:
        text = (folder / "pg" / "server.log").read_text(errors="replace")
        return (float(text.count(" execute ") + text.count(" statement: ")),)
    return tuple(server.run(ask, database=name)[0])


def _used(folder: Path, server: Server, count: int, scale: Scale) -> tuple[float, float]:
    """Transactions and bytes of WAL a run."""
    done, (wal, transactions) = _observe(folder, server, count, scale, USED)
    return transactions / done, wal / done


def _statements(folder: Path, server: Server, count: int, scale: Scale) -> float:
    done, (statements,) = _observe(folder, server, count, scale, LOGGED)
    return statements / done


async def _grow(dsn: str, tasks: int, days: int) -> float:
    """Bytes of the history after `days`."""
    connection = await connect(dsn)
    try:
        empty = await connection.fetchval(SIZE)
        begin = time.time() - days * DAY
        minutes = days * DAY // STRETCH
        step = max(1, 20_000 // tasks)
        for first in range(0, minutes, step):
            rows = [
                RunRow(
                    id=f"1-{minute * tasks + task}",
                    task=f"task_{task:05}",
                    started_at=begin + minute * STRETCH,
                    finished_at=begin + (minute + 1) * STRETCH,
                    outcome="succeeded",
                    runs=STRETCH,
                    seconds=0.001,
                    seconds_max=0.002,
                )
                for minute in range(first, min(first + step, minutes))
                for task in range(tasks)
            ]
            await runs.add(connection, rows)
        return float(await connection.fetchval(SIZE) - empty)
    finally:
        await connection.close()
