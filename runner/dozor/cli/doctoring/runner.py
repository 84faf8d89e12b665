"""The runner: is one at work, is it ready, when did it last hear from Telegram?"""

from __future__ import annotations

from typing import Any

import aiohttp

from dozor.cli.doctoring.finding import Finding, failed, ok, warning
from dozor.config import Config
from dozor.config.models import ListenAddress
from dozor.control.queries.status import StatusReport

TIMEOUT = 3.0
"""Seconds."""


async def check_runner(config: Config, report: StatusReport | None) -> list[Finding]:
    """By what it last wrote, and by what it says of itself."""
    if report is None:
        return []
    runner = report.runner
    if runner is None or not runner.alive:
        since = "" if runner is None else f"; the last one was seen {report.now - runner.seen_at:.0f} s ago"
        return [warning("runner", f"none is at work{since}", "start it: `dozor run`")]
    found = [ok("runner", f"runner {runner.id}, process {runner.pid} on {runner.host}")]
    stopped = report.stopped
    if stopped:
        names = ", ".join(task.name for task in stopped[:5])
        found.append(
            warning("tasks", f"{len(stopped)} stopped: {names}", "`dozor status`, `dozor restart NAME`")
        )
    pending, oldest = report.alerts.pending, report.alerts.oldest_pending_s or 0.0
    if oldest > 60:
        found.append(
            failed("alerts", f"{pending} are owed, the oldest for {oldest:.0f} s", "see the other findings")
        )
    if config.web.listen is not None:
        found += await _readiness(config, config.web.listen)
    return found


async def _readiness(config: Config, listen: ListenAddress) -> list[Finding]:
    host = listen.host if listen.host not in ("", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 -- where it listens
    url = f"http://{ListenAddress(host, listen.port)}/readyz"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as http,
            http.get(url) as answer,
        ):
            body: dict[str, Any] = await answer.json(content_type=None)
            polled = body.get("telegram_last_poll_s")
            reasons = body["reasons"]
    except (aiohttp.ClientError, OSError, ValueError, TypeError, KeyError):
        return [
            warning(
                "web", f"{url} does not answer", "another machine's runner, or its port is taken: see its log"
            )
        ]
    found = [failed("ready", str(reason), "see the other findings") for reason in reasons]
    if not found:
        found.append(ok("ready", "the runner says that it can do its job"))
    if config.telegram.token is not None and polled is not None:
        found.append(ok("poll", f"Telegram last answered {polled:.0f} s ago"))
    return found
