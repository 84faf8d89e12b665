"""`dozor run --log-format json` without a chat: every line on standard error is JSON, alerts included."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.system.process import PATIENCE, Process
from tests.waiting import until


async def test_alerts_are_lines_of_json(tmp_path: Path, database: str) -> None:
    (tmp_path / "mine.py").write_text("async def check():\n    raise OSError('no route')\n")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"language: en\ndatabase: {{url: '{database}'}}\nweb: {{listen: null}}\n"
        "tasks: {orders: {run: 'mine:check', every: 1s, restart_delay: 100ms, max_consecutive_failures: 3}}\n"
    )
    command = [sys.executable, "-m", "dozor", "run", "-c", str(path), "--log-format", "json"]
    process = Process(command, cwd=tmp_path, output=tmp_path / "log")
    try:
        await until(lambda: '"alert": true' in process.text and "3/3" in process.text, within=PATIENCE)
        assert await process.stop() == 0
    finally:
        process.kill()
    entries = [json.loads(line) for line in process.text.splitlines()]
    alerts = [entry for entry in entries if entry.get("alert")]
    assert any("orders" in entry["message"] for entry in alerts)
    assert all(entry["at"] and entry["level"] for entry in entries)
