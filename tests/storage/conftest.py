"""Data directories for tests of the embedded server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.storage import postmaster
from runner.storage.embedded import start_embedded


@pytest.fixture(scope="session")
def made(short_dir: Path) -> Iterator[Path]:
    """A stopped data directory, to be copied."""
    path = short_dir / "made"
    start_embedded(path).release()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def data_dir(short_dir: Path, made: Path) -> Iterator[Path]:
    """A stopped data directory of the test's own; whatever the test leaves running is stopped."""
    path = Path(tempfile.mkdtemp(dir=short_dir)) / "pg"
    # As cp -a: the owner is kept.
    subprocess.run(["cp", "-a", str(made), str(path)], check=True)
    yield path
    if (path / "data").exists() and (path / "data" / "PG_VERSION").exists():
        postmaster.stop(path / "data")


@pytest.fixture
def new_dir(short_dir: Path) -> Iterator[Path]:
    """A path that does not exist yet."""
    path = Path(tempfile.mkdtemp(dir=short_dir)) / "pg"
    yield path
    if (path / "data").exists():
        postmaster.stop(path / "data")
