"""Without a database for longer than the lease, runs are cancelled and the process is a standby again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.cluster.members import LEADS, TTL, Members, now
from tests.server import PostgresControl
from tests.system.process import Process
from tests.waiting import until

LOST = "could not be renewed"
AWAY: dict[str, tuple[Callable[[PostgresControl], None], Callable[[PostgresControl], None]]] = {
    "stopped": (PostgresControl.stop, PostgresControl.start),
    "silent": (PostgresControl.freeze, PostgresControl.thaw),
}


async def test_a_leader_gives_up_in_its_window_and_one_leads_when_the_database_is_back(
    own: Members, postgres_control: PostgresControl
) -> None:
    own.write({"t": {"run": "spanned:run", "every": "200ms"}, "long": {"run": "spanned:long", "every": "1m"}})
    first = await own.leader("--grace", "0.2")
    second = await own.standby("--grace", "0.2")
    for away, back in AWAY.values():
        await outage(own, postgres_control, [first, second], away, back)
    assert await first.stop() == 0
    assert await second.stop() == 0


async def outage(
    own: Members,
    server: PostgresControl,
    members: list[Process],
    away: Callable[[PostgresControl], None],
    back: Callable[[PostgresControl], None],
) -> None:
    """One that is longer than the lease, with a run in progress."""
    lease = await own.lease()
    leader = next(one for one in members if one.pid == lease.process.pid)
    earlier = len(own.spans())
    await until(lambda: any(one.pid == leader.pid for one in own.spans()[earlier:]), within=10)
    await until(lambda: [own.spans("long")[-1].pid, own.spans("long")[-1].ended] == [leader.pid, None])
    long = len(own.spans("long")) - 1
    lost, led = leader.text.count(LOST), sum(one.text.count(LEADS) for one in members)
    gone = now()
    await asyncio.to_thread(away, server)
    await leader.says(LOST, times=lost + 1, within=TTL + 2)
    assert now() - gone < TTL
    async with asyncio.timeout(TTL):
        while own.spans("long")[long].ended is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    runs, over = len(own.spans()), now()
    # The outage outlasts the lease, in which five runs would be due.
    await until(lambda: now() > gone + TTL + 1.0, within=TTL + 5)
    assert all(one.alive for one in members)
    returned = now()
    await asyncio.to_thread(back, server)
    async with asyncio.timeout(TTL * 2 + 10):
        while sum(one.text.count(LEADS) for one in members) <= led:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        while len(own.spans()) <= runs:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert not [one for one in own.spans() if over < one.began < returned]  # nothing starts in either one
    assert not own.overlaps({})
    assert not own.overlaps({}, "long")
    assert all(one.alive for one in members)


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
