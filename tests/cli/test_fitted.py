"""Messages are wrapped between words on a terminal, and never for a program that reads them."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from pathlib import Path

import click
import pytest

from tests.effort import SOAK
from tests.preloaded.processes import run, start

ENGLISH, RUSSIAN = "en", "ru"


def on_a_terminal(columns: int, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and lines of `dozor ARGUMENTS` on a terminal so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = start(
        [sys.executable, "-m", "dozor", *arguments],
        cwd=Path.cwd(), env={**kept, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(ours)
    return process.wait(), said.decode().replace("\r\n", "\n").split("\n")


@pytest.fixture
def config(tmp_path: Path, database: str, request: pytest.FixtureRequest) -> Path:
    (tmp_path / "mine.py").write_text("async def check():\n    pass\n")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"language: {request.param}\ndatabase: {{url: '{database}'}}\nweb: {{listen: null}}\n"
        "tasks: {orders: {run: 'mine:check', every: 1h}}\n"
    )
    return path


@pytest.mark.parametrize("config", [ENGLISH, RUSSIAN], indirect=True)
@pytest.mark.parametrize("columns", [40, 80, 120] if SOAK else [40])
def test_messages_fit_the_terminal(config: Path, columns: int) -> None:
    for arguments in (("history", "nosuch"), ("restart", "orders"), ("oncall",), ("why", "999")):
        code, lines = on_a_terminal(columns, *arguments, "-c", str(config))
        assert code == (0 if arguments == ("oncall",) else 1), lines
        assert max(len(click.unstyle(line)) for line in lines) <= columns, lines


@pytest.mark.parametrize("config", [ENGLISH], indirect=True)
def test_a_pipe_gets_one_line(config: Path) -> None:
    ran = run("restart", "orders", "-c", config, env={**os.environ, "COLUMNS": "40"})
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
