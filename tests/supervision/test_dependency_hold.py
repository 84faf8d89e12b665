"""A task that was in a run when something it requires went down is held before its next run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dozor.clock import SteadyClock
from dozor.config.sections.supervision import DependencyConfig
from dozor.config.sections.tasks import Every, Isolation
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.events import Pause, Restart, Resume
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State
from dozor.supervision.monitoring.dependencies import Dependencies
from dozor.supervision.supervisor import Supervisor
from tests.supervision import process_checkers
from tests.supervision.stage import spec, state_of, supervising
from tests.waiting import until

NEEDS = {"requires": frozenset({"node"})}


def on_hold(supervisor: Supervisor, name: str) -> Callable[[], bool]:
    return lambda: state_of(supervisor, name).state is State.HELD


class Checker:
    """Runs until the test says so; counts its runs in a file, which a child process can write too."""

    def __init__(self, folder: Path) -> None:
        self.runs_file, self.go_file = folder / "runs", folder / "go"

    @property
    def runs(self) -> int:
        return len(self.runs_file.read_text().splitlines()) if self.runs_file.exists() else 0

    def let_go(self) -> None:
        self.go_file.touch()

    def spec(self, isolation: Isolation, **given: Any) -> TaskSpec:
        function = process_checkers.until_file_apart if isolation is not Isolation.INLINE else until_file
        return spec(
            "a",
            function,
            isolation=isolation,
            reference="process_checkers:until_file_apart",
            args={"path": str(self.runs_file), "go": str(self.go_file)},
            **{**NEEDS, **given},
        )


async def until_file(path: str, go: str) -> None:
    process_checkers._append(path, "run")
    while not process_checkers.exists(go):  # noqa: ASYNC110 -- a file has no event
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("isolation", list(Isolation))
@pytest.mark.parametrize("every", [0.01, None], ids=["periodic", "continuous"])
async def test_held_after_the_run_that_was_in_progress(
    tmp_path: Path, isolation: Isolation, every: float | None
) -> None:
    checker = Checker(tmp_path)
    schedule = {"schedule": Every(every)} if every is not None else {}
    async with supervising(checker.spec(isolation, **schedule)) as (supervisor, _):
        await until(lambda: checker.runs == 1, within=30)
        supervisor.dependency_changed(up=False, name="node")
        assert supervisor.gate.waiting_for("node") == ()  # it is running
        assert supervisor.gate.requiring("node") == ("a",)
        checker.let_go()
        await until(on_hold(supervisor, "a"))
        assert state_of(supervisor, "a").succeeded_at is not None
        assert supervisor.gate.waiting_for("node") == ("a",)
        await asyncio.sleep(0.2)
        assert checker.runs == 1
        supervisor.dependency_changed(up=True, name="node")
        assert supervisor.gate.waiting_for("node") == ()
        await until(lambda: checker.runs > 1)


async def test_held_after_a_run_that_ended_a_streak(tmp_path: Path) -> None:
    calls = 0
    go = asyncio.Event()

    async def fail_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("once")
        await go.wait()

    async with supervising(spec("a", fail_once, **NEEDS)) as (supervisor, _):
        await until(lambda: calls == 2)
        supervisor.dependency_changed(up=False, name="node")
        go.set()
        await until(on_hold(supervisor, "a"))
        assert calls == 2
        assert state_of(supervisor, "a").failures == 0


async def test_held_after_a_run_that_a_person_asked_for() -> None:
    calls = 0

    async def count() -> None:
        nonlocal calls
        calls += 1

    async with supervising(spec("a", count, **NEEDS)) as (supervisor, _):
        await until(lambda: calls > 0)
        supervisor.dependency_changed(up=False, name="node")
        await until(on_hold(supervisor, "a"))
        before = calls
        assert supervisor.command("a", Restart("x"))
        assert supervisor.gate.waiting_for("node") == ()
        await until(on_hold(supervisor, "a"))
        assert calls == before + 1
        assert supervisor.gate.waiting_for("node") == ("a",)
        supervisor.command("a", Pause("x"))
        assert supervisor.gate.waiting_for("node") == ()
        supervisor.command("a", Resume("x"))
        assert supervisor.gate.waiting_for("node") == ("a",)
        await asyncio.sleep(0.05)
        assert calls == before + 1


async def test_of_two_outages_the_list_of_each_is_right() -> None:
    async def nothing() -> None:
        pass

    both = spec("both", nothing, requires=frozenset({"node", "mail"}))
    one = spec("one", nothing, requires=frozenset({"mail"}))
    async with supervising(both, one) as (supervisor, seen):
        await until(lambda: seen.successes.get("both", 0) > 0 and seen.successes.get("one", 0) > 0)
        supervisor.dependency_changed(up=False, name="node")
        supervisor.dependency_changed(up=False, name="mail")
        await until(on_hold(supervisor, "both"))
        await until(on_hold(supervisor, "one"))
        assert supervisor.gate.waiting_for("node") == ("both",)
        assert supervisor.gate.waiting_for("mail") == ("both", "one")
        supervisor.dependency_changed(up=True, name="node")
        assert supervisor.gate.waiting_for("node") == ()
        assert supervisor.gate.waiting_for("mail") == ("both", "one")
        assert on_hold(supervisor, "both")()
        supervisor.dependency_changed(up=True, name="mail")
        assert supervisor.gate.waiting_for("mail") == ()


async def test_what_requires_nothing_runs_on() -> None:
    async def nothing() -> None:
        pass

    async with supervising(spec("a", nothing)) as (supervisor, seen):
        supervisor.dependency_changed(up=False, name="node")
        await until(lambda: seen.successes.get("a", 0) > 5)


async def test_a_query_used_as_a_gate_and_the_list_of_who_waits(pool: Pool, tmp_path: Path) -> None:
    """Two tasks are in a run when the gate closes; the list follows as each run ends."""
    await pool.execute("CREATE TABLE gate AS SELECT true AS is_open")
    events = {name: asyncio.Event() for name in ("first", "second")}
    calls = dict.fromkeys(events, 0)

    def checker(name: str) -> Callable[[], Any]:
        async def wait() -> None:
            calls[name] += 1
            await events[name].wait()

        return wait

    needs = {"requires": frozenset({"gate"})}
    config = {"gate": DependencyConfig(query="SELECT is_open FROM gate", every=0.05)}
    specs = [spec(name, checker(name), **needs) for name in events]
    async with supervising(*specs) as (supervisor, seen):
        asking = asyncio.create_task(Dependencies(config, supervisor, seen, SteadyClock(), pool).run())
        await until(lambda: all(calls.values()))
        await pool.execute("UPDATE gate SET is_open = false")
        await until(lambda: len(seen.troubles) == 1)
        assert seen.troubles[0].waiting == ()
        assert seen.troubles[0].explains == ("first", "second")
        events["first"].set()
        await until(lambda: len(seen.changes) == 1)
        assert seen.changes[0].waiting == ("first",)
        events["second"].set()
        await until(lambda: len(seen.changes) == 2)
        assert seen.changes[1].waiting == ("first", "second")
        await asyncio.sleep(0.2)
        assert calls == {"first": 1, "second": 1}
        assert len(seen.changes) == 2
        supervisor.command("first", Pause("x"))
        await until(lambda: len(seen.changes) == 3)
        assert seen.changes[2].waiting == ("second",)
        await pool.execute("UPDATE gate SET is_open = true")
        await until(lambda: calls["second"] > 1)
        assert len(seen.over) == 1
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert len(seen.troubles) == 1
