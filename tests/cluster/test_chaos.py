"""The chaos campaign with three faults. Eight: `make soak`. The whole of it: `make chaos`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import programs
from tests.cluster.chaos.faults import Fault
from tests.house.sources import ROOT

FAULTS = (Fault.KILL, Fault.CUT, Fault.RESTART_IMMEDIATE)


@pytest.mark.timeout(240)
def test_three_faults(tmp_path: Path) -> None:
    play(tmp_path, FAULTS)


def play(folder: Path, faults: Sequence[Fault]) -> None:
    """No run overlaps, no due time runs twice, no alert and no command is lost."""
    programs.require("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer")
    command = [sys.executable, "-m", "tests.cluster.chaos", f"--faults={len(faults)}", "--limit=180"]
    command += [f"--only={fault.name}" for fault in faults]
    done = subprocess.run(
        [*command, f"--keep={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=230
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(faults)} faults: " in done.stdout
    assert "WRONG" not in done.stdout
