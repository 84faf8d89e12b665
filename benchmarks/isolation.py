"""What isolation costs a run: inline, in a thread, in a process kept warm; beside bare peers of each.

python -m benchmarks.isolation
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from loguru import logger

from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Every, Isolation
from dozor.supervision.core.events import RunNow
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.execution.process.client import Launch
from dozor.supervision.supervisor import Supervisor, Transition
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.log import SupervisionLog

ROUNDS = 3
QUIET = 86_400.0


async def nothing() -> None:
    """The checker of the inline and process rows."""


def plain_nothing() -> None:
    """The checker of the thread row."""


class _Ended:
    """An observer that only wakes whoever waits for the next end."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def transition(self, transition: Transition) -> None:
        """Not counted."""

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        self.event.set()

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        """There are none."""


async def _supervised(isolation: Isolation, runs: int) -> list[float]:
    """Seconds from asking for a run to its end."""
    ended = _Ended()
    function: Callable[[], object] = plain_nothing if isolation is Isolation.THREAD else nothing
    spec = TaskSpec(
        name="empty",
        function=function,
        isolation=isolation,
        reference="benchmarks.isolation:nothing",
        policy=Policy(schedule=Every(QUIET)),
    )
    supervisor = Supervisor(
        [spec],
        observer=ended,
        clock=SteadyClock(),
        log=SupervisionLog(),
        launch=Launch(folder=Path(__file__).parents[1]),
    )
    supervisor.start()
    await ended.event.wait()  # the first run, warm from now on
    seconds = []
    for _ in range(runs):
        ended.event.clear()
        began = time.perf_counter()
        supervisor.command("empty", RunNow("cli:bench"))
        await ended.event.wait()
        seconds.append(time.perf_counter() - began)
    await supervisor.stop()
    return seconds


async def _bare(once: Callable[[], Awaitable[object]], runs: int) -> list[float]:
    await once()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        await once()
        seconds.append(time.perf_counter() - began)
    return seconds


async def _bare_task() -> None:
    await asyncio.get_running_loop().create_task(nothing())


async def _bare_thread() -> None:
    await asyncio.to_thread(plain_nothing)


async def _bare_process() -> None:
    """What a process not kept warm costs: a bare interpreter that starts and ends."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "pass")
    await process.wait()


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    options = parser.parse_args(argv)
    logger.remove()
    rows: dict[str, Callable[[int], Awaitable[list[float]]]] = {
        "bare asyncio task": lambda runs: _bare(_bare_task, runs),
        "isolation: inline": lambda runs: _supervised(Isolation.INLINE, runs),
        "bare asyncio.to_thread": lambda runs: _bare(_bare_thread, runs),
        "isolation: thread": lambda runs: _supervised(Isolation.THREAD, runs),
        "bare python -c pass": lambda runs: _bare(_bare_process, max(20, runs // 50)),
        "isolation: process": lambda runs: _supervised(Isolation.PROCESS, runs),
    }
    print(f"{'':24}  {'p50 µs':>9}  {'p99 µs':>9}  {'CPU µs/run':>10}   (best of {ROUNDS} rounds)")
    best: dict[str, tuple[float, float, float]] = {}
    for _ in range(ROUNDS):
        for name, measure in rows.items():
            before = _cpu()
            seconds = sorted(asyncio.run(_collect(measure, options.runs)))
            cpu = (_cpu() - before) / len(seconds)
            found = (statistics.median(seconds), seconds[int(len(seconds) * 0.99)], cpu)
            best[name] = min(best.get(name, found), found)
    for name, (p50, p99, cpu) in best.items():
        print(f"{name:24}  {p50 * 1e6:9.0f}  {p99 * 1e6:9.0f}  {cpu * 1e6:10.0f}")
    _memory()


async def _collect(measure: Callable[[int], Awaitable[list[float]]], runs: int) -> list[float]:
    return await measure(runs)


def _memory() -> None:
    """What one warm process holds."""
    worker = "dozor.supervision.execution.process.worker"
    code = f"import psutil, {worker}; print(psutil.Process().memory_full_info().uss // 1_000_000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(f"a warm process of its own: {done.stdout.strip()} MB that it shares with nobody")


if __name__ == "__main__":
    main()
