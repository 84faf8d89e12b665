"""A leader and workers as processes: kills, hand-over, and runs that are isolated on their worker."""

from __future__ import annotations

import signal
import time

from dozor.storage.postgres.pool import connect, disconnect
from tests.cluster.members import Members
from tests.waiting import until

POOLED = {"t": {"run": "spanned:run", "every": "100ms", "placement": "pool"}}
WORKS = ": worker "


async def test_runs_of_a_pool_are_the_workers_and_go_on_under_a_new_leader(members: Members) -> None:
    members.write(POOLED)
    worker = members.start("--role", "worker")
    await worker.says(WORKS)
    leader = await members.leader("--role", "leader")
    await members.standby("--role", "leader")
    await members.runs_in(worker, within=20)
    leader.signal(signal.SIGKILL)
    killed = time.monotonic()
    await until(lambda: any(one.began > killed + 1.0 for one in members.spans()), within=20)
    spans = members.spans()
    assert {span.pid for span in spans} == {worker.pid}
    assert not members.overlaps({})
    due = [span.run_id for span in spans]
    assert len(set(due)) == len(due)


async def test_a_killed_worker_is_a_failure_and_another_one_takes_the_next_attempt(members: Members) -> None:
    members.write(
        {"t": {"run": "spanned:long", "every": "100ms", "placement": "pool", "restart_delay": "100ms"}}
    )
    leader = await members.leader("--role", "leader")
    first = members.start("--role", "worker")
    await members.runs_in(first, within=20)
    second = members.start("--role", "worker")
    await second.says(WORKS)
    first.signal(signal.SIGKILL)
    died = time.monotonic()
    await members.runs_in(second, within=20)
    assert not members.overlaps({first.pid: died})
    assert "WorkerLost" in leader.text


async def test_a_stopped_worker_ends_before_the_leader_gives_its_run_up(members: Members) -> None:
    members.write(
        {"t": {"run": "spanned:long", "every": "100ms", "placement": "pool", "restart_delay": "100ms"}}
    )
    await members.leader("--role", "leader")
    first = members.start("--role", "worker")
    await members.runs_in(first, within=20)
    first.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    await until(lambda: not first.alive, within=10)
    died = time.monotonic()
    assert died - stopped < 3.0
    second = members.start("--role", "worker")
    await members.runs_in(second, within=20)
    assert not members.overlaps({first.pid: died})


async def test_a_worker_that_is_asked_to_end_hands_its_run_back(members: Members) -> None:
    members.write({"t": {"run": "spanned:long", "every": "1h", "run_at_start": True, "placement": "pool"}})
    leader = await members.leader("--role", "leader")
    first = members.start("--role", "worker", "--grace", "0.2")
    await members.runs_in(first, within=20)
    second = members.start("--role", "worker")
    await second.says(WORKS)
    first.signal(signal.SIGTERM)
    await members.runs_in(second, within=10)
    assert await first.ends() == 0
    assert "WorkerLost" not in leader.text
    assert not members.overlaps({})


async def test_epoch_and_fence_in_a_process_of_its_own_on_a_worker_and_on_the_leader(
    members: Members,
) -> None:
    members.write(
        {
            "t": {"run": "spanned:fenced", "every": "200ms", "placement": "pool", "isolation": "process"},
            "u": {"run": "spanned:fenced", "every": "200ms"},
        }
    )
    connection = await connect(members.dsn)
    await connection.execute("CREATE TABLE fenced (run_id text PRIMARY KEY, epoch bigint, pid bigint)")
    leader = await members.leader("--role", "leader")
    worker = members.start("--role", "worker")
    await until(lambda: len(members.spans("t")) >= 2 and len(members.spans("u")) >= 2, within=30)
    rows = await connection.fetch("SELECT * FROM fenced")
    epoch = (await members.lease()).term.epoch
    await disconnect(connection)
    assert {row["epoch"] for row in rows} == {epoch}
    own = {leader.pid, worker.pid}
    assert leader.pid in {row["pid"] for row in rows}
    assert {row["pid"] for row in rows} - own, "no run of a process of its own"
