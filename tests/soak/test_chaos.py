"""Eleven kinds of fault against a cluster of three replicas. 200 faults: `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.chaos.faults import Fault
from tests.cluster.test_chaos import play

FAULTS = (
    Fault.KILL,
    Fault.STOP,
    Fault.END_SESSIONS,
    Fault.CUT,
    Fault.TERM,
    Fault.BLOCK,
    Fault.RESTART_IMMEDIATE,
    Fault.SLOW,
    Fault.TERM_CUT,
    Fault.WORKER_KILL,
    Fault.WORKER_STOP,
)


@pytest.mark.timeout(300)
async def test_eleven_faults(tmp_path: Path, short_dir: Path) -> None:
    await play(tmp_path, FAULTS, place=short_dir / "chaos")
