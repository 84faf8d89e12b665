"""What is allowed in a configuration and rarely meant. Pure."""

from __future__ import annotations

from dozor.cli.doctoring.finding import Finding, ok, warning
from dozor.config import Config
from dozor.config.sections.tasks import Cron, Every, TaskConfig
from dozor.control.queries.status import TaskStatus
from dozor.language import msg

_PRIVATE = ("127.", "::1", "localhost", "10.", "192.168.", "172.")


def check_config(config: Config, seen: dict[str, TaskStatus]) -> list[Finding]:
    """`seen`: what is known of the tasks from their runs."""
    found = []
    for task in config.tasks:
        if task.enabled:
            found += _task(config, task, seen.get(task.name))
    if not any(task.enabled for task in config.tasks):
        found.append(warning("tasks", msg("doctor-none-enabled"), msg("doctor-none-enabled-remedy")))
    listen = config.web.listen
    if listen is not None and not listen.host.startswith(_PRIVATE):
        found.append(
            warning(
                "web.listen",
                msg("doctor-listen-open", listen=listen),
                msg("doctor-listen-open-remedy"),
            )
        )
    return found or [ok("config", msg("doctor-config-well", count=len(config.tasks)))]


def _task(config: Config, task: TaskConfig, seen: TaskStatus | None) -> list[Finding]:
    found = []
    interval = task.every
    usual = seen.last_duration if seen is not None else None
    if interval is not None and usual is not None and usual > interval:
        found.append(
            warning(
                task.name,
                msg("doctor-too-long", usual=f"{usual:.1f}", interval=f"{interval:g}"),
                msg("doctor-too-long-remedy"),
            )
        )
    if interval is not None and task.timeout is not None and task.timeout > interval:
        found.append(
            warning(
                task.name,
                msg("doctor-timeout", timeout=f"{task.timeout:g}", interval=f"{interval:g}"),
                msg("doctor-timeout-remedy"),
            )
        )
    limit, first = task.max_consecutive_failures, task.alerts.repeated_errors or config.alerts.repeated_errors
    if limit is not None and first >= limit:
        found.append(
            warning(
                task.name,
                msg("doctor-late-alert", limit=limit, first=first),
                msg("doctor-late-alert-remedy"),
            )
        )
    if isinstance(task.schedule, Every | Cron) and task.timeout is None and task.overdue_after is None:
        found.append(
            warning(
                task.name,
                msg("doctor-no-limits"),
                msg("doctor-no-limits-remedy"),
            )
        )
    return found
