"""Progress is drawn on a terminal only, after a while, and is gone when the work has ended."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path

import pytest

from dozor.cli.terminal.progress import Progress, can_show
from dozor.config.imports.checkers import check_file
from tests.cli.captures import ESCAPES, OnTerminal
from tests.waiting import until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


async def test_a_bar_is_drawn_and_taken_away() -> None:
    stream = Terminal()
    with Progress("Parts", 4, stream=stream, after=0.0) as progress:
        await until(lambda: "0/4" in stream.getvalue(), within=10)
        progress.step()
        await until(lambda: "1/4" in stream.getvalue(), within=10)
        progress.expect(9)
        await until(lambda: "1/9" in stream.getvalue(), within=10)
    assert stream.getvalue().endswith("\r\x1b[K\x1b[?25h")
    assert "\n" not in stream.getvalue()


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("TERM", None), ("NO_COLOR", "1")])
def test_nothing_is_drawn_where_it_would_do_harm(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    assert can_show(Terminal())
    assert not can_show(io.StringIO())
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    stream = Terminal()
    with Progress("Parts", 2, stream=stream, after=0.0) as progress:
        progress.step()
    assert stream.getvalue() == ""


def test_short_work_shows_nothing() -> None:
    stream = Terminal()
    with Progress("Parts", 2, stream=stream, after=60.0) as progress:
        progress.step()
    assert stream.getvalue() == ""


class Counted:
    def __init__(self) -> None:
        self.total = self.done = 0

    def expect(self, total: int) -> None:
        self.total = total

    def step(self) -> None:
        self.done += 1


def test_a_check_counts_the_modules_that_it_imports(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.py").write_text("async def check(): ...\n")
    (tmp_path / "config.yaml").write_text(
        "tasks:\n  a: {run: 'one:check', every: 1h}\n  b: {run: 'two:check', every: 1h}\n"
        "  c: {run: 'three:check', every: 1h, isolation: process}\n"
    )
    counted = Counted()
    check_file(tmp_path / "config.yaml", progress=counted)
    assert (counted.total, counted.done) == (3, 3)


async def test_dozor_check_shows_it_within_the_terminals_width(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\nend = time.monotonic() + 60\n"
        "while not pathlib.Path('seen').exists() and time.monotonic() < end:\n    time.sleep(0.01)\n"
        "async def check(): ...\n"
    )
    (tmp_path / "config.yaml").write_text("language: en\ntasks: {a: {run: 'slow:check', every: 1h}}\n")
    terminal = OnTerminal(tmp_path, "en", 40, ("check",))
    try:
        await until(lambda: "0/1" in terminal.text, within=30)
    finally:
        (tmp_path / "seen").touch()
        code = await asyncio.to_thread(terminal.end)
    assert code == 0
    drawn = [one for one in re.split(r"[\r\n]", ESCAPES.sub("", terminal.text)) if "Modules" in one]
    assert drawn
    assert max(map(len, drawn)) <= 40
    assert "0/1" in drawn[0]
    assert (
        terminal.text.rstrip("\n").endswith("config.yaml: 1 task, all is well") or "1 task" in terminal.text
    )
