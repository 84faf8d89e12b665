"""How the result of a command is looked for."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from dozor.control.commands.commands import CommandReason, wait
from dozor.storage.postgres.pool import Pool

PENDING = {"state": "pending"}
DONE = {"state": "done", "result": "done", "task_state": "waiting", "run_number": None}


class SlowPool:
    """Its command is carried out after `looks` looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    async def fetchrow(self, *_: object) -> dict[str, Any]:
        self.looks -= 1
        return PENDING if self.looks >= 0 else DONE


async def test_a_quick_result_is_seen_at_once_and_a_slow_one_is_looked_for_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    result = await wait(cast(Pool, SlowPool(5)), 1)
    assert result.reason is CommandReason.DONE
    assert pauses == [0.01, 0.02, 0.04, 0.05, 0.05]
