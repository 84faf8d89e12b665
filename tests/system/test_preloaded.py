"""A forked `dozor` is as a new one: what a module of a checker finds in either process is the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.preloaded.processes import run

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
