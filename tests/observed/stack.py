"""Debian's Prometheus and Alertmanager as they are, on free ports, with the rules of `deploy/prometheus`."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.programs import require

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "dozor.rules.yml"
QUICK = {
    "for: 1m": "for: 1s", "for: 2m": "for: 2s", "for: 5m": "for: 2s", "> 900": "> 15", "> 300": "> 4",
    "[5m]": "[5s]",
    "> 5\n": "> 0.5\n",
}  # fmt: skip
"""The rules' own durations, shortened: a test need not wait for minutes. Conditions stay as they are."""
START_SECONDS = 30.0


@dataclass
class Told:
    """What Alertmanager has told its receiver: (alert, task, status) in order."""

    notices: list[tuple[str, str, str]] = field(default_factory=list)

    def heard(self, alert: str, status: str) -> bool:
        return any(name == alert and told == status for name, _, told in self.notices)


@dataclass(frozen=True)
class Stack:
    """`prometheus`: its address."""

    prometheus: str
    http: aiohttp.ClientSession
    told: Told

    async def query(self, expression: str) -> list[Any]:
        """The result of an instant query. AssertionError with what Prometheus says if it refuses it."""
        async with self.http.get(f"{self.prometheus}/api/v1/query", params={"query": expression}) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        return list(answer["data"]["result"])

    async def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        async with self.http.get(f"{self.prometheus}/api/v1/alerts") as response:
            answer = await response.json()
        return {
            alert["labels"]["alertname"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"
        }


_PACKAGES = {
    "prometheus": "prometheus", "promtool": "prometheus", "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
}  # fmt: skip


def program(name: str) -> str:
    """Its path."""
    return require(_PACKAGES[name], name)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def quick_rules(text: str) -> str:
    """The rules with shorter durations; every one of QUICK must be in them."""
    for old, new in QUICK.items():
        assert old in text, f"{old!r} is in no rule any more: correct QUICK"
        text = text.replace(old, new)
    assert not re.search(r"for: \d+m", text)
    return text


@asynccontextmanager
async def observing(folder: Path, target: int, *, rules: str, interval: str) -> AsyncIterator[Stack]:
    """Scrape the runner on port `target`. `interval` of scrapes and evaluations, such as "500ms"."""
    prometheus, alertmanager, receiver = free_port(), free_port(), free_port()
    (folder / "rules.yml").write_text(rules)
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}, "
        f"evaluation_interval: {interval}}}\n"
        "rule_files: [rules.yml]\n"
        f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n"
        f"scrape_configs: [{{job_name: dozor, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
    (folder / "alertmanager.yml").write_text(
        "route: {receiver: test, group_by: [alertname, task], group_wait: 100ms, group_interval: 500ms}\n"
        f"receivers: [{{name: test, webhook_configs: [{{url: 'http://127.0.0.1:{receiver}/'}}]}}]\n"
    )
    told = Told()
    async with (
        _receiver(receiver, told),
        _process(
            program("prometheus-alertmanager"), f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}", f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=", log=folder / "alertmanager.log",
        ),
        _process(
            program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{prometheus}",
            "--rules.alert.resend-delay=1s", "--query.lookback-delta=3s", log=folder / "prometheus.log",
        ),
        aiohttp.ClientSession() as http,
    ):  # fmt: skip
        for port in (prometheus, alertmanager):
            await _answers(http, f"http://127.0.0.1:{port}/-/ready")
        yield Stack(f"http://127.0.0.1:{prometheus}", http, told)


async def _answers(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                async with http.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _process(*command: str, log: Path) -> AsyncIterator[None]:
    output = log.open("wb")
    process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        output.close()


@asynccontextmanager
async def _receiver(port: int, told: Told) -> AsyncIterator[None]:
    async def hear(request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            labels = alert["labels"]
            told.notices.append((labels["alertname"], labels.get("task", ""), alert["status"]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()
