"""Ctrl-C and SIGTERM before `dozor run` has started anything, and after everything has ended."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.effort import SOAK
from tests.system.process import Process

PAUSE = "print('here', flush=True); time.sleep(60)"
BEFORE = f"""
import asyncio, sys, time

class Slow(asyncio.Runner):
    def __enter__(self):
        {PAUSE}

asyncio.Runner = Slow
"""
AFTER = f"""
import asyncio, atexit, sys, time
from dozor.process import lifecycle

def pause():
    {PAUSE}

def at_once(loop, main, escaped):
    main.close()
    return 0

atexit.register(pause)
lifecycle.run_to_end = at_once
"""
IMPORTING = f"""
import sys, time

class Slow:
    def find_spec(self, name, path, target=None):
        if name == "dozor.cli":
            {PAUSE}

sys.meta_path.insert(0, Slow())
"""
RUN = """
from dozor.__main__ import main
sys.argv = ["dozor", "run"]
main()
"""


def _python(folder: Path, script: str) -> Process:
    (folder / "script.py").write_text(script + RUN)
    return Process([sys.executable, folder / "script.py"], cwd=folder, output=folder / "output.txt")


USUAL = [(BEFORE, signal.SIGINT), (AFTER, signal.SIGTERM)]
MORE = [(BEFORE, signal.SIGTERM), (AFTER, signal.SIGINT)]


@pytest.mark.parametrize(("script", "number"), USUAL + (MORE if SOAK else []))
async def test_nothing_is_under_way_so_the_process_ends_with_exit_0(
    tmp_path: Path, script: str, number: signal.Signals
) -> None:
    process = _python(tmp_path, script)
    try:
        await process.says("here", within=60)
        process.signal(number)
        assert await process.ends() == 0
        [line] = process.text.splitlines()
        assert "here" in line
    finally:
        process.kill()


async def test_ctrl_c_while_the_command_is_imported_shows_no_traceback(tmp_path: Path) -> None:
    process = _python(tmp_path, IMPORTING)
    try:
        await process.says("here", within=60)
        process.signal(signal.SIGINT)
        assert await process.ends() == -signal.SIGINT
        assert process.text.strip() == "here"  # the end of the line may not have been written yet
    finally:
        process.kill()
