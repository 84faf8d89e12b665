"""A blocked event loop cannot answer: the probe times out, and the metrics show it afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from dozor.cli.health import _ask
from tests.observed.stack import free_port
from tests.system.process import DOZOR, Process

CHECKERS = """
import pathlib, time

async def block():
    sign = pathlib.Path("block")
    if sign.exists():
        sign.unlink()
        end = time.monotonic() + 60
        while not pathlib.Path("released").exists() and time.monotonic() < end:
            time.sleep(0.01)
"""
CONFIG = """
database: {{url: '{dsn}'}}
web: {{listen: '127.0.0.1:{port}'}}
tasks:
  blocking: {{run: 'checkers_that_block:block', every: 100ms}}
"""


async def lag(url: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as answer:
        line = next(x for x in (await answer.text()).splitlines() if x.startswith("dozor_event_loop_lag"))
    return float(line.split()[1])


async def test_a_blocked_loop_fails_its_probe_and_is_measured(database: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    (tmp_path / "checkers_that_block.py").write_text(CHECKERS)
    (tmp_path / "config.yaml").write_text(CONFIG.format(dsn=database, port=port))
    process = Process([DOZOR, "run"], cwd=tmp_path, output=tmp_path / "log")
    try:
        await process.says("слушаю")
        assert (await asyncio.to_thread(_ask, f"{url}/healthz", 2.0))[0]
        (tmp_path / "block").touch()
        while (tmp_path / "block").exists():  # noqa: ASYNC110 -- another process's file
            await asyncio.sleep(0.01)
        well, answer = await asyncio.to_thread(_ask, f"{url}/healthz", 1.0)
        assert not well
        assert "no answer" in str(answer)
        (tmp_path / "released").touch()
        assert (await asyncio.to_thread(_ask, f"{url}/healthz", 30.0))[0], "it is over"
        assert await lag(url) > 0.9
    finally:
        await process.stop()
