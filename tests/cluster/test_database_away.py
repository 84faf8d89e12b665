"""Without a database for longer than the lease, runs are cancelled and the process is a standby again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.cluster.members import LEADS, TTL, Members, now
from tests.server import PostgresControl
from tests.waiting import until

AWAY: dict[str, tuple[Callable[[PostgresControl], None], Callable[[PostgresControl], None]]] = {
    "stopped": (PostgresControl.stop, PostgresControl.start),
    "silent": (PostgresControl.freeze, PostgresControl.thaw),
}


@pytest.mark.parametrize("how", AWAY)
async def test_a_leader_gives_up_in_its_window_and_one_leads_when_the_database_is_back(
    own: Members, postgres_control: PostgresControl, how: str
) -> None:
    away, back = AWAY[how]
    own.write({"t": {"run": "spanned:run", "every": "200ms"}, "long": {"run": "spanned:long", "every": "1m"}})
    first = await own.leader("--grace", "0.2")
    second = await own.standby("--grace", "0.2")
    await own.runs_in(first, within=10)
    await own.runs_in(first, within=10, task="long")
    gone = now()
    await asyncio.to_thread(away, postgres_control)
    await first.says("could not be renewed", within=TTL + 2)
    assert now() - gone < TTL
    async with asyncio.timeout(TTL):
        while own.spans("long")[0].ended is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    runs, over = len(own.spans()), now()
    # The outage outlasts the lease, in which five runs would be due.
    await until(lambda: now() > gone + TTL + 1.0, within=TTL + 5)
    assert first.alive
    assert second.alive
    returned = now()
    await asyncio.to_thread(back, postgres_control)
    async with asyncio.timeout(TTL * 2 + 10):
        while first.text.count(LEADS) + second.text.count(LEADS) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        while len(own.spans()) <= runs:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert not [one for one in own.spans() if over < one.began < returned]  # nothing starts in either one
    assert not own.overlaps({})
    assert first.alive
    assert second.alive
    assert await first.stop() == 0
    assert await second.stop() == 0


async def test_what_could_not_be_written_is_written_if_nobody_led_meanwhile(
    own: Members, postgres_control: PostgresControl
) -> None:
    (own.folder / "failing.py").write_text(
        "from pathlib import Path\n"
        "async def f():\n"
        "    if Path(__file__).with_name('fail').exists():\n"
        "        raise RuntimeError('as ordered')\n"
    )
    often = {"every": "50ms", "restart_delay": "50ms", "max_consecutive_failures": 2}
    own.write({"f": {"run": "failing:f", **often}})
    only = await own.leader()
    await asyncio.to_thread(postgres_control.stop)
    (own.folder / "fail").touch()
    await only.says("stopped after 2 consecutive errors", within=TTL)
    await only.says("could not be renewed", within=TTL)
    await asyncio.to_thread(postgres_control.start)
    await only.says(LEADS, times=2, within=TTL * 2 + 10)
    await only.says("what it had put aside is written: tasks 1, incidents 1", within=10)
    assert await only.stop() == 0
