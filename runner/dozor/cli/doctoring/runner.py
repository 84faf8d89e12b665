"""The runner: whether one is running and ready, and when Telegram last answered it."""

from __future__ import annotations

from typing import Any

import aiohttp

from dozor.cli.doctoring.finding import Finding, failed, ok, warning
from dozor.config import Config
from dozor.config.sections.config import ListenAddress
from dozor.control.queries.status import StatusReport
from dozor.language import msg

TIMEOUT = 3.0
"""Seconds."""


async def check_runner(config: Config, report: StatusReport | None) -> list[Finding]:
    """From what it last wrote, and from its answer to `/readyz`."""
    if report is None:
        return []
    runner = report.runner
    if runner is None or not runner.alive:
        since = (
            "" if runner is None else msg("doctor-last-seen", seconds=f"{report.now - runner.seen_at:.0f}")
        )
        return [warning("runner", msg("doctor-no-runner", since=since), msg("doctor-start-it"))]
    found = [ok("runner", msg("doctor-runner", id=runner.id, pid=runner.pid, host=runner.host))]
    stopped = report.stopped
    if stopped:
        names = ", ".join(task.name for task in stopped[:5])
        found.append(
            warning(
                "tasks", msg("doctor-stopped", count=len(stopped), names=names), msg("doctor-stopped-remedy")
            )
        )
    pending, oldest = report.alerts.pending, report.alerts.oldest_pending_s or 0.0
    if oldest > 60:
        found.append(
            failed(
                "alerts",
                msg("doctor-pending", pending=pending, seconds=f"{oldest:.0f}"),
                msg("doctor-see-others"),
            )
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
        return [warning("web", msg("doctor-web-silent", url=url), msg("doctor-web-silent-remedy"))]
    found = [failed("ready", str(reason), msg("doctor-see-others")) for reason in reasons]
    if not found:
        found.append(ok("ready", msg("doctor-ready")))
    if config.telegram.token is not None and polled is not None:
        found.append(ok("poll", msg("doctor-polled", seconds=f"{polled:.0f}")))
    return found
