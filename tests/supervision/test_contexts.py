"""A run's ContextVars and decimal context: its own, in every isolation, and nobody else's."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dozor import safe_background_task
from dozor.clean_context import CleanContext
from dozor.config.sections.tasks import Isolation
from dozor.supervision.runs.context import Context
from dozor.supervision.supervisor import Transition
from dozor.supervision.tasks.task import SupervisedTask
from tests.supervision import contextual
from tests.supervision.contextual import seen as context_seen
from tests.supervision.contextual import tenant
from tests.supervision.stage import Seen, spec, supervising
from tests.waiting import until

CLEAN = "nobody 28 False"
START = 60.0


@pytest.mark.parametrize(
    ("isolation", "function"),
    [
        (Isolation.INLINE, contextual.spoil_inline),
        (Isolation.THREAD, contextual.spoil_thread),
        (Isolation.PROCESS, contextual.spoil_inline),
        (Isolation.PROCESS, contextual.spoil_thread),
    ],
)
async def test_what_a_run_changes_is_seen_by_no_other_run(
    tmp_path: Path, isolation: Isolation, function: Callable[..., Any]
) -> None:
    own, others = tmp_path / "own", tmp_path / "others"

    async def other() -> None:
        with others.open("a") as file:
            file.write(context_seen() + "\n")

    spoiling = spec(
        "spoiling",
        function,
        isolation=isolation,
        args={"path": str(own)},
        reference=f"contextual:{function.__name__}",
    )
    async with supervising(spoiling, spec("other", other)) as (_, seen):
        await until(lambda: seen.successes.get("spoiling", 0) >= 5, within=START)
        before = seen.successes["other"]
        await until(lambda: seen.successes["other"] >= before + 5)
    assert set(own.read_text().splitlines()) == {CLEAN}
    assert set(others.read_text().splitlines()) == {CLEAN}


class Looking(Seen):
    """Notes the context that it is called in."""

    def __init__(self) -> None:
        super().__init__()
        self.contexts: set[tuple[str, str]] = set()

    def transition(self, transition: Transition) -> None:
        self.contexts.add((type(transition.event).__name__, context_seen()))
        super().transition(transition)

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        self.contexts.add(("success", context_seen()))
        super().succeeded(task, seconds, lateness)

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        self.contexts.add(("alert", context_seen()))
        super().checker_alert(task, text, severity)


async def test_what_follows_from_a_run_does_not_happen_in_its_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a run, its alert and heartbeat, and the timers that they arm."""
    monkeypatch.setattr("tests.supervision.stage.Seen", Looking)
    runs = 0

    async def speaks(ctx: Context) -> None:
        nonlocal runs
        runs += 1
        contextual.spoil(str(tmp_path / "own"))
        ctx.heartbeat()
        ctx.alert("look", "warning")
        if runs % 2:
            raise RuntimeError("boom")

    async def hangs(ctx: Context) -> None:
        contextual.spoil(str(tmp_path / "hung"))
        await asyncio.sleep(60)

    async with supervising(
        spec("speaks", speaks, max_consecutive_failures=None), spec("hangs", hangs, timeout=0.02)
    ) as (_, seen):
        assert isinstance(seen, Looking)
        await until(lambda: seen.successes.get("speaks", 0) >= 3 and len(seen.failures("hangs")) == 3)
    assert {what for what, _ in seen.contexts} >= {"success", "Failed", "alert"}
    assert {context for _, context in seen.contexts} == {CLEAN}


async def test_a_decimal_context_of_before_holds_for_every_run_and_is_not_shared(tmp_path: Path) -> None:
    """As after `getcontext().prec = 50` at the top of a module. The object behind it is mutable."""
    before = decimal.getcontext().copy()
    decimal.getcontext().prec = 50
    path = tmp_path / "own"
    try:
        async with supervising(
            spec("inline", contextual.spoil_inline, args={"path": str(path)}),
            spec("thread", contextual.spoil_thread, args={"path": str(path)}, isolation=Isolation.THREAD),
        ) as (_, seen):
            await until(lambda: min(seen.successes.get(n, 0) for n in ("inline", "thread")) >= 3)
        assert decimal.getcontext().prec == 50
    finally:
        decimal.setcontext(before)
    assert set(path.read_text().splitlines()) == {"nobody 50 False"}


async def test_runs_have_the_variables_of_the_code_that_built_the_supervisor() -> None:
    """An application's trace or tenant, set before the runner started."""
    found: list[str] = []

    async def look() -> None:
        found.append(tenant.get())

    token = tenant.set("application")
    try:
        async with supervising(spec("look", look)) as (_, seen):
            tenant.set("later")
            await until(lambda: seen.successes.get("look", 0) >= 2)
    finally:
        tenant.reset(token)
    assert set(found) == {"application"}


async def test_each_attempt_of_a_background_task_has_a_copy_of_the_callers_context(tmp_path: Path) -> None:
    path = tmp_path / "own"
    before = decimal.getcontext().copy()
    attempts = 0

    async def spoils() -> None:
        nonlocal attempts
        attempts += 1
        contextual.spoil(str(path))
        await asyncio.sleep(0)
        raise RuntimeError("boom")

    decimal.getcontext().prec = 40
    token = tenant.set("caller")
    try:
        await safe_background_task("spoils", spoils, restart_delay=0, max_consecutive_failures=3)
        assert tenant.get() == "caller"
        assert decimal.getcontext().prec == 40
    finally:
        tenant.reset(token)
        decimal.setcontext(before)
    assert path.read_text().splitlines() == ["caller 40 False"] * 3


async def test_a_background_task_is_still_the_current_task_of_its_runs() -> None:
    """A checker that cancels all other tasks does not cancel the one that supervises it."""
    current: list[object] = []

    async def looks() -> None:
        current.append(asyncio.current_task())
        for task in asyncio.all_tasks() - {asyncio.current_task(), whole}:
            task.cancel()
        await asyncio.sleep(0)
        if len(current) == 3:
            raise SystemExit

    whole = asyncio.current_task()
    supervised = safe_background_task("looks", looks, restart_delay=0, max_consecutive_failures=1)
    task = asyncio.create_task(supervised)
    await asyncio.wait_for(task, 10)
    assert set(current) == {task}


def test_a_fresh_context_has_a_decimal_context_of_its_own() -> None:
    def both() -> None:
        decimal.getcontext().prec = 33
        contexts = CleanContext()
        first, second = contexts.fresh(), contexts.fresh()
        first.run(lambda: setattr(decimal.getcontext(), "prec", 5))
        assert first.run(lambda: decimal.getcontext().prec) == 5
        assert second.run(lambda: decimal.getcontext().prec) == 33
        assert decimal.getcontext().prec == 33

    contextvars.copy_context().run(both)
