"""From the start of the process to the first run, `dozor check`, `dozor status`, and memory of idle tasks."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.subjects.supervision import CHECKERS
from benchmarks.suite.processes import (
    DOZOR,
    Server,
    dozor_run,
    pause,
    postgres,
    resident,
    timed,
    wait_for,
    write_config,
)
from benchmarks.suite.recorder import Recorder
from benchmarks.suite.results import Goal, Row, Scale, Subject

FIRST_GOAL = 2.0
CHECK_GOAL = 1.5
STATUS_GOAL = 0.35
TASK_GOAL = 4096
FEW = 10
NEVER = "0 0 1 1 *"
NOTES = (
    "The database is there and migrated. The first start finds no task in it; a later start"
    " finds all of them."
    " CPU is that of the process, which a busy machine changes less than the time by the clock.",
    "An idle task has a cron that is not due; the figure is the memory (RSS) that a runner with many of them"
    f" needs more than one with {FEW}, divided by their number. It includes the configuration.",
)


def measure(scale: Scale) -> Subject:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as name, postgres(Path(name)) as server:
        folder = Path(name)
        (folder / "bench_checkers.py").write_text(CHECKERS)
        rows += _starts(folder, server, scale)
        rows += _commands(folder, server, scale)
        rows.append(_memory(folder, server, scale))
    return Subject("Start, commands and memory", tuple(rows), NOTES)


START_GAP = (
    "the process's own CPU is most of it: imports, YAML and pydantic models of the"
    " configuration, rows of tasks."
    " Tried: a join in place of a list of names, no write of unchanged rows, functions examined once, shared"
    " policies, one validation of tasks that are written alike, a collector that leaves it alone"
)
CHECK_GAP = "YAML by libyaml and a model for each task; each function is examined once"
TASK_GAP = (
    "the task, its state and settings of alerting, and the lines of its keys, kept for errors and reloads."
    " Tried: policies, records of failures and most of the configuration of tasks that are written alike are"
    " shared"
)
STATUS_GAP = "imports are most of it (`python -X importtime -m dozor status`): pydantic, asyncpg, click"


def _goal(scale: Scale, limit: float, explanation: str) -> Goal | None:
    """Goals are for 10,000 tasks."""
    return Goal(limit, explanation=explanation) if scale.start_tasks == 10_000 else None


def _starts(folder: Path, server: Server, scale: Scale) -> list[Row]:
    case = f"{scale.start_tasks:,} tasks at 1 Hz"
    tasks = {
        f"task_{number:05}": {"run": "bench_checkers:recorded", "every": "1s"}
        for number in range(scale.start_tasks)
    }
    first: list[float] = []
    later: list[float] = []
    for _ in range(scale.rounds):
        name = server.create()
        config = write_config(folder, server.at(name), tasks)
        first.append(first_run(config, folder))
        later.append(first_run(config, folder))
        server.run(f"DROP DATABASE {name} WITH (FORCE)")
    return [
        Row(case, "dozor run", "first start, to the first run", "s", tuple(first)),
        Row(
            case,
            "dozor run",
            "later start, to the first run",
            "s",
            tuple(later),
            _goal(scale, FIRST_GOAL, START_GAP),
        ),
    ]


def first_run(config: Path, folder: Path) -> float:
    """Seconds from starting the process to its first run."""
    (folder / "record").unlink(missing_ok=True)
    recorder = Recorder(folder / "record")
    begun = time.time()
    with dozor_run(config, folder) as process:
        wait_for(lambda: recorder.count > 0, 120, "the first run", process)
    seconds = recorder.first_at - begun
    recorder.close()
    return seconds


def _commands(folder: Path, server: Server, scale: Scale) -> list[Row]:
    name = server.create()
    many = {
        f"task_{number:05}": {"run": "bench_checkers:nothing", "every": "1s"}
        for number in range(scale.start_tasks)
    }
    config = write_config(folder, server.at(name), many)
    checks = [timed([str(DOZOR), "check", "-c", str(config)], folder) for _ in range(scale.rounds)]
    case = f"{scale.start_tasks:,} tasks"
    rows = [
        Row(
            case,
            "dozor check",
            "time",
            "s",
            tuple(one.wall for one in checks),
            _goal(scale, CHECK_GOAL, CHECK_GAP),
        ),
        Row(case, "dozor check", "CPU", "s", tuple(one.cpu for one in checks)),
    ]
    few = {f"task_{number:05}": {"run": "bench_checkers:nothing", "every": "1s"} for number in range(FEW)}
    config = write_config(folder, server.at(name), few)
    with dozor_run(config, folder) as process:
        wait_for(lambda: _answers(config, folder), 60, "dozor status", process)
        asked = [
            timed([str(DOZOR), "status", "-c", str(config)], folder) for _ in range(2 * scale.rounds + 1)
        ]
    case = f"{FEW} tasks, a runner at work"
    goal = Goal(STATUS_GOAL, explanation=STATUS_GAP)
    rows += [
        Row(case, "dozor status", "time", "s", tuple(one.wall for one in asked), goal),
        Row(case, "dozor status", "CPU", "s", tuple(one.cpu for one in asked)),
    ]
    server.run(f"DROP DATABASE {name} WITH (FORCE)")
    return rows


def _answers(config: Path, folder: Path) -> bool:
    try:
        timed([str(DOZOR), "status", "-c", str(config)], folder)
    except RuntimeError:
        return False
    return True


def _memory(folder: Path, server: Server, scale: Scale) -> Row:
    """Bytes of an idle task."""
    per_task = []
    for _ in range(scale.rounds):
        used = [_idle(folder, server, count) for count in (FEW, FEW + scale.start_tasks)]
        per_task.append((used[1] - used[0]) / scale.start_tasks)
    case = f"{scale.start_tasks:,} idle tasks"
    return Row(
        case, "dozor run", "memory a task", "bytes", tuple(per_task), _goal(scale, TASK_GOAL, TASK_GAP)
    )


def _idle(folder: Path, server: Server, count: int) -> int:
    """Bytes that a runner of `count` tasks holds, when they have all been planned."""
    name = server.create()
    tasks = {f"task_{number:05}": {"run": "bench_checkers:nothing", "cron": NEVER} for number in range(count)}
    config = write_config(folder, server.at(name), tasks)
    with dozor_run(config, folder) as process:
        seen = "SELECT count(*) AS n FROM dozor.tasks"
        wait_for(lambda: int(server.run(seen, database=name)[0]["n"]) >= count, 60, "tasks", process)
        pause(4.0)
        used = resident(process.pid)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")
    return used
