"""Checkers that start processes of their own and leave them, or part with the runner."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from dozor import Context

_DOUBLE_FORK = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1], "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


def start_all(path: str) -> None:
    """Helpers: in this group with our pipes, in a session of its own, a daemon without our environment."""
    pids = [subprocess.Popen(["sleep", "600"], start_new_session=apart).pid for apart in (False, True)]
    subprocess.Popen([sys.executable, "-S", "-c", _DOUBLE_FORK, path], env={}, start_new_session=True).wait()
    with Path(path).open("a") as file:
        file.writelines(f"{pid}\n" for pid in pids)
    until = time.monotonic() + 20
    while len(Path(path).read_text().split()) < 3 and time.monotonic() < until:
        threading.Event().wait(0.01)


def crash(path: str) -> None:
    start_all(path)
    os.abort()


def hang(path: str) -> None:
    start_all(path)
    threading.Event().wait(600)


def once(path: str) -> None:
    if not Path(path).exists():
        start_all(path)


def close_everything() -> None:
    """What a library does that makes a daemon of itself."""
    os.closerange(3, 256)
    threading.Event().wait(0.1)


def close_the_connection() -> None:
    os.close(int(sys.argv[-1]))


def count(rows: int, ctx: Context) -> None:
    for done in range(rows):
        ctx.progress(done, rows)
    ctx.progress(rows, rows)
    ctx.backlog(7, None, None)


def shout(path: str) -> None:
    """Prints for half a second, and then its last words."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        print("debug: x")
    print("the last line", flush=True)
    Path(path).write_text("done")
    os.abort()


def log_a_lot(ctx: Context) -> None:
    for number in range(20_000):
        ctx.log.info("line {}", number)


def environment(path: str) -> None:
    kept = os.environ.get("DOZOR_TEST_KEPT", "")
    back = os.environ.get("DOZOR_TEST_BACK", "")
    Path(path).write_text(f"{kept} {back} {os.environ.get('BOT_TOKEN')}")
    os.environ["BOT_TOKEN"]
