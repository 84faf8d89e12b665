"""docs/http-api.md, asked of a real runner with a stopped task."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dozor.control.commands.commands import CommandReason
from tests.docs.pages import blocks_of
from tests.house.sources import ROOT
from tests.system.process import DOZOR, Process

PAGE = ROOT / "docs" / "http-api.md"
TOKEN = "a-token-for-this-test-alone"
CONFIG = """\
language: en
web: {{listen: "127.0.0.1:{port}", token: {token}}}
defaults: {{restart_delay: 50ms, max_consecutive_failures: 5}}
tasks:
  orders: {{run: "checkers:check_orders", every: 50ms}}
"""
CHECKER = """\
async def check_orders():
    raise RuntimeError("3 orders are late")
"""


@pytest.fixture
def site(short_dir: Path) -> Iterator[tuple[str, Process]]:
    folder = short_dir / "http"
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config.yaml").write_text(CONFIG.format(port=port, token=TOKEN))
    (folder / "checkers.py").write_text(CHECKER)
    runner = Process([DOZOR, "run"], cwd=folder, output=folder / "run.txt")
    yield f"http://127.0.0.1:{port}", runner
    runner.kill()


def keys(value: Any) -> Any:
    """The names in an answer, without its values."""
    match value:
        case dict():
            return {key: keys(inner) for key, inner in value.items()}
        case list():
            return [keys(inner) for inner in value[:1]]
        case _:
            return None


async def test_every_answer_has_the_keys_of_its_example(site: tuple[str, Process]) -> None:
    address, runner = site
    await runner.says("orders stopped", within=60)
    await runner.says("Web: listening", within=60)
    examples = [block for block in blocks_of(PAGE) if block.about == "answer"]
    assert len(examples) == 5
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        for example in examples:
            method, _, path = example.name.partition(" ")
            async with session.request(method, f"{address}{path}") as answer:
                found = await answer.json()
            shown = json.loads(example.text)
            assert keys(found) == keys(shown), example.name
            assert answer.status == (503 if path == "/health/tasks" else 200)
            if path == "/api/status":
                assert found["tasks"][0]["schedule"].startswith("every")
        for path in ("/metrics", "/", "/task/orders"):
            async with session.get(f"{address}{path}") as answer:
                assert answer.status == 200, path
        async with session.post(f"{address}/api/incidents/999/ack") as answer:
            assert (answer.status, (await answer.json())["reason"]) == (404, "unknown_incident")
        async with session.get(f"{address}/healthz", headers={"Host": "foreign.example"}) as answer:
            assert answer.status == 200
        async with session.get(f"{address}/api/status", headers={"Host": "foreign.example"}) as answer:
            assert answer.status == 421
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.post(f"{address}/api/tasks/orders/pause") as answer,
    ):
        assert answer.status == 401
    assert await runner.stop() == 0


def test_every_reason_of_a_refusal_is_in_the_table() -> None:
    named = set(re.findall(r"`([a-z_]+)`", PAGE.read_text("utf-8").partition("| status |")[2]))
    source = (ROOT / "runner" / "dozor" / "web" / "page" / "actions.py").read_text("utf-8")
    answered = set(re.findall(r'_answer\(\d+, "([a-z_]+)"', source)) | {"denied", "too_many_guesses"}
    of_commands = {CommandReason[name].value for name in re.findall(r"CommandReason\.([A-Z_]+): \d", source)}
    assert (answered | of_commands) - named <= {"unknown_person"}, "a web request names no person"
