"""No-op tasks at 1 Hz: the whole product beside bare loops, the function it began from, other schedulers."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.suite.processes import (
    Server,
    cpu_of,
    dozor_run,
    pause,
    postgres,
    resident,
    started,
    wait_for,
    write_config,
)
from benchmarks.suite.recorder import Recorder
from benchmarks.suite.results import Goal, Row, Scale, Subject, quantile
from dozor.supervision.timers import SLACK

MOST_RECORDED = 1_000
FIRST_WITHIN = 60.0
CPU_GOAL = 1.3
"""Times the CPU of the bare loops, with 10,000 tasks."""
CHECKERS = """
from pathlib import Path

from benchmarks.suite.recorder import Recorder
from dozor import Context

RECORDER = Recorder(Path(__file__).with_name("record"))


async def nothing() -> None:
    pass


async def recorded(ctx: Context) -> None:
    RECORDER.ran(ctx.scheduled_at.timestamp())
"""
NOTES = (
    "Every contestant is a process of its own (Celery: beat and one worker; the product: `dozor run` on a"
    " PostgreSQL of its own, which keeps every state and the history; the others keep nothing)."
    " CPU is read from outside"
    " and divided by the runs that took place; that of PostgreSQL and of the broker is beside it. Lateness is"
    " recorded by up to 1,000 of the tasks, spread over all: from the due time, or for the"
    " functions with a delay"
    " and for Celery from a second after the previous run. A run that begins before its due time is late by"
    f" 0: the product starts all that is due within {SLACK * 1e3:.0f} ms in one go.",
    "Settings. APScheduler 3: `AsyncIOScheduler`, interval triggers, jobs in memory, `coalesce`, no"
    " `misfire_grace_time`. Celery: beat's schedule of intervals and its file, one worker with `--pool=solo`,"
    " without gossip and mingle, results ignored, prefetch 64; the broker is {broker}."
    " Procrastinate: one worker, `concurrency=20`, psycopg 3, the same PostgreSQL settings as the product."
    " The log of the source's function and of `dozor.safe_background_task` is off.",
    "Peers that do not keep up have fewer runs a second than tasks: their lateness is then of the runs that"
    " took place; a dash: no task ran twice.",
    "Procrastinate has no task by interval: all its tasks are due at the same moment by cron,"
    " once a second, and it"
    " defers them half a second later by design.",
)


@dataclass(frozen=True, slots=True)
class Running:
    """A contestant at work. `side`: processes that it needs, counted apart."""

    main: subprocess.Popen[bytes]
    others: tuple[int, ...] = ()
    side: tuple[int, ...] = ()

    @property
    def pids(self) -> tuple[int, ...]:
        return self.main.pid, *self.others


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run: seconds, and bytes of memory."""

    late: list[float]
    runs_per_second: float
    cpu: float
    side_cpu: float
    memory: int
    first: float

    def late_by(self, share: float) -> float:
        """Milliseconds; NaN where no task ran twice."""
        return quantile(self.late, share) * 1e3 if self.late else math.nan


Start = Callable[[Path, int, int], AbstractContextManager[Running]]


def recorded_of(tasks: int) -> int:
    """How many of `tasks` record; they divide the tasks evenly."""
    return tasks // max(1, tasks // MOST_RECORDED)


def every_second(tasks: int, recorded: int) -> dict[str, dict[str, str]]:
    """`tasks` for a configuration: each runs once a second, and `recorded` of them record."""
    every = tasks // recorded
    return {
        f"task_{number:05}": {
            "run": f"bench_checkers:{'nothing' if number % every else 'recorded'}",
            "every": "1s",
        }
        for number in range(tasks)
    }


def peer(name: str) -> Start:
    """A contestant of benchmarks.peers that needs nothing else."""

    @contextmanager
    def start(folder: Path, tasks: int, recorded: int) -> Iterator[Running]:
        command = [sys.executable, "-m", f"benchmarks.peers.{name}", str(tasks), str(recorded)]
        with started([*command, str(folder / "record")], folder) as process:
            yield Running(process)

    return start


def product(server: Server) -> Start:
    """`dozor run` on a database of its own."""

    @contextmanager
    def start(folder: Path, tasks: int, recorded: int) -> Iterator[Running]:
        (folder / "bench_checkers.py").write_text(CHECKERS)
        name = server.create()
        config = write_config(folder, server.at(name), every_second(tasks, recorded))
        with dozor_run(config, folder) as process:
            yield Running(process, side=(server.pid,))
        server.run(f"DROP DATABASE {name} WITH (FORCE)")

    return start


@contextmanager
def celery(folder: Path, tasks: int, recorded: int) -> Iterator[Running]:
    """Beat, one worker with one process, and Debian's redis-server; without it the filesystem transport."""
    settings = {"BENCH_TASKS": tasks, "BENCH_RECORDED": recorded, "BENCH_FILE": folder / "record"}
    with redis(folder) as (broker, pids):
        os.environ |= {**{key: str(value) for key, value in settings.items()}, "BENCH_BROKER": broker}
        base = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.beat"]
        alone = ("--pool=solo", "--without-gossip", "--without-mingle")
        with (
            started([*base, "worker", *alone], folder, "worker") as worker,
            started([*base, "beat", "--max-interval=1"], folder, "beat") as beat,
        ):
            yield Running(worker, (beat.pid,), pids)


