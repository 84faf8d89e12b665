"""A changed configuration on workers and on the leader, with runs of pools in progress."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from dozor.cluster.replicas import ReplicaRow, read_replicas
from dozor.storage.postgres.pool import Pool
from tests.cluster.members import Members
from tests.cluster.test_replicas_shown import digest_of_all
from tests.system.process import Process
from tests.waiting import stretched, until

WORKS = ": worker "
POOLED = {"every": "200ms", "placement": "pool"}
LONG = {"every": "1h", "run_at_start": True, "placement": "pool"}
CHECKER = '''"""Writes the argument of each run, and the process it was in."""

import os
from pathlib import Path


async def run(ctx, value="default"):
    with (Path(__file__).parent / f"{ctx.task}.values").open("a") as file:
        file.write(f"{value} {os.getpid()}\\n")
'''


def values(members: Members, task: str) -> list[list[str]]:
    """[argument, pid] of each run."""
    path: Path = members.folder / f"{task}.values"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


async def until_value(members: Members, task: str, value: str, process: Process) -> None:
    """Until a run of `task` with this argument was in `process`."""
    await until(lambda: [value, str(process.pid)] in values(members, task), within=30)


def valued(value: str, **more: Any) -> dict[str, Any]:
    return {"run": "valued:run", "args": {"value": value}, **POOLED, **more}


async def pair(members: Members, tasks: dict[str, Any], **sections: Any) -> tuple[Process, Process]:
    """A leader that takes no runs, and a worker."""
    (members.folder / "valued.py").write_text(CHECKER)
    members.write(tasks, **sections)
    worker = members.start("--role", "worker", "--grace", "0.5")
    leader = await members.leader("--role", "leader", "--grace", "0.5")
    await worker.says(WORKS)
    return leader, worker


async def replica_of(pool: Pool, process: Process) -> ReplicaRow:
    return next(row for row in await read_replicas(pool) if row.pid == process.pid)


async def test_sighup_gives_a_worker_new_tasks_and_new_arguments_and_an_invalid_file_changes_nothing(
    members: Members, pool: Pool
) -> None:
    leader, worker = await pair(members, {"t": valued("one")})
    await until_value(members, "t", "one", worker)
    members.write({"t": valued("two"), "u": valued("new")})
    worker.signal(signal.SIGHUP)
    await worker.says("Worker: reload by SIGHUP: + u, ~ t")
    leader.signal(signal.SIGHUP)
    await until_value(members, "t", "two", worker)
    await until_value(members, "u", "new", worker)
    members.config.write_text(members.config.read_text() + "nonsense: 1\n")
    worker.signal(signal.SIGHUP)
    await worker.says("Worker: the new configuration is refused, the old one goes on:")
    await worker.says("nonsense")
    done = len(values(members, "t"))
    await until(lambda: len(values(members, "t")) > done + 2, within=20)
    async with asyncio.timeout(stretched(20)):
        while (problem := (await replica_of(pool, worker)).config_problem) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert "nonsense" in problem
    # It was asked to reload: it does so as soon as the file is right.
    members.write({"t": valued("three"), "u": valued("new")})
    leader.signal(signal.SIGHUP)
    await until_value(members, "t", "three", worker)
    async with asyncio.timeout(stretched(20)):
        while (await replica_of(pool, worker)).config_problem is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    # Nobody sends anything to the worker now: `dozor reload` reaches the leader alone.
    members.write({"t": valued("four"), "v": valued("newer")})
    leader.signal(signal.SIGHUP)
    await worker.says("Worker: reload by leader: + v")
    await until_value(members, "t", "four", worker)
    await until_value(members, "v", "newer", worker)
    assert await worker.stop() == 0
    assert await leader.stop() == 0


async def test_a_process_that_leads_and_works_uses_new_arguments_in_both_parts(members: Members) -> None:
    (members.folder / "valued.py").write_text(CHECKER)
    members.write({"t": valued("one")})
    both = await members.leader()
    await until_value(members, "t", "one", both)
    members.write({"t": valued("two")})
    both.signal(signal.SIGHUP)
    await until_value(members, "t", "two", both)
    assert await both.stop() == 0


async def test_with_watch_config_workers_and_leader_read_a_changed_file_by_themselves_and_have_one_digest(
    members: Members, pool: Pool
) -> None:
    watching = {"supervision": {"watch_config": True}}
    leader, worker = await pair(members, {"t": valued("one")}, **watching)
    await until_value(members, "t", "one", worker)
    first = await digest_of_all(pool, 2)
    members.write({"t": valued("two"), "u": valued("new")}, **watching)
    await worker.says("Worker: reload by")
    await until_value(members, "t", "two", worker)
    await until_value(members, "u", "new", worker)
    await digest_of_all(pool, 2, other_than=first)
    assert await worker.stop() == 0
    assert await leader.stop() == 0


async def test_runs_in_progress_of_tasks_that_a_reload_removes_changes_or_moves(members: Members) -> None:
    tasks: dict[str, dict[str, Any]] = {
        "other": {"run": "spanned:run", **POOLED},
        "removed": {"run": "spanned:long", **LONG},
        "changed": {"run": "spanned:patient", **POOLED, "every": "500ms", "args": {"seconds": 60}},
        "moved": {"run": "spanned:run", **POOLED},
        "moved_long": {"run": "spanned:long", **POOLED, "every": "500ms"},
    }
    leader, worker = await pair(members, tasks)
    for name in tasks:
        await members.runs_in(worker, within=20, task=name)

    # A removed task: its run is ended on the worker, and it does not run again.
    [run] = members.spans("removed")
    del tasks["removed"]
    members.write(tasks)
    leader.signal(signal.SIGHUP)
    await until(lambda: members.spans("removed")[0].ended is not None, within=20)
    assert members.spans("removed")[0].run_id == run.run_id
    done = len(members.spans("other"))
    await until(lambda: len(members.spans("other")) > done + 2, within=20)
    assert len(members.spans("removed")) == 1, "a removed task ran again"

    # Other arguments: the leader ends the run, and the next one has them.
    tasks["changed"]["args"] = {"seconds": 0}
    members.write(tasks)
    worker.signal(signal.SIGHUP)
    await worker.says("~ changed")
    assert members.spans("changed")[0].ended is None, "the worker alone ends no run"
    leader.signal(signal.SIGHUP)
    await until(lambda: sum(span.ended is not None for span in members.spans("changed")) >= 3, within=30)
    assert not members.overlaps({}, "changed")

    # A task leaves its pool and comes back: it runs there when its run has ended.
    for name in ("moved", "moved_long"):
        del tasks[name]["placement"]
    members.write(tasks)
    leader.signal(signal.SIGHUP)
    await members.runs_in(leader, within=20, task="moved")
    await members.runs_in(leader, within=30, task="moved_long")
    first, second = members.spans("moved_long")[:2]
    assert (first.pid, second.pid) == (worker.pid, leader.pid)
    assert first.ended is not None
    tasks["moved"]["placement"] = "pool"
    members.write(tasks)
    leader.signal(signal.SIGHUP)
    before = sum(span.pid == worker.pid for span in members.spans("moved"))
    await until(lambda: sum(span.pid == worker.pid for span in members.spans("moved")) > before, within=20)
    for name in ("moved", "moved_long", "other"):
        assert not members.overlaps({}, name)
    assert "WorkerLost" not in leader.text
