"""`databases:` and `setup:`: inline, in threads and in processes; their failures, limits and order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Every, Isolation
from dozor.storage.postgres.named_databases import DatabaseOptions
from dozor.supervision.core.events import Restart
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.execution.process.client import Launch
from dozor.supervision.runs.resources import ResourcePlan, Resources
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.log import SupervisionLog
from tests.supervision import setups
from tests.supervision.stage import Seen, is_stopped, spec
from tests.waiting import until

FOLDER = Path(__file__).parents[2]
START = 30.0
"""Seconds a process may take to start on a busy machine."""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    path = tmp_path / "notes"
    monkeypatch.setenv("NOTES", str(path))
    return lambda: path.read_text().splitlines() if path.exists() else []


def of(name: str) -> str:
    return f"tests.supervision.setups:{name}"


@asynccontextmanager
async def supervising(
    *specs: TaskSpec, setup: str = "", limit: float = 5.0, **dsns: str
) -> AsyncIterator[tuple[Supervisor, Seen]]:
    seen, clock = Seen(), SteadyClock()
    plan = ResourcePlan(
        databases={name: DatabaseOptions(dsn=dsn, connect_timeout=2.0) for name, dsn in dsns.items()},
        setup=setup and of(setup),
        setup_timeout=limit,
        folder=FOLDER,
    )
    supervisor = Supervisor(
        specs,
        observer=seen,
        clock=clock,
        log=SupervisionLog(),
        generation=7,
        grace=0.5,
        launch=Launch(folder=FOLDER, resources=plan),
        resources=Resources(plan, clock.now),
    )
    supervisor.start()
    try:
        yield supervisor, seen
    finally:
        await supervisor.stop()


def task(name: str, function: Callable[..., Any], **given: Any) -> TaskSpec:
    return spec(name, function, reference=of(function.__name__), **given)


@pytest.mark.parametrize(
    ("function", "isolation"),
    [
        (setups.look, Isolation.INLINE),
        (setups.look_in_thread, Isolation.THREAD),
        (setups.look, Isolation.PROCESS),
        (setups.look_in_thread, Isolation.PROCESS),
    ],
)
async def test_setups_are_opened_once_and_closed_in_the_reverse_order(
    notes: Callable[[], list[str]], function: Callable[..., Any], isolation: Isolation
) -> None:
    one = task("one", function, isolation=isolation, setup=of("own"))
    async with supervising(one, setup="shared") as (_, seen):
        await until(lambda: seen.successes.get("one", 0) >= 3, within=START)
    lines = notes()
    assert lines[0].startswith("open shared")
    assert lines[1] == "open own"
    assert set(lines[2:-2]) == {"run own of shared"}
    assert lines[-2:] == ["close own", "close shared"]


async def test_the_value_of_the_runner_reaches_tasks_without_a_setup(
    notes: Callable[[], list[str]],
) -> None:
    async with supervising(task("one", setups.look), task("two", setups.look), setup="shared") as (_, seen):
        await until(lambda: len(seen.successes) == 2)
    assert [line for line in notes() if "shared" in line and "run" not in line][1:] == ["close shared"]
    assert "run shared" in notes()


async def test_a_setup_that_is_refused_fails_the_run_and_the_next_run_tries_again(
    notes: Callable[[], list[str]], tmp_path: Path
) -> None:
    one = task("one", setups.nothing, setup=of("refused"), max_consecutive_failures=None)
    async with supervising(one, task("other", setups.nothing)) as (_, seen):
        await until(lambda: len(seen.failures("one")) >= 2 and seen.successes.get("other", 0) > 2)
        failure = seen.failures("one")[1]
        assert failure.error_type == "SetupError"
        assert "tests.supervision.setups:refused" in failure.error_text
        assert "ConnectionRefusedError: the vault is closed" in failure.error_text
        assert "setups.py:" in failure.error_text
        assert "in refused" in failure.error_text
        assert "the vault is closed" in failure.traceback
        (tmp_path / "ALLOWED").touch()
        await until(lambda: seen.successes.get("one", 0) > 0)


@pytest.mark.parametrize("isolation", [Isolation.INLINE, Isolation.PROCESS])
async def test_a_setup_that_ends_the_process_fails_the_run_only(
    notes: Callable[[], list[str]], isolation: Isolation
) -> None:
    one = task("one", setups.nothing, setup=of("exits"), isolation=isolation)
    async with supervising(one, task("other", setups.nothing)) as (supervisor, seen):
        await until(is_stopped(supervisor, "one"), within=START)
        assert "SystemExit" in seen.failures("one")[0].error_text
        before = seen.successes.get("other", 0)
        await until(lambda: seen.successes.get("other", 0) > before)


async def test_a_setup_that_hangs_fails_the_run_within_its_limit(notes: Callable[[], list[str]]) -> None:
    one = task("one", setups.nothing, setup=of("hangs"))
    async with supervising(one, limit=0.2) as (supervisor, seen):
        await until(is_stopped(supervisor, "one"))
        text = seen.failures("one")[0].error_text
        assert "was not open within 0.2 s" in text
        assert "in hangs" in text


async def test_a_run_that_is_cancelled_leaves_the_shared_setup_alone(notes: Callable[[], list[str]]) -> None:
    slow = task("slow", setups.nothing, setup=of("hangs"), timeout=0.2, max_consecutive_failures=1)
    async with supervising(slow, task("one", setups.look), setup="shared", limit=30.0) as (supervisor, seen):
        await until(is_stopped(supervisor, "slow"))
        before = seen.successes.get("one", 0)
        await until(lambda: seen.successes.get("one", 0) > before)
        assert seen.failures("one") == []
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5.0
    assert sum(line.startswith("open shared") for line in notes()) == 1


async def test_a_setup_is_opened_anew_after_a_restart_and_closed_with_its_task(
    notes: Callable[[], list[str]],
) -> None:
    one = task("one", setups.look, setup=of("own"))
    async with supervising(one, setup="shared") as (supervisor, _):
        await until(lambda: len(notes()) > 3)
        supervisor.command("one", Restart("somebody"))
        await until(lambda: notes().count("open own") == 2)
        assert notes().index("close own") < len(notes()) - notes()[::-1].index("open own") - 1
        supervisor.task_changes.replace(one, 0.0)
        supervisor.plan_anew()
        await until(lambda: notes().count("open own") == 3)
        supervisor.task_changes.remove("one")
        await until(lambda: notes().count("close own") == 3)
        assert "close shared" not in notes()


async def test_a_setup_that_fails_while_it_is_closed_keeps_nothing_else_open(
    notes: Callable[[], list[str]],
) -> None:
    one = task("one", setups.nothing, setup=of("bad_end"))
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{message}", level="ERROR")
    try:
        async with supervising(one, setup="shared") as (_, seen):
            await until(lambda: seen.successes.get("one", 0) > 0)
    finally:
        logger.remove(sink)
    assert notes()[-1] == "close shared"
    assert "failed while it was closed: RuntimeError: cannot close the till" in lines[0]


@pytest.mark.parametrize("isolation", [Isolation.INLINE, Isolation.PROCESS])
async def test_a_named_database_is_a_plain_asyncpg_pool(
    notes: Callable[[], list[str]], postgres: str, isolation: Isolation
) -> None:
    one = task("one", setups.ask, isolation=isolation)
    async with supervising(one, shop=postgres) as (_, seen):
        await until(lambda: seen.successes.get("one", 0) >= 2, within=START)
    assert set(notes()) == {"postgres '{}' ['shop']"}


async def test_a_setup_may_use_the_databases(notes: Callable[[], list[str]], postgres: str) -> None:
    one = task("one", setups.nothing, setup=of("alone"))
    two = task("two", setups.ask)
    async with supervising(one, two, shop=postgres) as (_, seen):
        await until(lambda: seen.successes.get("one", 0) >= 2)
    assert "open alone postgres" in notes()
    assert "close alone" in notes()


@pytest.mark.parametrize("isolation", [Isolation.INLINE, Isolation.PROCESS])
async def test_a_database_that_refuses_fails_the_runs_that_use_it(
    notes: Callable[[], list[str]], isolation: Isolation
) -> None:
    dsn = "postgresql://shop:hunter2hunter2@127.0.0.1:1/shop"
    one = task("one", setups.ask, isolation=isolation)
    async with supervising(one, task("other", setups.nothing), shop=dsn) as (supervisor, seen):
        await until(is_stopped(supervisor, "one"), within=START)
        failure = seen.failures("one")[0]
        assert failure.error_type == "DatabaseUnavailableError"
        assert failure.error_text.startswith("Database shop (PostgreSQL at 127.0.0.1:1)")
        assert "hunter2" not in failure.error_text + failure.traceback
        assert seen.successes["other"] > 0


async def test_an_unknown_database_and_one_in_a_thread_are_named(
    notes: Callable[[], list[str]], postgres: str
) -> None:
    unknown = task("unknown", setups.ask_unknown)
    threaded = task("threaded", setups.ask_in_thread, isolation=Isolation.THREAD)
    async with supervising(unknown, threaded, shop=postgres) as (supervisor, seen):
        await until(lambda: is_stopped(supervisor, "unknown")() and is_stopped(supervisor, "threaded")())
        text = seen.failures("unknown")[0].error_text
        assert text == "no database 'shopp' under databases:; there are: shop; did you mean shop?"
        assert 'ctx.databases["shop"] belongs to the runner' in seen.failures("threaded")[0].error_text


async def test_a_slow_start_is_within_a_schedule(notes: Callable[[], list[str]]) -> None:
    """A setup belongs to its task: others with none are not kept waiting."""
    slow = task("slow", setups.nothing, setup=of("hangs"), schedule=Every(0.01))
    async with supervising(slow, task("other", setups.nothing), limit=30.0) as (_, seen):
        await until(lambda: seen.successes.get("other", 0) >= 5)
        assert "slow" not in seen.successes
