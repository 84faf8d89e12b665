"""A leader and workers as processes: kills, hand-over, and runs that are isolated on their worker."""

from __future__ import annotations

import signal
import time

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


async def test_a_run_whose_worker_ends_is_killed_or_stops_goes_to_another_one(members: Members) -> None:
    members.write(
        {
            "t": {
                "run": "spanned:long",
                "every": "1h",
                "run_at_start": True,
                "placement": "pool",
                "restart_delay": "100ms",
            }
        }
    )
    leader = await members.leader("--role", "leader")
    workers = [members.start("--role", "worker", "--grace", "0.2")]
    await members.runs_in(workers[0], within=20)

    async def another() -> None:
        workers.append(members.start("--role", "worker"))
        await workers[-1].says(WORKS)

    # SIGTERM: it hands the run back, which is no failure.
    await another()
    workers[0].signal(signal.SIGTERM)
    await members.runs_in(workers[1], within=10)
    assert await workers[0].ends() == 0
    assert "WorkerLost" not in leader.text
    assert not members.overlaps({})

    # kill -9: a failure, and another worker takes the next attempt.
    await another()
    workers[1].signal(signal.SIGKILL)
    deaths = {workers[1].pid: time.monotonic()}
    await members.runs_in(workers[2], within=20)
    assert not members.overlaps(deaths)
    assert leader.text.count("WorkerLost") > 0

    # SIGSTOP: its process ends before the leader gives the run up.
    workers[2].signal(signal.SIGSTOP)
    stopped = time.monotonic()
    await until(lambda: not workers[2].alive, within=10)
    deaths[workers[2].pid] = time.monotonic()
    assert deaths[workers[2].pid] - stopped < 3.0
    await another()
    await members.runs_in(workers[3], within=20)
    assert not members.overlaps(deaths)
