"""10,000 no-op tasks at 1 Hz in one process, their state kept in PostgreSQL, beside bare asyncio loops.

    python -m benchmarks.supervision [--tasks 10000] [--seconds 10] [--rounds 3]

Both sides run in processes of their own, in turns, and the ratio is of medians. Lateness is counted from the
moment a run is due; a run that starts early counts as 0. CPU is the process's own, PostgreSQL's is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

GOALS = "goals: p99 at most 10 ms, CPU at most 1.5 times the bare loops', 4,096 bytes a task"


async def nothing() -> None:
    """The checker."""


async def _bare(count: int, seconds: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    lateness = array("d")
    before = _resident()
    begin = loop.time() + 1.0

    async def beat(offset: float) -> None:
        at = begin + offset
        while True:
            await asyncio.sleep(at - loop.time())
            lateness.append(loop.time() - at)
            await nothing()
            at += 1.0

    beats = [asyncio.create_task(beat(index / count)) for index in range(count)]
    await asyncio.sleep(3.0)
    figures = await _measure(count, seconds, lateness, before)
    for task in beats:
        task.cancel()
    return figures


async def _dozor(count: int, seconds: float) -> dict[str, float]:
    from loguru import logger

    from dozor.alerting.incidents.manager import IncidentManager
    from dozor.alerting.model.incident import AlertSettings
    from dozor.clock import SteadyClock
    from dozor.config.sections.tasks import Every
    from dozor.storage.journal import Journal, StateSource
    from dozor.storage.postgres.embedded.server import start_embedded
    from dozor.storage.postgres.migrate import migrate
    from dozor.storage.tables import tasks
    from dozor.supervision.core.policy import Policy
    from dozor.supervision.core.spec import TaskSpec
    from dozor.supervision.supervisor import Supervisor
    from dozor.supervision.tasks.task import SupervisedTask
    from dozor.supervision.telemetry.log import SupervisionLog
    from dozor.supervision.telemetry.metrics import RunMetrics

    logger.remove()
    lateness = array("d")

    class Recording(RunMetrics):
        def succeeded(self, task: SupervisedTask, seconds: float, lateness_s: float) -> None:
            super().succeeded(task, seconds, lateness_s)
            lateness.append(lateness_s)

    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as folder, start_embedded(Path(folder)) as server:
        await migrate(server.dsn)
        clock = SteadyClock()
        journal = await Journal.open(server.dsn, "benchmark", clock)
        names = [f"task_{index}" for index in range(count)]
        await tasks.declare(
            journal.connection,
            [
                tasks.TaskDeclaration(name=name, description="", schedule="", max_consecutive_failures=5)
                for name in names
            ],
        )
        before = _resident()
        watch = IncidentManager(
            journal, clock, dict.fromkeys(names, AlertSettings()), (), 0, Recording(count)
        )
        policy = Policy(schedule=Every(1.0))
        supervisor = Supervisor(
            [TaskSpec(name=name, function=nothing, policy=policy) for name in names],
            observer=watch,
            clock=clock,
            log=SupervisionLog(),
        )
        gc.freeze()  # as `dozor run` does, and the next line
        gc.set_threshold(20_000, 20, 20)
        states = StateSource(take_checkpoint=supervisor.take_checkpoint)
        supervisor.start()
        writer = asyncio.create_task(journal.run(states))
        await asyncio.sleep(3.0)
        figures = await _measure(count, seconds, lateness, before)
        await supervisor.stop()
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        await journal.close(states)
    return figures


async def _measure(count: int, seconds: float, lateness: array[float], before: int) -> dict[str, float]:
    del lateness[:]
    cpu = time.process_time()
    await asyncio.sleep(seconds)
    cpu = time.process_time() - cpu
    runs = len(lateness)
    late = sorted(max(0.0, value) for value in lateness)
    return {
        "runs": runs,
        "p50_ms": late[runs // 2] * 1e3,
        "p99_ms": late[int(runs * 0.99)] * 1e3,
        "cpu_us": cpu / runs * 1e6,
        "bytes": (_resident() - before - lateness.itemsize * runs) / count,
    }


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


SIDES: dict[str, Callable[[int, float], Awaitable[dict[str, float]]]] = {"bare": _bare, "dozor": _dozor}


def _in_a_process(side: str, count: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.supervision", "--side", side]
    command += ["--tasks", str(count), "--seconds", str(seconds)]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answer


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=sorted(SIDES), help="measure one side and print it as JSON")
    options = parser.parse_args(argv)
    if options.side:
        side: Any = SIDES[options.side](options.tasks, options.seconds)
        print(json.dumps(asyncio.run(side)))
        return
    print(f"{options.tasks} no-op tasks at 1 Hz for {options.seconds:g} s, {options.rounds} rounds in turns")
    print(f"{'':8}{'runs':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU us/run':>12}{'bytes/task':>12}")
    measured: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side, figures in measured.items():
            figures.append(_in_a_process(side, options.tasks, options.seconds))
            f = figures[-1]
            print(
                f"{side:8}{f['runs']:>9.0f}{f['p50_ms']:>9.2f}{f['p99_ms']:>9.2f}"
                f"{f['cpu_us']:>12.2f}{f['bytes']:>12.0f}",
                flush=True,
            )
    medians = {side: statistics.median(f["cpu_us"] for f in figures) for side, figures in measured.items()}
    print(f"CPU ratio of medians: {medians['dozor'] / medians['bare']:.2f}   ({GOALS})")


if __name__ == "__main__":
    main()
