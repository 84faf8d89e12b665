"""The chaos campaign with two faults. Eleven: `make soak`. The whole of it: `make chaos`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from tests import programs
from tests.cluster.chaos import judge
from tests.cluster.chaos.campaign import Campaign
from tests.cluster.chaos.faults import Fault
from tests.templates import Templates

FAULTS = (Fault.CUT, Fault.WORKER_KILL)
LIMIT = 240.0
"""Seconds for the faults."""
SLACK = 5.0
"""Seconds by which take-overs may be later: other tests use the machine as well. `make chaos` has none."""


@pytest.fixture
def place(short_dir: Path, templates: Templates) -> Path:
    """A folder with a data directory."""
    folder = short_dir / f"c{uuid4().hex[:8]}"
    folder.mkdir()
    templates.copy_migrated(folder / "pg")
    return folder


@pytest.mark.timeout(300)
async def test_two_faults(tmp_path: Path, place: Path) -> None:
    await play(tmp_path, FAULTS, place=place)


async def play(folder: Path, faults: Sequence[Fault], *, place: Path) -> None:
    """No run overlaps, no due time runs twice, no alert and no command is lost."""
    programs.require("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer")
    outcome = await Campaign(folder, print, slack=SLACK, place=place).run(list(faults), limit=LIMIT)
    print(judge.figures(outcome.evidence.takeovers))
    assert not outcome.unmended
    assert outcome.faults == list(faults)
    assert len({run.epoch for run in outcome.evidence.runs}) > 1, "nobody took over"
    assert not judge.problems(outcome.evidence)
