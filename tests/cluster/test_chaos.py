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

FAULTS = (Fault.KILL, Fault.CUT, Fault.WORKER_KILL)


@pytest.mark.timeout(300)
def test_three_faults(tmp_path: Path) -> None:
    play(tmp_path, FAULTS)


def play(folder: Path, faults: Sequence[Fault]) -> None:
    """No run overlaps, no due time runs twice, no alert and no command is lost."""
    programs.require("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer")
    command = [sys.executable, "-m", "tests.cluster.chaos", f"--faults={len(faults)}", "--limit=240"]
    command += ["--slack=5"]  # other tests use the machine as well: how soon is judged by `make chaos`
    command += [f"--only={fault.name}" for fault in faults]
    done = subprocess.run(
        [*command, f"--keep={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=290
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(faults)} faults: " in done.stdout
    assert "WRONG" not in done.stdout
