"""What is allowed in a configuration and rarely meant. Pure."""

from __future__ import annotations

from dozor.cli.doctoring.finding import Finding, ok, warning
from dozor.config import Config
from dozor.config.tasks import Cron, Every, TaskConfig
from dozor.control.queries.status import TaskStatus

_PRIVATE = ("127.", "::1", "localhost", "10.", "192.168.", "172.")


def check_config(config: Config, seen: dict[str, TaskStatus]) -> list[Finding]:
    """`seen`: what is known of the tasks from their runs."""
    found = []
    for task in config.tasks:
        if task.enabled:
            found += _task(config, task, seen.get(task.name))
    if not any(task.enabled for task in config.tasks):
        found.append(warning("tasks", "none is enabled", "add one under tasks:"))
    listen = config.web.listen
    if listen is not None and not listen.host.startswith(_PRIVATE):
        found.append(
            warning(
                "web.listen",
                f"{listen} is open to other machines, and whoever reaches it sees all tasks and errors",
                "listen on 127.0.0.1 or a private address, or put a proxy with a password in front",
            )
        )
    return found or [ok("config", f"{len(config.tasks)} tasks, nothing odd")]


def _task(config: Config, task: TaskConfig, seen: TaskStatus | None) -> list[Finding]:
    found = []
    interval = task.every
    usual = seen.last_duration if seen is not None else None
    if interval is not None and usual is not None and usual > interval:
        found.append(
            warning(
                task.name,
                f"its last run took {usual:.1f} s and it is due every {interval:g} s: ticks are missed",
                "make `every` longer, or the checker quicker",
            )
        )
    if interval is not None and task.timeout is not None and task.timeout > interval:
        found.append(
            warning(
                task.name,
                f"timeout ({task.timeout:g} s) is longer than every ({interval:g} s)",
                "a hung run then costs several ticks: make timeout shorter",
            )
        )
    limit, first = task.max_consecutive_failures, task.alerts.repeated_errors or config.alerts.repeated_errors
    if limit is not None and first >= limit:
        found.append(
            warning(
                task.name,
                f"it stops after {limit} failures, and the first alert comes at {first}",
                "make alerts.repeated_errors smaller, to hear of trouble before the stop",
            )
        )
    if isinstance(task.schedule, Every | Cron) and task.timeout is None and task.overdue_after is None:
        found.append(
            warning(
                task.name,
                "neither timeout nor overdue_after: a run that hangs for ever is noticed by nobody",
                "set one of them",
            )
        )
    return found
