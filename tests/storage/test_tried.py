"""What was sent without the database stays queued, with a record that it was tried."""

from __future__ import annotations

from typing import Any

import pytest

from dozor.storage import write_buffer as waiting
from dozor.storage.journal import Commit, Journal, JournalHooks
from dozor.storage.postgres.pool import Pool
from tests.storage.rows import note


async def unknown_outcomes(pool: Pool) -> dict[str, int]:
    rows = await pool.fetch("SELECT key, unknown_outcomes FROM dozor.notifications")
    return {row["key"]: row["unknown_outcomes"] for row in rows}


@pytest.mark.parametrize("few", [0, 100])
async def test_what_may_have_arrived_already_is_written_so(
    journal: Journal, pool: Pool, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(waiting, "FEW", few)
    journal._hooks = JournalHooks(tried=lambda: frozenset({"b"}))
    journal.append(Commit(notifications=(note("a"), note("b"))))
    await journal.write()
    assert await unknown_outcomes(pool) == {"a": 0, "b": 1}


async def test_what_left_while_the_database_made_us_wait_is_written_so_after_all(
    journal: Journal, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction that writes it was on its way when it was told from memory."""
    tried: set[str] = set()
    journal._hooks = JournalHooks(tried=lambda: frozenset(tried))
    real = journal._transact

    async def leave(*batch: Any) -> None:
        await real(*batch)
        tried.add("b")

    monkeypatch.setattr(journal, "_transact", leave)
    journal.append(Commit(notifications=(note("a"), note("b"))))
    await journal.write()
    assert await unknown_outcomes(pool) == {"a": 0, "b": 1}
