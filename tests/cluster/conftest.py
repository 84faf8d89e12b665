"""Real members of a cluster on one database."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.members import Members


@pytest.fixture
def members(database: str) -> Iterator[Members]:
    folder = Path(tempfile.mkdtemp(prefix="dozor-"))
    members = Members(folder, database)
    yield members
    members.close()
    members.say()
    shutil.rmtree(folder, ignore_errors=True)