@contextmanager
def redis(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The broker's URL, or a folder, and the processes of it."""
    program = shutil.which("redis-server")
    if program is None:
        (folder / "queue" / "control").mkdir(parents=True)
        yield str(folder / "queue"), ()
        return
    path = folder / "redis.sock"
    command = [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with started(command, folder, "redis") as process:
        wait_for(path.exists, 10, "redis-server")
        yield f"redis+socket://{path}", (process.pid,)


def procrastinate(server: Server) -> Start:
    """One worker on a database of its own."""

    @contextmanager
    def start(folder: Path, tasks: int, recorded: int) -> Iterator[Running]:
        name = server.create(migrated=False)
        command = [sys.executable, "-m", "benchmarks.peers.periodic", str(tasks), str(recorded)]
        with started([*command, str(folder / "record"), server.at(name)], folder) as process:
            yield Running(process, side=(server.pid,))
        server.run(f"DROP DATABASE {name} WITH (FORCE)")

    return start


def observe(start: Start, tasks: int, warm: float, window: float) -> Figures:
    """Start a contestant, let it run, and measure it for `window` seconds."""
    count = recorded_of(tasks)
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as name:
        folder = Path(name)
        recorder = Recorder(folder / "record")
        begun = time.time()
        with start(folder, tasks, count) as running:
            try:
                wait_for(
                    lambda: recorder.count > 0, FIRST_WITHIN, f"the first of {tasks} tasks", running.main
                )
            except (TimeoutError, RuntimeError) as error:
                said = "".join(path.read_text(errors="replace")[-1000:] for path in folder.glob("*.log"))
                raise RuntimeError(f"{error}\n{said}") from None
            first = recorder.first_at - begun
            pause(warm)
            before, at = recorder.count, time.perf_counter()
            cpu, side = cpu_of(*running.pids), cpu_of(*running.side)
            pause(window)
            cpu, side = cpu_of(*running.pids) - cpu, cpu_of(*running.side) - side
            after, took = recorder.count, time.perf_counter() - at
            memory = resident(*running.pids)
        runs = (after - before) * tasks / count
        late = recorder.lateness(before, after)
        with suppress(BufferError):
            recorder.close()
    if not runs:
        raise RuntimeError(f"no runs of {tasks} tasks in {window:.0f} s")
    return Figures(late, runs / took, cpu / runs, side / runs, memory, first)


def rows_of(case: str, contestant: str, rounds: list[Figures], bare: list[Figures] | None) -> Iterator[Row]:
    """The figures of a contestant; `bare`: what its CPU is compared with."""

    def row(figure: str, unit: str, value: Callable[[Figures], float], goal: Goal | None = None) -> Row:
        return Row(case, contestant, figure, unit, tuple(value(one) for one in rounds), goal)

    yield row("runs", "1/s", lambda one: one.runs_per_second)
    yield row("late p50", "ms", lambda one: one.late_by(0.5))
    yield row("late p99", "ms", lambda one: one.late_by(0.99))
    yield row("late max", "ms", lambda one: one.late_by(1.0))
    yield row("CPU a run", "µs", lambda one: one.cpu * 1e6)
    if bare is not None:
        ratios = tuple(one.cpu / max(other.cpu, 1e-9) for one, other in zip(rounds, bare, strict=False))
        goal = None
        if contestant == "dozor run" and case == "10,000 tasks":
            goal = Goal(
                CPU_GOAL,
                explanation="each run of the product is an asyncio task with a context of its own, two"
                " steps of the state machine and a row once a second. Tried: checks of held starts are left"
                " out where nothing is held; a task that is stepped at once needs Python 3.12",
            )
        yield Row(case, contestant, "CPU, of bare loops", "times", ratios, goal)
    yield row("PostgreSQL or broker CPU a run", "µs", lambda one: one.side_cpu * 1e6)
    yield row("memory", "MB", lambda one: one.memory / 1e6)
    yield row("first run after", "s", lambda one: one.first)


def contestants(server: Server, scale: Scale) -> dict[str, Start]:
    """In the order in which they take turns."""
    found = {
        "bare loops": peer("bare"),
        "dozor run": product(server),
        "the source's function": peer("source"),
        "dozor.safe_background_task": peer("background"),
    }
    if scale.peers:
        broker = "redis" if shutil.which("redis-server") else "files"
        found |= {
            "APScheduler 3": peer("scheduler"),
            f"Celery beat, {broker}": celery,
            "Procrastinate periodic": procrastinate(server),
        }
    return found


OWN = ("bare loops", "dozor run")
"""Without these there is no comparison; a peer that does not start is left out, and named."""


def measure(scale: Scale) -> Subject:
    """Each round measures every contestant once, so that a slow minute of the machine is everybody's."""
    rows: list[Row] = []
    broker = (
        "redis-server on a Unix socket, without persistence" if shutil.which("redis-server") else "a folder"
    )
    notes = [note.replace("{broker}", broker) for note in NOTES]
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as name, postgres(Path(name)) as server:
        for count in scale.counts:
            case = f"{count:,} tasks"
            taken: dict[str, list[Figures]] = {}
            missing: set[str] = set()
            for _ in range(scale.rounds):
                for contestant, start in contestants(server, scale).items():
                    if contestant in missing:
                        continue
                    try:
                        figures = observe(start, count, scale.warm, scale.window)
                    except RuntimeError as error:
                        if contestant in OWN:
                            raise
                        print(error, flush=True)
                        missing.add(contestant)
                        notes.append(f"{contestant}, {case}: not measured, {str(error).splitlines()[0]}.")
                        continue
                    taken.setdefault(contestant, []).append(figures)
                    print(f"  {case}, {contestant}: {figures.cpu * 1e6:.1f} µs a run", flush=True)
            for contestant, rounds in taken.items():
                rows += rows_of(case, contestant, rounds, taken["bare loops"])
    return Subject("Supervision: no-op tasks at 1 Hz", tuple(rows), tuple(notes))
