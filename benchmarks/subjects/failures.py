"""How many failures a second are kept, with their tracebacks, while healthy tasks stay on time."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.subjects.supervision import CHECKERS
from benchmarks.suite.processes import Server, cpu_of, dozor_run, pause, postgres, wait_for, write_config
from benchmarks.suite.recorder import Recorder
from benchmarks.suite.results import Goal, Row, Scale, Sense, Subject, quantile

HEALTHY = 100
LATE_MS = 20.0
GOAL = 2_000.0
KEPT = 0.95
"""Share of the failures asked for that must be kept for a rate to count as sustained."""
FAILING = (
    CHECKERS
    + """

async def failing() -> None:
    raise ConnectionError("the provider does not answer")
"""
)
GAP = (
    "each failure is three log lines, an incident's row, the decision about its message and a row of history,"
    " all on the loop. Tried: log lines about tasks without loguru's record; copies of incidents by slots;"
    " the text of a traceback's frames composed once for each way to the error; 2 ms for starts that a commit"
    " has freed, instead of 20"
)
COUNTS = """
SELECT count(*) AS n, count(*) FILTER (WHERE traceback LIKE '%ConnectionError%') AS tracebacks
FROM dozor.runs WHERE outcome = 'failed'
"""
NOTES = (
    "`dozor run` with tasks that fail and are restarted after a second, without a limit, beside"
    f" {HEALTHY} healthy"
    " tasks at 1 Hz. A failure counts when its row is committed with its traceback.",
    f"Sustained: at least {KEPT:.0%} of the failures asked for are kept, and the p99 of the"
    " lateness of healthy tasks"
    f" is at most {LATE_MS:.0f} ms.",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one window. `rate`: failures kept a second; `late`: seconds."""

    rate: float
    tracebacks: float
    late: list[float]
    cpu: float

    def sustained(self, asked: int) -> bool:
        return self.rate >= KEPT * asked and quantile(self.late, 0.99) * 1e3 <= LATE_MS


def measure(scale: Scale) -> Subject:
    rows: list[Row] = []
    best: list[float] = []
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as name, postgres(Path(name)) as server:
        taken: dict[int, list[Figures]] = {asked: [] for asked in scale.failing}
        for _ in range(scale.rounds):
            reached = 0.0
            for asked in scale.failing:
                figures = _observe(Path(name), server, asked, scale)
                taken[asked].append(figures)
                if figures.sustained(asked):
                    reached = max(reached, figures.rate)
                print(f"  {asked} failures/s: kept {figures.rate:.0f}", flush=True)
            best.append(reached)
    for asked, rounds in taken.items():
        case = f"{asked:,} a second asked for"

        def row(figure: str, unit: str, *values: float, case: str = case) -> Row:
            return Row(case, "dozor run", figure, unit, values)

        rows += [
            row("failures kept", "1/s", *(one.rate for one in rounds)),
            row("with traceback", "%", *(100 * one.tracebacks for one in rounds)),
            row("healthy late p50", "ms", *(quantile(one.late, 0.5) * 1e3 for one in rounds)),
            row("healthy late p99", "ms", *(quantile(one.late, 0.99) * 1e3 for one in rounds)),
            row("healthy late max", "ms", *(max(one.late) * 1e3 for one in rounds)),
            row("CPU", "cores", *(one.cpu for one in rounds)),
        ]
    goal = Goal(GOAL, Sense.AT_LEAST, GAP) if max(scale.failing) >= GOAL else None
    rows.append(Row("sustained", "dozor run", "failures kept", "1/s", tuple(best), goal))
    return Subject("Failures", tuple(rows), NOTES)


def _observe(folder: Path, server: Server, asked: int, scale: Scale) -> Figures:
    (folder / "bench_checkers.py").write_text(FAILING)
    (folder / "record").unlink(missing_ok=True)
    recorder = Recorder(folder / "record")
    never_stops = {"max_consecutive_failures": None, "restart_delay": "1s", "every": "1s"}
    tasks = {f"bad_{number:05}": {"run": "bench_checkers:failing", **never_stops} for number in range(asked)}
    tasks |= {
        f"good_{number:03}": {"run": "bench_checkers:recorded", "every": "1s"} for number in range(HEALTHY)
    }
    name = server.create()
    config = write_config(folder, server.at(name), tasks)
    with dozor_run(config, folder) as process:
        wait_for(lambda: recorder.count > HEALTHY, 120, "healthy runs", process)
        pause(3.0 + scale.warm)  # the alerts of all of them have been decided
        before, first, at = recorder.count, _counts(server, name), time.perf_counter()
        cpu = cpu_of(process.pid)
        pause(scale.window)
        last, after, took = _counts(server, name), recorder.count, time.perf_counter() - at
        cpu = cpu_of(process.pid) - cpu
    late = recorder.lateness(before, after) or [took]  # no healthy run: they are late by all of it
    recorder.close()
    server.run(f"DROP DATABASE {name} WITH (FORCE)")
    kept = last[0] - first[0]
    return Figures(kept / took, (last[1] - first[1]) / kept if kept else 0.0, late, cpu / took)


def _counts(server: Server, name: str) -> tuple[int, int]:
    row = server.run(COUNTS, database=name)[0]
    return int(row["n"]), int(row["tracebacks"])
