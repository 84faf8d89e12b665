"""The file of what waits for the database: whole or not there, and never a reason to stop."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from loguru import logger

from dozor.storage import spool as spools
from dozor.storage.spool import ASIDE, NAME, Spool, SpoolState
from tests.storage.rows import incident, note, task

KEPT = SpoolState(
    runner_id=7,
    tasks=(task(failures=5, state="stopped"),),
    incidents=(incident(3),),
    notifications=(note("k", payload={"text": "🛑 \x7f ж", "count": 2}),),
    delivered={"k": 12, "l": None},
    elsewhere=frozenset({"m"}),
    unknown=frozenset({"n"}),
)


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


@pytest.fixture
def said() -> list[str]:
    """What goes to the log."""
    lines: list[str] = []
    logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    return lines


async def test_what_is_kept_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "made" / "for it" / NAME
    await Spool(path).keep(replace(KEPT, runner_id=6))
    await Spool(path).keep(KEPT)
    assert Spool(path).read() == KEPT
    assert names(path.parent) == [NAME]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_it_goes_when_the_database_has_it_all(tmp_path: Path) -> None:
    spool = Spool(tmp_path / NAME)
    assert spool.read() is None
    await spool.keep(KEPT)
    spool.remove()
    assert names(tmp_path) == []
    spool.remove()
    assert spool.read() is None


async def test_read_by_the_next_it_goes_likewise(tmp_path: Path) -> None:
    await Spool(tmp_path / NAME).keep(KEPT)
    following = Spool(tmp_path / NAME)
    assert following.read() == KEPT
    following.remove()
    assert names(tmp_path) == []


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\x00", b"[]", b'{"runner_id": "x"}'])
async def test_nonsense_is_put_aside(tmp_path: Path, said: list[str], text: bytes) -> None:
    (tmp_path / NAME).write_bytes(text)
    assert Spool(tmp_path / NAME).read() is None
    assert names(tmp_path) == [NAME + ASIDE]
    assert (tmp_path / (NAME + ASIDE)).read_bytes() == text
    assert "is put aside" in "".join(said)


async def test_where_nothing_can_be_kept_it_says_so_once(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / NAME)
    await spool.keep(KEPT)
    await spool.keep(KEPT)
    spool.remove()
    assert ["cannot be kept" in line for line in said] == [True]


async def test_a_disk_that_does_not_answer_holds_nobody_up(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "KEPT_WITHIN", 0.05)
    answers = threading.Event()
    spool, real = Spool(tmp_path / NAME), Spool._replace

    def slow(self: Spool, kept: SpoolState) -> None:
        answers.wait(10)
        real(self, kept)

    monkeypatch.setattr(Spool, "_replace", slow)
    await spool.keep(KEPT)
    await spool.keep(KEPT)
    assert ["the disk does not answer" in line for line in said] == [True]
    spool.remove()  # the database is back first
    answers.set()
    assert spool._writing is not None
    await spool._writing
    assert names(tmp_path) == []
