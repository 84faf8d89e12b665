"""Named databases and setups in runs on a worker: as in runs of the leader, in every kind of isolation."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from dozor.storage.postgres.pool import Pool
from tests.cluster.members import Members
from tests.waiting import until

RUN = {"every": "200ms", "placement": "pool", "setup": "resourced:own"}


def notes(members: Members, name: str) -> list[str]:
    path = members.folder / name
    return path.read_text().splitlines() if path.exists() else []


async def test_runs_on_a_worker_are_given_named_databases_setups_epoch_and_fence(
    members: Members, pool: Pool
) -> None:
    """In a process of its own the epoch and the fence are those of runs on the leader."""
    shutil.copy(Path(__file__).with_name("resourced.py"), members.folder / "resourced.py")
    members.write(
        {
            "inline": {"run": "resourced:check", **RUN},
            "thread": {"run": "resourced:check_in_thread", **RUN},
            "process": {"run": "resourced:check", "isolation": "process", **RUN},
            "fenced": {"run": "spanned:fenced", "isolation": "process", **RUN},
            "of_leader": {"run": "spanned:fenced", "every": "200ms"},
        },
        databases={"shop": {"url": members.dsn}},
        setup="resourced:shared",
    )
    await pool.execute("CREATE TABLE fenced (run_id text PRIMARY KEY, epoch bigint, pid bigint)")
    worker = members.start("--role", "worker")
    leader = await members.leader("--role", "leader")
    seen = ("inline", "thread", "process")
    await until(lambda: all(len(notes(members, name)) >= 2 for name in seen), within=30)
    value = f"own of shared in {urlsplit(members.dsn).path.strip('/')}"
    pids = {}
    for name, answer in (("inline", "42"), ("thread", "True"), ("process", "42")):
        pid, given, answered = notes(members, name)[0].split("|")
        assert (given, answered) == (value, answer), name
        pids[name] = int(pid)
    assert pids["inline"] == pids["thread"] == worker.pid
    assert pids["process"] != worker.pid
    await until(lambda: all(len(members.spans(name)) >= 2 for name in ("fenced", "of_leader")), within=30)
    rows = await pool.fetch("SELECT * FROM fenced")
    assert {row["epoch"] for row in rows} == {(await members.lease()).term.epoch}
    assert leader.pid in {row["pid"] for row in rows}
    assert {row["pid"] for row in rows} - {leader.pid, worker.pid}, "no run of a process of its own"
    assert await worker.stop() == 0
    closed = notes(members, "closed")
    assert closed.count(f"{worker.pid} own") == 2, "inline and thread have a setup each"
    assert f"{worker.pid} shared" in closed
    assert {f"{pids['process']} own", f"{pids['process']} shared"} <= set(closed)
