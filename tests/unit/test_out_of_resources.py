"""Out of descriptors: a condition of its own; a database that flaps is damped."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest
from loguru import logger

from dozor.errors import DatabaseUnavailableError, OutOfResourcesError, out_of_resources, root_cause
from dozor.process.descriptors import Reserve, describe
from dozor.storage import health as healths
from dozor.storage.health import DatabaseHealth
from tests.alerting.story import ManualClock


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{message}")
    yield lines
    logger.remove(sink)


def _health(clock: ManualClock, error: Exception | None = None) -> DatabaseHealth:
    async def probe() -> None:
        if error is not None:
            raise error

    return DatabaseHealth(clock, probe)


def test_the_numbers_that_mean_a_lack_of_our_own() -> None:
    for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        assert out_of_resources(OSError(number, os.strerror(number)))
    assert out_of_resources(OutOfResourcesError("x"))
    for number in (errno.ECONNREFUSED, errno.ENOENT):
        assert not out_of_resources(OSError(number, "x"))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert f"{most} of {most}" in describe(OSError(errno.EMFILE, "x"))


async def test_a_probe_without_a_descriptor_says_nothing_of_the_database() -> None:
    health = _health(ManualClock(), OutOfResourcesError("out of file descriptors"))
    assert await health.probe()
    assert health.up
    away = _health(ManualClock(), DatabaseUnavailableError("refused"))
    assert not await away.probe()
    assert not away.up


def test_a_flapping_database_is_up_again_only_when_it_is_stable(log: list[str]) -> None:
    clock = ManualClock()
    health = _health(clock)
    for _ in range(500):
        health.report_down("refused")
        clock.at += 0.01
        health.report_up()
        clock.at += 0.01
    assert len(log) <= 2 * healths.FLAPS + 2
    assert not health.up
    clock.at += healths.STABLE_AFTER
    health.report_up()
    assert health.up


def test_the_reserve_makes_room_once() -> None:
    code = (
        "import os, resource\n"
        "from dozor.process.descriptors import Reserve, exhausted, raise_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))\n"
        "assert raise_limit() == 128\n"
        "reserve = Reserve(4)\n"
        "reserve.fill()\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: pass\n"
        "assert exhausted() is not None\n"
        "assert reserve.release() and not reserve.release()\n"
        "assert exhausted() is None\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert not Reserve().release()


def test_the_error_inside_a_task_group_is_what_is_shown() -> None:
    cause = ValueError("the cause")
    group = ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("x", [cause])])
    assert root_cause(group) is cause
