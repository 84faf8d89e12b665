"""Digests of configurations: of what a standby's file holds by now, and computed once for each load."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dozor.app import config_file
from dozor.app.config_file import ConfigFile
from dozor.app.surroundings import config_digest
from dozor.config import Config
from dozor.config.loading import load

FIRST = "language: en\ntasks:\n  t: {run: 'some:check', every: 1m}\n"
SECOND = FIRST.replace("1m", "2m")


class Clock:
    """Stamps that differ although a test writes faster than a file system counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 1_700_000_000

    def write(self, text: str) -> None:
        self._path.write_text(text)
        self._at += 1
        os.utime(self._path, (self._at, self._at))


@pytest.fixture
def written(tmp_path: Path) -> Clock:
    clock = Clock(tmp_path / "config.yaml")
    clock.write(FIRST)
    return clock


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests that a `ConfigFile` has computed."""
    digests: list[str] = []

    def counting(config: Config) -> str:
        digests.append(config_digest(config))
        return digests[-1]

    monkeypatch.setattr(config_file, "config_digest", counting)
    return digests


def digest_of(path: Path) -> str:
    return config_digest(load(path))


async def test_a_changed_file_counts_when_it_has_stayed_the_same_for_two_looks(
    tmp_path: Path, written: Clock
) -> None:
    path = tmp_path / "config.yaml"
    first = digest_of(path)
    file = ConfigFile(path, first)
    await file.refresh()
    written.write(SECOND)
    await file.refresh()
    assert file.digest == first, "it may be written at this moment"
    await file.refresh()
    assert file.digest == digest_of(path) != first
    written.write(FIRST)
    for _ in range(2):
        await file.refresh()
    assert file.digest == first


async def test_an_invalid_file_is_named_in_place_of_the_digest_until_it_can_be_used(
    tmp_path: Path, written: Clock
) -> None:
    path = tmp_path / "config.yaml"
    first = digest_of(path)
    file = ConfigFile(path, first, lambda text: text.replace("nonsense", "[hidden]"))
    written.write(FIRST + "nonsense: 1\n")
    for _ in range(3):
        await file.refresh()
    assert file.digest.startswith("invalid: ")
    assert "config.yaml:4: [hidden]: unknown key" in file.digest
    refused = file.digest
    path.unlink()
    for _ in range(3):
        await file.refresh()
    assert file.digest == refused
    written.write(SECOND)
    for _ in range(3):
        await file.refresh()
    assert file.digest == digest_of(path) != first


async def test_the_digest_is_computed_once_for_each_load(
    tmp_path: Path, written: Clock, computed: list[str]
) -> None:
    file = ConfigFile(tmp_path / "config.yaml", digest_of(tmp_path / "config.yaml"))
    for _ in range(5):
        await file.refresh()
    assert len(computed) == 1
    written.write(SECOND)
    for _ in range(5):
        await file.refresh()
    assert len(computed) == 2
