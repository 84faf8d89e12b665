"""`/metrics` of 10,000 tasks at 1 Hz: how long a scrape takes, and how late it makes runs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from dozor.app import Runner
from dozor.config import load
from dozor.config.imports.checkers import Checker
from dozor.config.sections.config import ListenAddress
from dozor.web.server import serve

TASKS = 10_000
SCRAPES = 10


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds; `late` in the second around a scrape, `late_without` in seconds without one."""

    scrapes: list[float]
    late: list[float]
    late_without: list[float]
    size: int
    lines: int


class Lateness:
    """The longest lateness of any run since it was last asked for."""

    def __init__(self) -> None:
        self.longest = 0.0

    def wrap(self, counted: Callable[..., None]) -> Callable[..., None]:
        def succeeded(task: object, seconds: float, lateness: float) -> None:
            self.longest = max(self.longest, lateness)
            counted(task, seconds, lateness)

        return succeeded

    def take(self) -> float:
        longest, self.longest = self.longest, 0.0
        return longest


async def nothing() -> None:
    """The checker of all tasks."""


async def measure(folder: Path, tasks: int = TASKS, scrapes: int = SCRAPES) -> Result:
    """A real runner on an embedded database, scraped over HTTP."""
    path = folder / "config.yaml"
    names = [f"task_{number:05}" for number in range(tasks)]
    lines = "\n".join(f"  {name}: {{run: 'benchmarks.scrape:nothing', every: 1s}}" for name in names)
    path.write_text(
        f"database: {{url: embedded, data_dir: {folder / 'pg'}}}\nweb: {{listen: null}}\ntasks:\n{lines}\n"
    )
    checkers: dict[str, Checker] = dict.fromkeys(names, nothing)
    lateness = Lateness()
    async with Runner(load(path), checkers) as runner:
        runner.incident_manager.succeeded = lateness.wrap(runner.incident_manager.succeeded)
        listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(
            serve(ListenAddress("127.0.0.1", 0), runner.web_sources(), ready=listening.set_result)
        )
        url = f"http://127.0.0.1:{await listening}/metrics"
        await asyncio.sleep(15)  # every task has run; the first checkpoints are written
        took, late, late_without = [], [], []
        size = count = 0
        for _ in range(scrapes):
            lateness.take()
            await asyncio.sleep(1.5)
            late_without.append(lateness.take())
            process = await asyncio.create_subprocess_exec(
                "curl", "-s", "-o", str(folder / "metrics"), "-w", "%{time_total}", url,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            told, _ = await process.communicate()
            took.append(float(told))
            await asyncio.sleep(0.3)
            late.append(lateness.take())
        text = (folder / "metrics").read_bytes()
        size, count = len(text), text.count(b"\n")
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
    return Result(took, late, late_without, size, count)


def main(argv: Sequence[str] = ()) -> None:
    """Print the figures."""
    logger.remove()
    with tempfile.TemporaryDirectory(prefix="dozor-") as folder:
        result = asyncio.run(measure(Path(folder)))
    print(f"{TASKS:,} tasks at 1 Hz; one scrape: {result.size / 1e6:.1f} MB, {result.lines:,} lines")
    for name, values in (
        ("scrape", result.scrapes),
        ("latest run around a scrape", result.late),
        ("latest run without a scrape", result.late_without),
    ):
        ordered = sorted(values)
        print(
            f"{name:<28} median {ordered[len(ordered) // 2] * 1e3:7.1f} ms   max {ordered[-1] * 1e3:7.1f} ms"
        )


if __name__ == "__main__":
    main()
