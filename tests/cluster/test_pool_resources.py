"""Named databases and setups in runs on a worker: as in runs of the leader, in every kind of isolation."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from tests.cluster.members import Members
from tests.waiting import until

RUN = {"every": "200ms", "placement": "pool", "setup": "resourced:own"}


def notes(members: Members, name: str) -> list[str]:
    path = members.folder / name
    return path.read_text().splitlines() if path.exists() else []


async def test_runs_on_a_worker_are_given_named_databases_and_setups(members: Members) -> None:
    shutil.copy(Path(__file__).with_name("resourced.py"), members.folder / "resourced.py")
    members.write(
        {
            "inline": {"run": "resourced:check", **RUN},
            "thread": {"run": "resourced:check_in_thread", **RUN},
            "process": {"run": "resourced:check", "isolation": "process", **RUN},
        },
        databases={"shop": {"url": members.dsn}},
        setup="resourced:shared",
    )
    worker = members.start("--role", "worker")
    await members.leader("--role", "leader")
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
    assert await worker.stop() == 0
    closed = notes(members, "closed")
    assert closed.count(f"{worker.pid} own") == 2, "inline and thread have a setup each"
    assert f"{worker.pid} shared" in closed
    assert {f"{pids['process']} own", f"{pids['process']} shared"} <= set(closed)
