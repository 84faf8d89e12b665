"""Every extra installed: the demo in an empty folder, and the types that a user's program sees."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import pytest

from tests.installed.environment import Installed

PROGRAM = '''
"""A program that embeds Dozor, with a checker of its own."""

import asyncio
from datetime import datetime, timezone

from dozor import (
    BackgroundAlert, Context, CriticalStop, Fatal, Runner, TelegramAlert, safe_background_task
)
from dozor.testing import FakeContext


async def check_payouts(ctx: Context, limit: int = 10) -> None:
    late: int = await ctx.db.fetchval("SELECT count(*) FROM payouts WHERE late")
    async with ctx.db.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE payouts SET seen = true")
    ctx.log.bind(late=late).info("{} of {}: attempt {}", ctx.task, ctx.run_id, ctx.attempt)
    due: datetime = ctx.scheduled_at
    ctx.heartbeat()
    ctx.progress(1, 2)
    ctx.backlog(late, due.astimezone(timezone.utc), 60.0)
    if ctx.stopping or ctx.stopping.is_set():
        return
    await ctx.stopping.wait(5)
    if late > limit:
        ctx.alert(f"{late} payouts are late", severity="critical")
        raise Fatal("somebody has to look")


class Account:
    @staticmethod
    async def run_presale_checker() -> None: ...


async def note(alert: BackgroundAlert) -> None:
    error: BaseException = alert.error
    print(alert.task, alert.failures, alert.limit, error, isinstance(alert, CriticalStop))


def test_payouts() -> None:
    ctx = FakeContext(attempt=2)
    ctx.run(check_payouts, limit=3)
    severities: list[str] = [one.severity for one in ctx.alerts]
    print(severities)


async def main() -> None:
    task = asyncio.create_task(
        safe_background_task(
            task_name="presale_checker",
            task_func=Account.run_presale_checker,
            restart_delay=60,
            max_consecutive_failures=5,
            alerts=TelegramAlert("42:token", "-1001234567890:17", language="en"),
        )
    )
    own = asyncio.create_task(safe_background_task("own", Account.run_presale_checker, alerts=note))
    own.cancel()
    async with Runner.from_config("config.yaml") as runner:
        ready: bool = runner.readiness().ready
        print(ready)
    task.cancel()
'''
MISTAKES = """
import asyncio

from dozor import Context, Runner, safe_background_task


async def check(ctx: Context) -> None:
    ctx.alert(5)
    ctx.progress("half")
    attempt: str = ctx.attempt
    ctx.none_such


async def main() -> None:
    await safe_background_task(5, print, restart_delay="soon")
    Runner.from_config()
"""


@pytest.mark.timeout(300)
def test_mypy_strict_is_clean_on_a_users_program_and_sees_its_mistakes(
    plain: Installed, tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    (tmp_path / "mistakes.py").write_text(textwrap.dedent(MISTAKES))
    options = ["--config-file=", "--strict", "--no-error-summary", "--python-executable", str(plain.python)]
    files = ["program.py", "mistakes.py"]
    ran = plain.run(tmp_path, sys.executable, "-m", "mypy", *options, *files, timeout=280)
    errors = re.findall(r"^(\S+?):(\d+): error", ran.stdout, re.MULTILINE)
    assert {(name, int(line)) for name, line in errors} == {
        ("mistakes.py", line) for line in (8, 9, 10, 11, 15, 16)
    }, ran.stdout + ran.stderr
    assert ran.returncode == 1


@pytest.mark.timeout(200)
def test_the_demo_plays_in_an_empty_folder(whole: Installed, short_dir: Path) -> None:
    """In English, in haste: tests/demo plays it in Russian and compares what follows."""
    folder = short_dir / "empty"
    folder.mkdir()
    command = ["demo", "--language", "en", "--speed", "10"]
    ran = whole.run(folder, whole.dozor, *command, timeout=180)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "🛑 auctions_checker stopped: 5 errors in a row" in ran.stdout
    assert re.search(r"Done in \d+ s", ran.stdout)
    assert not re.search("[а-яё]", ran.stdout + ran.stderr, re.IGNORECASE)
    assert "docs/writing-checkers.md" in ran.stdout
    assert "make " not in ran.stdout
    assert "https://" in ran.stdout
    assert list(folder.iterdir()) == []
