"""Real processes, most with a lease of 3 s: how soon another leads, and that no runs of a task overlap."""

from __future__ import annotations

import asyncio
import signal

from tests.cluster.members import LEADS, TTL, Members, now


async def test_after_kill_9_a_standby_and_a_new_process_lead_without_waiting_for_the_lease(
    members: Members,
) -> None:
    """On the same machine the holder is known to be dead. On others they wait until the lease has expired."""
    members.write(cluster={"enabled": True, "lease_ttl": 60})
    first = await members.leader()
    second = await members.standby()
    await members.runs_in(first, within=10)
    killed = now()
    first.kill()
    run = await members.runs_in(second, within=TTL + 5)
    assert run.began - killed < TTL + 1.0
    assert not members.overlaps({first.pid: killed})
    assert (await members.lease()).term.epoch == 2
    second.kill()
    async with asyncio.timeout(20):
        third = await members.leader()
    assert await third.stop() == 0


async def test_after_sigterm_another_one_leads_within_a_second(members: Members) -> None:
    members.write()
    first = await members.leader()
    second = await members.standby()
    await members.runs_in(first, within=10)
    asked = now()
    first.signal(signal.SIGTERM)
    run = await members.runs_in(second, within=10)
    assert await first.ends() == 0
    assert run.began - asked < 1.0
    assert not members.overlaps({})
    assert await second.stop() == 0


async def test_a_leader_stopped_beyond_its_lease_is_killed_and_no_run_overlaps(members: Members) -> None:
    members.write({"t": {"run": "spanned:run", "every": "1s"}})
    first = await members.leader(env={"RUN_SECONDS": "8"})
    second = await members.standby(env={"RUN_SECONDS": "0.05"})
    await members.runs_in(first, within=10)
    stopped = now()
    first.signal(signal.SIGSTOP)
    await second.says(LEADS, within=TTL + 5)
    assert now() - stopped < TTL + 1.5
    first.signal(signal.SIGCONT)
    assert await first.ends(within=5) == -signal.SIGKILL
    await members.runs_in(second, within=5)
    assert not members.overlaps({first.pid: stopped})
    assert await second.stop() == 0


async def test_a_leader_whose_loop_is_blocked_is_killed_before_another_one_leads(members: Members) -> None:
    members.write({"block": {"run": "blocking:run", "every": "200ms", "isolation": "inline"}})
    (members.folder / "blocking.py").write_text(
        "import time\nfrom pathlib import Path\n"
        "async def run():\n"
        "    go = Path(__file__).with_name('go')\n"
        "    if go.exists():\n"
        "        go.unlink()\n"
        "        time.sleep(60)\n"
    )
    first = await members.leader()
    second = await members.standby()
    (members.folder / "go").touch()
    assert await first.ends(within=TTL + 3) == -signal.SIGKILL
    await second.says(LEADS, within=TTL + 2)
    assert await second.stop() == 0


async def test_a_long_run_goes_on_after_sigterm_and_the_next_leader_waits_for_it(members: Members) -> None:
    members.write(
        {"t": {"run": "spanned:released", "every": "1s"}, "u": {"run": "spanned:run", "every": "100ms"}}
    )
    first = await members.leader("--grace", "60")
    second = await members.standby()
    await members.runs_in(first, within=10)
    first.signal(signal.SIGTERM)
    await second.says(LEADS, within=2)
    await members.runs_in(second, within=20, task="u")
    assert len(members.spans()) == 1
    members.release()
    await members.runs_in(second, within=20)
    assert await first.ends(within=10) == 0
    assert not members.overlaps({})
    assert not members.overlaps({}, "u")
    assert all(one.ended is not None for one in members.spans() if one.pid == first.pid)
    assert await second.stop() == 0
