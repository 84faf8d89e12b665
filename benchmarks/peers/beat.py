"""Celery: `celery beat` sends a message for each run to one worker, which is a process of its own.

    celery -A benchmarks.peers.beat beat | worker

Settings come from the environment: BENCH_TASKS, BENCH_RECORDED, BENCH_FILE, and BENCH_BROKER, a URL or a
folder for the filesystem transport.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery

from benchmarks.suite.recorder import Beat, Recorder

TASKS = int(os.environ["BENCH_TASKS"])
RECORDED = int(os.environ["BENCH_RECORDED"])
BROKER = os.environ["BENCH_BROKER"]


def _transport() -> dict[str, Any]:
    if "://" in BROKER:
        return {"broker_url": BROKER}
    folders = {"data_folder_in": BROKER, "data_folder_out": BROKER, "control_folder": f"{BROKER}/control"}
    return {"broker_url": "filesystem://", "broker_transport_options": folders}


app = Celery("bench")
app.conf.update(
    **_transport(),
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    beat_schedule_filename=str(Path(os.environ["BENCH_FILE"]).with_name("beat")),
    beat_schedule={
        f"task_{number:05}": {
            "task": "bench.recorded" if number % (TASKS // RECORDED) == 0 else "bench.nothing",
            "schedule": 1.0,
            "args": (number,) if number % (TASKS // RECORDED) == 0 else (),
        }
        for number in range(TASKS)
    },
)
_recorder = Recorder(Path(os.environ["BENCH_FILE"]))
_beats: dict[int, Beat] = {}


@app.task(name="bench.nothing")  # type: ignore[untyped-decorator, unused-ignore]
def nothing() -> None:
    """The checker."""


@app.task(name="bench.recorded")  # type: ignore[untyped-decorator, unused-ignore]
def recorded(number: int) -> None:
    """The checker of the tasks that record; one worker process runs them all."""
    if number not in _beats:
        _beats[number] = Beat(_recorder, fixed_rate=False)
    _beats[number].ran()
