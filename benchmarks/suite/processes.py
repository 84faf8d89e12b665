"""Processes under measurement: `dozor run` with a configuration, a PostgreSQL, peers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.pool import connect

ROOT = Path(__file__).resolve().parents[2]
DOZOR = Path(sys.executable).with_name("dozor")
STOP_SECONDS = 40.0


def cpu_of(*pids: int) -> float:
    """Seconds of CPU that these processes and all they have started have used, ended ones included."""
    total = 0.0
    for pid in pids:
        try:
            root = psutil.Process(pid)
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for process in family:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def resident(*pids: int) -> int:
    """Bytes of memory in use by these processes and their children (RSS)."""
    total = 0
    for pid in pids:
        root = psutil.Process(pid)
        total += sum(one.memory_info().rss for one in (root, *root.children(recursive=True)))
    return total


def wait_for(
    condition: Callable[[], bool],
    within: float,
    what: str,
    process: subprocess.Popen[bytes] | None = None,
) -> None:
    """Return once `condition()` holds; raises TimeoutError after `within` seconds, naming `what`.

    Raises RuntimeError if `process` ends before.
    """
    deadline = time.monotonic() + within
    while not condition():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what}: the process ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within:.0f} s")
        pause(0.02)


def pause(seconds: float) -> None:
    """Do nothing for so long; there is no loop here."""
    time.sleep(seconds)  # noqa: TID251 -- no event loop in this process


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server. `pid`: of its first process."""

    dsn: str
    pid: int

    def run(self, statement: str, *arguments: Any, database: str | None = None) -> list[Any]:
        """The rows that `statement` gives."""

        async def ask() -> list[Any]:
            connection = await connect(self.at(database) if database else self.dsn)
            try:
                if arguments:
                    return list(await connection.fetch(statement, *arguments))
                if statement.lstrip().upper().startswith(("SELECT", "WITH")):
                    return list(await connection.fetch(statement))
                await connection.execute(statement)
                return []
            finally:
                await connection.close()

        return asyncio.run(ask())

    def at(self, database: str) -> str:
        """DSN of another database of this server."""
        return self.dsn.replace("@/postgres?", f"@/{database}?")

    def create(self, *, migrated: bool = True) -> str:
        """The name of a new database; `migrated`: with the schema of the product."""
        name = f"b_{uuid.uuid4().hex[:8]}"
        self.run(f"CREATE DATABASE {name}")
        if migrated:
            asyncio.run(migrate(self.at(name)))
        return name


@contextmanager
def postgres(folder: Path) -> Iterator[Server]:
    """The server of the extra `embedded`, with the settings it ships with."""
    with start_embedded(folder / "pg") as server:
        yield Server(server.dsn, server.pid)


@contextmanager
def started(command: Sequence[str], folder: Path, name: str = "process") -> Iterator[subprocess.Popen[bytes]]:
    """A process that can import the benchmarks; SIGTERM at the end. Its output is in `folder`."""
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            list(command),
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def write_config(folder: Path, dsn: str, tasks: dict[str, Any], **sections: Any) -> Path:
    """`config.yaml` in `folder`, one line for each task, as a person writes it."""
    top = {"language": "en", "database": {"url": dsn}, "web": {"listen": None}, **sections}
    lines = [yaml.safe_dump(top, allow_unicode=True, sort_keys=False), "tasks:"]
    lines += [f"  {name}: {_flow(keys)}" for name, keys in tasks.items()]
    path = folder / "config.yaml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _flow(keys: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(keys, default_flow_style=True, width=10_000, sort_keys=False)
    return text.strip()


def dozor_run(config: Path, folder: Path) -> Any:
    """`dozor run -c config` as a context manager that gives its process."""
    return started([str(DOZOR), "run", "-c", str(config)], folder, "dozor")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that a command took: by the clock, and of CPU."""

    wall: float
    cpu: float


def timed(command: Sequence[str], folder: Path, *, codes: Sequence[int] = (0,)) -> Spent:
    """Run `command` to its end. Raises RuntimeError for an exit code that is not among `codes`."""
    with (folder / "command.log").open("wb") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(
            list(command),
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in codes:
        said = (folder / "command.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{command[1:3]} ended with {process.returncode}: {said}")
    return Spent(wall, usage.ru_utime + usage.ru_stime)
