"""The chaos campaign, scaled down. The whole of it: `make chaos`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import programs
from tests.cluster.chaos.faults import Fault
from tests.house.sources import ROOT

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
def test_some_faults(tmp_path: Path) -> None:
    """No run overlaps, no due time runs twice, no alert and no command is lost."""
    programs.require("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer")
    command = [sys.executable, "-m", "tests.cluster.chaos", f"--faults={len(FAULTS)}", "--limit=240"]
    command += ["--slack=5"]  # other tests use the machine as well: how soon is judged by `make chaos`
    command += [f"--only={fault.name}" for fault in FAULTS]
    done = subprocess.run(
        [*command, f"--keep={tmp_path}"], cwd=ROOT, capture_output=True, text=True, timeout=290
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(FAULTS)} faults: " in done.stdout
    assert "WRONG" not in done.stdout
