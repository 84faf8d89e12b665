"""Processes of one cluster, and what their runs wrote."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dozor.cluster import lease
from dozor.cluster.lease import LeaseRow
from dozor.storage.postgres.pool import connect, disconnect
from tests.system.process import DOZOR, Process
from tests.waiting import until

TTL = 3.0
LEADS = "This process leads the cluster"


@dataclass(frozen=True, slots=True)
class Span:
    """One run. `ended` None: it was cut off. By CLOCK_MONOTONIC, seconds."""

    run_id: str
    pid: int
    began: float
    ended: float | None


class Members:
    """`folder`: of configuration and checkers, the test's own."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.dsn = dsn
        self.config = folder / "config.yaml"
        self._processes: list[Process] = []
        shutil.copy(Path(__file__).with_name("spanned.py"), folder / "spanned.py")

    def write(self, tasks: Mapping[str, Mapping[str, Any]] | None = None, **sections: Any) -> None:
        """The configuration of all of them."""
        whole = {
            "language": "en",
            "database": {"url": self.dsn},
            "web": {"listen": None},
            "cluster": {"enabled": True, "lease_ttl": TTL},
            "tasks": tasks or {"t": {"run": "spanned:run", "every": "100ms"}},
            **sections,
        }
        self.config.write_text(yaml.safe_dump(whole))

    def start(self, *options: str, env: Mapping[str, str] | None = None) -> Process:
        """One more member."""
        output = self.folder / f"output-{len(self._processes)}.txt"
        process = Process(
            [DOZOR, "run", "-c", self.config, *options], cwd=self.folder, output=output, env=env
        )
        self._processes.append(process)
        return process

    async def leader(self, *options: str, env: Mapping[str, str] | None = None) -> Process:
        """A member that leads and has begun to supervise."""
        process = self.start(*options, env=env)
        await process.says(" is on watch: tasks")
        return process

    async def standby(self, *options: str, env: Mapping[str, str] | None = None) -> Process:
        """A member beside a leader."""
        process = self.start(*options, env=env)
        await process.says("Standing by: replica")
        return process

    async def lease(self) -> LeaseRow:
        connection = await connect(self.dsn)
        try:
            return await lease.read(connection)
        finally:
            await disconnect(connection)

    def release(self) -> None:
        """Let the runs of `spanned:released` end, present and later ones."""
        (self.folder / "release").touch()

    def spans(self, task: str = "t") -> list[Span]:
        """Its runs, in the order in which they began."""
        begun: dict[tuple[str, str], float] = {}
        ended: dict[tuple[str, str], float] = {}
        path = self.folder / f"{task}.spans"
        for line in path.read_text().splitlines() if path.exists() else []:
            at, what, run_id, pid = line.split()
            (begun if what == "begin" else ended)[run_id, pid] = float(at)
        return [Span(key[0], int(key[1]), at, ended.get(key)) for key, at in begun.items()]

    async def runs_in(self, process: Process, *, within: float, task: str = "t") -> Span:
        """The first run of the task in `process`."""
        await until(lambda: any(one.pid == process.pid for one in self.spans(task)), within=within)
        return next(one for one in self.spans(task) if one.pid == process.pid)

    def overlaps(self, died_at: Mapping[int, float], task: str = "t") -> list[tuple[Span, Span]]:
        """Pairs of runs in different processes of which one began before the other had ended.

        `died_at`: of processes that were killed, by pid: a run that was cut off ended there.
        """
        found = []
        spans = self.spans(task)
        for first, second in itertools.pairwise(spans):
            end = first.ended if first.ended is not None else died_at.get(first.pid, float("inf"))
            if second.began < end:
                found.append((first, second))
        return found

    def say(self) -> None:
        for process in self._processes:
            print(process.text[-4000:])

    def close(self) -> None:
        for process in self._processes:
            process.kill()


def now() -> float:
    """CLOCK_MONOTONIC, as in the spans."""
    return time.monotonic()
