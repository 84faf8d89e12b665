"""`/metrics` and the status page of a runner at work."""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.subjects.supervision import CHECKERS, every_second, recorded_of
from benchmarks.suite.processes import dozor_run, pause, postgres, wait_for, write_config
from benchmarks.suite.recorder import Recorder
from benchmarks.suite.results import Row, Scale, Subject, quantile
from tests.pgbouncer import free_port

ASKED = 10
NOTES = (
    f"`dozor run`, asked {ASKED} times, half a second apart, over HTTP on loopback by a client that takes"
    " gzip: the page is compressed, the metrics are not. Lateness is of the runs in that time.",
)


def measure(scale: Scale) -> Subject:
    rows: list[Row] = []
    for path, count in (("/metrics", scale.scrape_tasks), ("/", scale.page_tasks)):
        rounds = [_observe(path, count, scale) for _ in range(scale.rounds)]
        what = "a scrape" if path == "/metrics" else "the status page"
        case = f"{what}, {count:,} tasks at 1 Hz"

        def row(figure: str, unit: str, *values: float, case: str = case) -> Row:
            return Row(case, "dozor run", figure, unit, values)

        rows += [
            row("time p50", "ms", *(quantile(took, 0.5) * 1e3 for took, _, _ in rounds)),
            row("time max", "ms", *(max(took) * 1e3 for took, _, _ in rounds)),
            row("on the wire", "kB", *(size / 1e3 for _, size, _ in rounds)),
            row("late p99", "ms", *(quantile(late, 0.99) * 1e3 for _, _, late in rounds)),
            row("late max", "ms", *(max(late) * 1e3 for _, _, late in rounds)),
        ]
    return Subject("Scrape and status page", tuple(rows), NOTES)


def _observe(path: str, count: int, scale: Scale) -> tuple[list[float], int, list[float]]:
    """Seconds of each answer, its bytes, and seconds of lateness of the runs meanwhile."""
    with _runner(count) as (port, recorder):
        pause(scale.warm)
        before, took, size = recorder.count, [], 0
        for _ in range(ASKED):
            seconds, size = _ask(port, path)
            took.append(seconds)
            pause(0.5)
        return took, size, recorder.lateness(before, recorder.count)


@contextmanager
def _runner(count: int) -> Iterator[tuple[int, Recorder]]:
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as name, postgres(Path(name)) as server:
        folder, port = Path(name), free_port()
        (folder / "bench_checkers.py").write_text(CHECKERS)
        recorder = Recorder(folder / "record")
        tasks = every_second(count, recorded_of(count))
        config = write_config(folder, server.at(server.create()), tasks, web={"listen": f"127.0.0.1:{port}"})
        with dozor_run(config, folder) as process:
            wait_for(lambda: recorder.count >= recorded_of(count), 120, "a run of every task", process)
            wait_for(lambda: _listens(port), 60, "the web server", process)
            yield port, recorder
        recorder.close()


def _listens(port: int) -> bool:
    """Whether something answers; the web server is a service that starts beside supervision."""
    try:
        _ask(port, "/healthz")
    except (OSError, RuntimeError, http.client.HTTPException):
        return False
    return True


def _ask(port: int, path: str) -> tuple[float, int]:
    """Seconds to the whole answer, and its bytes as they were sent."""
    begun = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip", "Host": f"127.0.0.1:{port}"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        return time.perf_counter() - begun, len(body)
    finally:
        connection.close()
