"""A real runner with its web server, on a real database, inside the test's loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from dozor.app import Runner
from dozor.config import load
from dozor.config.imports.checkers import Checker
from tests.waiting import stretched, until


@dataclass(frozen=True, slots=True)
class Site:
    """`get` gives status and text, `get_json` status and value."""

    runner: Runner
    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str, **more: Any) -> tuple[int, str]:
        async with self.http.get(self.url + path, **more) as answer:
            return answer.status, await answer.text()

    async def get_json(self, path: str) -> tuple[int, Any]:
        status, text = await self.get(path)
        return status, json.loads(text)

    async def becomes(self, path: str, status: int, *, within: float = 10.0) -> Any:
        """The answer of `path` once it has this status. TimeoutError after `within` seconds, stretched."""
        async with asyncio.timeout(stretched(within)):
            while True:
                got, answer = await self.get_json(path)
                if got == status:
                    return answer
                await asyncio.sleep(0.02)


@asynccontextmanager
async def open_site(
    folder: Path,
    dsn: str,
    checkers: dict[str, Checker],
    *,
    tasks: str,
    more: str = "",
    language: str = "en",
) -> AsyncIterator[Site]:
    """`tasks` and `more` are YAML: the body of `tasks:`, and further sections."""
    path = folder / "config.yaml"
    web = "" if "web:" in more else "web: {listen: 127.0.0.1:0}\n"
    if "supervision:" not in more:  # a busy machine is no incident that a test of the page asks for
        web += "supervision: {blocked_loop_after: 1h}\n"
    indented = "\n".join(f"  {line}" for line in tasks.strip().splitlines())
    path.write_text(f"language: {language}\ndatabase: {{url: '{dsn}'}}\n{web}{more}\ntasks:\n{indented}\n")
    async with Runner(load(path), checkers, grace=0.2) as runner, aiohttp.ClientSession() as http:
        await until(lambda: runner.web_port is not None)
        yield Site(runner, f"http://127.0.0.1:{runner.web_port}", http)


class Work:
    """A checker that does as told: `error` is raised if there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.error is not None:
            raise self.error
