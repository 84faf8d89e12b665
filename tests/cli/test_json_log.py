"""`dozor run --log-format json` without a chat: every line on standard error is JSON, alerts included."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

from tests.preloaded.processes import start
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


PRINTING = """
import os, subprocess, sys, threading

async def inline():
    print("inline", "sesame-4711")
    print("an error", file=sys.stderr)
    sys.stdout.buffer.write(b"bytes\\n")
    print("a part", end="")
    print(" and the rest")

def thread():
    print("in a thread")
    threading.Thread(target=print, args=("a thread of its own",)).start()

def child():
    print("in a child")

async def started():
    os.write(1, b"past python\\n")
    subprocess.run(["sh", "-c", "echo from a process sesame-4711; echo its error >&2; printf unended"])
"""


async def test_what_checkers_print_is_a_record_of_its_own(tmp_path: Path, database: str) -> None:
    (tmp_path / "mine.py").write_text(PRINTING)
    path = tmp_path / "config.yaml"
    path.write_text(
        f"language: en\ndatabase: {{url: '{database}'}}\nweb: {{listen: null}}\n"
        "defaults: {every: 1h, run_at_start: true}\n"
        "tasks:\n"
        "  one: {run: 'mine:inline', args: {}}\n"
        "  two: {run: 'mine:thread', isolation: thread}\n"
        "  three: {run: 'mine:child', isolation: process}\n"
        "  four: {run: 'mine:started'}\n"
        "telegram: {token: null}\n"
        "alerts: {second_channel: {urls: ['json://user:${PASSWORD}@localhost']}}\n"
    )
    output, error = tmp_path / "output", tmp_path / "error"
    nothing = os.open(os.devnull, os.O_RDONLY)
    with output.open("wb") as out, error.open("wb") as err:
        process = start(
            [sys.executable, "-m", "dozor", "run", "-c", str(path)], cwd=tmp_path,
            env={**os.environ, "PASSWORD": "sesame-4711"},
            stdin=nothing, stdout=out.fileno(), stderr=err.fileno(),
        )  # fmt: skip
    os.close(nothing)
    try:
        await until(
            lambda: "unended" in output.read_text() and "in a child" in error.read_text()
            and "thread of its own" in output.read_text() and "the rest" in output.read_text(),
            within=PATIENCE,
        )  # fmt: skip
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None, within=PATIENCE)
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
    text = output.read_text() + error.read_text()
    assert "sesame" not in text
    entries = [json.loads(line) for line in text.splitlines()]
    said = {
        entry["message"]: (entry.get("task"), entry["stream"]) for entry in entries if entry.get("stream")
    }
    assert said == {
        "inline ***": ("one", "stdout"),
        "an error": ("one", "stderr"),
        "bytes": ("one", "stdout"),
        "a part and the rest": ("one", "stdout"),
        "in a thread": ("two", "stdout"),
        "a thread of its own": ("two", "stdout"),
        "three: in a child": ("three", "output"),
        "past python": (None, "stdout"),
        "from a process ***": (None, "stdout"),
        "its error": (None, "stderr"),
        "unended": (None, "stdout"),
    }
    assert all(entry["at"] and entry["level"] for entry in entries)
    assert all(
        "run_id" in entry for entry in entries if entry.get("stream") == "stdout" and entry.get("task")
    )
    assert all(entry.get("stream") for entry in map(json.loads, output.read_text().splitlines()))


async def test_a_refusal_at_the_start_is_json_too(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("language: en\ntasks: {a: {run: nothing}}\n")
    command = [sys.executable, "-m", "dozor", "run", "-c", str(path), "--log-format", "json"]
    process = Process(command, cwd=tmp_path, output=tmp_path / "log")
    try:
        assert await process.ends() == 2
    finally:
        process.kill()
    entries = [json.loads(line) for line in process.text.splitlines()]
    assert any("config.yaml:2" in entry["message"] and entry["level"] == "WARNING" for entry in entries)


BROKEN = """language: en
tasks:
  a: {run: "broken:check", every: 1s}
  b: {run: "nowhere:check", every: 1s}
"""


async def _refusal(folder: Path, *options: str, code: int, config: str = BROKEN) -> str:
    """What `dozor run` writes before it ends with `code`."""
    (folder / "broken.py").write_text("PRICE = int('sesame')\n\nasync def check(): ...\n")
    (folder / "config.yaml").write_text(config)
    command = [sys.executable, "-m", "dozor", "run", "-c", str(folder / "config.yaml"), *options]
    process = Process(command, cwd=folder, output=folder / "log")
    try:
        assert await process.ends() == code
    finally:
        process.kill()
    return process.text


async def test_a_refusal_is_one_record_for_each_problem_with_its_traceback(tmp_path: Path) -> None:
    text = await _refusal(tmp_path, "--log-format", "json", code=2)
    first, second = [json.loads(line) for line in text.splitlines()]
    assert "config.yaml:3: tasks.a.run" in first["message"]
    assert "PRICE = int('sesame')" in first["message"]
    assert "config.yaml:4: tasks.b.run" in second["message"]
    assert (second["level"], second["stream"]) == ("WARNING", "stderr")


async def test_without_the_option_a_refusal_is_text(tmp_path: Path) -> None:
    text = await _refusal(tmp_path, code=2)
    starts = re.findall(r"^\S*/config\.yaml:(\d+: [\w.]+): ", text, re.MULTILINE)
    assert starts == ["3: tasks.a.run", "4: tasks.b.run"]
    assert "\n    PRICE = int('sesame')\n" in text


async def test_the_reason_of_an_end_is_text_after_a_log_of_json(tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text("print('imported')\n\nasync def check(): ...\n")
    config = (
        "language: en\nweb: {listen: null}\ndatabase: {data_dir: fine.py}\n"
        "tasks: {a: {run: 'fine:check', every: 1s}}\n"
    )
    *log, reason = (await _refusal(tmp_path, code=1, config=config)).splitlines()
    assert "imported" in [json.loads(line)["message"] for line in log]
    assert reason.startswith("dozor: ")


async def test_a_flood_of_a_process_is_counted_and_holds_nobody_up(tmp_path: Path, database: str) -> None:
    (tmp_path / "mine.py").write_text(
        "import asyncio, subprocess\n"
        "async def flood():\n"
        "    process = await asyncio.create_subprocess_exec('timeout', '2', 'yes', 'debug: x')\n"
        "    await process.wait()\n"
        "    print('flooded')\n"
        "async def beat():\n"
        "    print('beat')\n"
    )
    path = tmp_path / "config.yaml"
    path.write_text(
        f"language: en\ndatabase: {{url: '{database}'}}\nweb: {{listen: null}}\n"
        "tasks:\n  flood: {run: 'mine:flood', every: 1h, run_at_start: true}\n"
        "  beat: {run: 'mine:beat', every: 200ms}\n"
    )
    command = [sys.executable, "-m", "dozor", "run", "-c", str(path), "--log-format", "json"]
    process = Process(command, cwd=tmp_path, output=tmp_path / "log")
    try:
        await until(
            lambda: (
                '"flooded"' in process.text and "lines of its output that were not logged" in process.text
            ),
            within=PATIENCE,
        )
        assert await process.stop() == 0
    finally:
        process.kill()
    messages = [json.loads(line)["message"] for line in process.text.splitlines()]
    assert messages.count("debug: x") < 3_000
    assert messages.index("flooded") - messages.index("beat") > 5
    assert messages[: messages.index("flooded")].count("beat") >= 5
