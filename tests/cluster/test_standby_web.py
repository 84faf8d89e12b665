"""The web server of a standby: ready while a leader leads, and it shows the tables."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import aiohttp

from tests.cluster.members import LEADS, TTL, Members
from tests.waiting import stretched


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def ask(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


async def until_answer(port: int, path: str, pattern: str, status: int = 200) -> str:
    """The answer, once it has this status and matches."""
    last: Any = None
    try:
        async with asyncio.timeout(stretched(20)):
            while True:
                try:
                    last = await ask(port, path)
                except aiohttp.ClientError as error:
                    last = error
                else:
                    if last[0] == status and re.search(pattern, last[1]):
                        return str(last[1])
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{path}: {last}") from None


async def test_a_standby_is_ready_shows_the_tables_and_its_metrics_and_then_leads(members: Members) -> None:
    (members.folder / "failing.py").write_text("async def f():\n    raise RuntimeError('as ordered')\n")
    tasks = {
        "t": {"run": "spanned:run", "every": "100ms"},
        "f": {"run": "failing:f", "restart_delay": "50ms"},
    }
    first_port, second_port = free_port(), free_port()
    members.write(tasks, web={"listen": f"127.0.0.1:{first_port}"})
    first = await members.leader()
    await until_answer(first_port, "/readyz", '"ready": true')
    members.write(tasks, web={"listen": f"127.0.0.1:{second_port}"})
    second = await members.standby()
    assert '"ready": true' in await until_answer(second_port, "/readyz", '"ready": true')
    await until_answer(second_port, "/api/status", '"name": "f", "state": "stopped"')
    assert '"role": "standby"' in await until_answer(second_port, "/api/status", "role")
    await until_answer(second_port, "/metrics", r'dozor_task_state\{[^}]*task="f"[^}]*stopped[^}]*\} 1')
    await until_answer(second_port, "/metrics", r'dozor_replicas\{role="standby"\} 1\.0')
    await until_answer(second_port, "/metrics", r'dozor_replicas\{role="leader"\} 1\.0')
    # The epoch is above 1 where a busy machine has renewed the first lease too late.
    metrics = await until_answer(second_port, "/metrics", r"dozor_epoch [1-9]\d*\.0")
    assert "dozor_leader 0.0" in metrics
    assert "dozor_leader 1.0" in await until_answer(first_port, "/metrics", "dozor_leader")
    await until_answer(second_port, "/healthz", "true")
    await until_answer(second_port, "/health/tasks", '"task": "f"', status=503)
    page = await until_answer(second_port, "/", "<html")
    assert "f" in page
    first.kill()
    await second.says(LEADS, within=TTL + 2)
    await until_answer(second_port, "/metrics", r"dozor_leader 1\.0")
    await until_answer(second_port, "/readyz", '"ready": true')
    assert await second.stop() == 0
