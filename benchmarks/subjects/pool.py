"""Runs of a pool of workers: what `python -m benchmarks.pool` prints, as rows."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

from benchmarks.suite.results import Row, Scale, Subject

THROUGHPUT = re.compile(r"^(\d+) worker\(s\): +(.+)$", re.MULTILINE)
RATE = re.compile(r"(\S[^\d]*?) +([\d,]+)/s")
LATENCY = re.compile(r"due to begun.*?p50 ([\d.]+) ms, *p99 ([\d.]+) ms")
MOST_ROUNDS = 2
"""Of three minutes each."""
NOTES = (
    "A leader and workers are `dozor run` processes; a run counts when the state that follows it"
    " is committed."
    " PgQueuer alone: batches are enqueued, dequeued and acknowledged, with no run row beside them."
    f" Not more than {MOST_ROUNDS} rounds.",
    "Settings. PgQueuer: its own statements on the same PostgreSQL settings, batches of 500. Procrastinate:"
    " `concurrency=100`, psycopg 3, jobs deferred in batches of 500. Celery: `solo` workers, results ignored,"
    " prefetch 500, a job is acknowledged before it runs; redis-server on loopback TCP, without persistence:"
    " nothing is on disk.",
)


def measure(scale: Scale) -> Subject:
    """Each round is a process of its own."""
    rates: dict[tuple[str, str], list[float]] = {}
    late: list[tuple[float, float]] = []
    for _ in range(min(scale.rounds, MOST_ROUNDS)):
        taken, waits = parse(_printed([sys.executable, "-m", "benchmarks.pool", *scale.pool]))
        for place, rate in taken.items():
            rates.setdefault(place, []).append(rate)
        late += waits
    rows = [
        Row(case, contestant, "speed", "1/s", tuple(values)) for (case, contestant), values in rates.items()
    ]
    if late:
        case = "100 tasks at 1 Hz, 2 workers"
        rows += [
            Row(case, "product", "due to begun p50", "ms", tuple(p50 for p50, _ in late)),
            Row(case, "product", "due to begun p99", "ms", tuple(p99 for _, p99 in late)),
        ]
    return Subject("Pool runs", tuple(rows), NOTES)


def _printed(command: list[str]) -> str:
    """Its standard output, which is shown meanwhile. Raises CalledProcessError for an exit code."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(f"  {line}", end="", flush=True)
                lines.append(line)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return "".join(lines)


def parse(text: str) -> tuple[dict[tuple[str, str], float], list[tuple[float, float]]]:
    """Runs a second by (case, contestant), and (p50, p99) of the lateness in milliseconds.

    Raises ValueError for a text with neither.
    """
    rates = {
        (f"{workers} worker{'' if workers == '1' else 's'}", name.strip()): float(rate.replace(",", ""))
        for workers, line in THROUGHPUT.findall(text)
        for name, rate in RATE.findall(line)
    }
    waits = [(float(p50), float(p99)) for p50, p99 in LATENCY.findall(text)]
    if not rates and not waits:
        raise ValueError(f"benchmarks.pool printed nothing that is known: {text[:200]!r}")
    return rates, waits
