"""A forked `dozor` is as a new one: what a module of a checker finds in either process is the same."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.preloaded.processes import Server, run
from tests.waiting import until

FACTS = """
import asyncio, json, locale, os, random, signal, sys, threading
from loguru import logger
from dozor.process import forking

def stream(one):
    return [one.encoding, one.errors, one.line_buffering, one.write_through, one.fileno(), one.isatty()]

def name(handler):
    return handler.name if isinstance(handler, signal.Handlers) else type(handler).__name__

umask = os.umask(0)
os.umask(umask)
facts = {
    "arguments": sys.argv, "folder": os.getcwd(), "first path": sys.path[0],
    "environment": {name: value for name, value in os.environ.items() if name != "DOZOR_FRESH"},
    "session": os.getsid(0) == os.getpid(), "umask": umask, "generation": forking.generation,
    "signals": [name(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
    "threads": threading.active_count(), "handlers": sorted(logger._core.handlers),
    "streams": [stream(sys.stdin), stream(sys.stdout), stream(sys.stderr)],
    "main": getattr(sys.modules["__main__"].__spec__, "name", None),
    "locale": locale.setlocale(locale.LC_CTYPE),
}
with open("facts.json", "w") as file:
    json.dump({"facts": facts, "random": random.random()}, file)

async def check():
    pass
"""


def facts(folder: Path) -> Any:
    done = run(
        "try", "one", "-c", "config.yaml", cwd=folder, env={**os.environ, "LANG": "C.UTF-8", "MINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "facts.json").read_text())


def test_a_forked_process_finds_what_a_new_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "facts.py").write_text(FACTS)
    (tmp_path / "config.yaml").write_text("language: en\ntasks: {one: {run: 'facts:check', every: 1h}}\n")
    monkeypatch.delenv("DOZOR_FRESH", raising=False)
    first, second = facts(tmp_path), facts(tmp_path)
    monkeypatch.setenv("DOZOR_FRESH", "1")
    new = facts(tmp_path)
    assert first["facts"] == second["facts"] == new["facts"]
    assert len({first["random"], second["random"], new["random"]}) == 3


def servers(folder: Path) -> list[int]:
    """Pids of the interpreters whose socket is in `folder`."""
    lock = str(folder / "preloaded.lock")
    return [found.pid for found in psutil.process_iter(["cmdline"]) if lock in (found.info["cmdline"] or ())]


async def test_one_interpreter_serves_a_session_until_the_last_process_has_disconnected(
    short_dir: Path,
) -> None:
    folder = short_dir / uuid.uuid4().hex[:8]
    folder.mkdir()
    first, second = Server(folder), Server(folder)
    (number,) = servers(folder)
    first.close()
    third = Server(folder)
    second.close()
    assert third.alive
    assert servers(folder) == [number]
    third.close()
    await until(lambda: not servers(folder))
    assert not (folder / "preloaded").exists()
    later = Server(folder)
    assert later.alive
    later.close()
    await until(lambda: not servers(folder))


async def test_one_that_was_killed_is_replaced(short_dir: Path) -> None:
    folder = short_dir / uuid.uuid4().hex[:8]
    folder.mkdir()
    first = Server(folder)
    (number,) = servers(folder)
    psutil.Process(number).kill()
    await until(lambda: not first.alive)
    second = Server(folder)
    assert second.alive
    assert number not in servers(folder)
    first.close()
    second.close()
    await until(lambda: not servers(folder))
