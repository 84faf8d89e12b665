"""Eight kinds of fault against a cluster of three replicas. 200 faults: `make chaos`."""

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
)


@pytest.mark.timeout(240)
def test_eight_faults(tmp_path: Path) -> None:
    play(tmp_path, FAULTS)
