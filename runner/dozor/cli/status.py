"""`dozor status`, `history`, `incidents`: what there is to see."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from dozor.cli.completion import complete_task
from dozor.cli.options import EXIT_FAILED, config_option
from dozor.cli.session import database, run_async
from dozor.control.queries.status import StatusReport, TaskStatus, read_status
from dozor.errors import CommandRefusedError
from dozor.storage.postgres.pool import unavailable
from dozor.storage.tables import incidents as incident_table
from dozor.storage.tables import runs as run_table
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.runs import RunRecord

_SIGNS = {
    "waiting": ("·", None), "running": ("▶", "green"), "backoff": ("!", "yellow"),
    "stopped": ("✖", "red"), "paused": ("‖", "cyan"), "held": ("…", "magenta"),
}  # fmt: skip


@click.command()
@config_option
@click.argument("name", required=False, shell_complete=complete_task)
@click.option("--json", "as_json", is_flag=True)
@click.option("--watch", "watching", is_flag=True, help="Look again and again, until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds.")
def status(config_path: Path, name: str | None, *, as_json: bool, watching: bool, interval: float) -> None:
    """All tasks, or one of them. Exit 1 if any is stopped."""
    if watching:
        run_async(_watch(config_path, name, as_json=as_json, interval=interval))
        return
    report = run_async(_read_status(config_path))
    shown = _selected(report, name)
    click.echo(_shown(report, shown, name, as_json=as_json))
    if any(task in shown for task in report.stopped):
        raise SystemExit(EXIT_FAILED)


def _selected(report: StatusReport, name: str | None) -> tuple[TaskStatus, ...]:
    shown = report.tasks
    if name is not None:
        shown = tuple(task for task in report.tasks if task.name == name)
        if not shown:
            raise CommandRefusedError(f"There is no task {name}: see `dozor status`")
    return shown


def _shown(report: StatusReport, shown: tuple[TaskStatus, ...], name: str | None, *, as_json: bool) -> str:
    if as_json:
        answer = report.to_json()
        answer["tasks"] = [task.to_json() for task in shown]
        return json.dumps(answer, ensure_ascii=False, indent=2)
    return _card(shown[0], report.now) if name is not None else _table(report)


async def _watch(config_path: Path, name: str | None, *, as_json: bool, interval: float) -> None:
    """A picture every `interval` seconds, over the last one on a terminal. Ends with Ctrl-C."""
    clear = "\x1b[H\x1b[J" if sys.stdout.isatty() and not as_json else ""
    async with database(config_path) as (_, pool):
        while True:
            try:
                async with pool.acquire(timeout=5.0) as connection:
                    report = await read_status(connection)
                text = _shown(report, _selected(report, name), name, as_json=as_json)
            except Exception as error:
                if not unavailable(error):
                    raise
                text = "The database does not answer; looking again"
            click.echo(f"{clear}{text}")
            await asyncio.sleep(interval)


@click.command()
@config_option
@click.argument("name", shell_complete=complete_task)
@click.option("--json", "as_json", is_flag=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def history(config_path: Path, name: str, limit: int, *, as_json: bool) -> None:
    """The last runs of a task, the newest first."""
    records = run_async(_read_history(config_path, name, limit))
    if as_json:
        click.echo(json.dumps([_run_json(record) for record in records], ensure_ascii=False, indent=2))
    elif not records:
        click.echo(f"{name}: nothing yet")
    else:
        for record in records:
            click.echo(_run_line(record))


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
def incidents(config_path: Path, limit: int, *, as_json: bool) -> None:
    """The last incidents, the newest first."""
    rows = run_async(_read_incidents(config_path, limit))
    if as_json:
        click.echo(json.dumps([_incident_json(row) for row in rows], ensure_ascii=False, indent=2))
    elif not rows:
        click.echo("No incidents")
    else:
        for row in rows:
            click.echo(_incident_line(row))


async def _read_status(config_path: Path) -> StatusReport:
    async with database(config_path) as (_, pool), pool.acquire() as connection:
        return await read_status(connection)


async def _read_history(config_path: Path, name: str, limit: int) -> list[RunRecord]:
    async with database(config_path) as (_, pool), pool.acquire() as connection:
        return await run_table.read_history(connection, name, limit)


async def _read_incidents(config_path: Path, limit: int) -> list[IncidentRow]:
    async with database(config_path) as (_, pool), pool.acquire() as connection:
        return await incident_table.read_recent(connection, limit)


def _table(report: StatusReport) -> str:
    """At most 80 columns."""
    lines = [_runner_line(report)]
    width = max((len(task.name) for task in report.tasks), default=4)
    width = min(max(width, 4), 34)
    for task in report.tasks:
        sign, colour = _SIGNS[task.state.value]
        streak = ""
        if task.consecutive_failures:
            streak = f"{task.consecutive_failures}/{task.max_consecutive_failures or '∞'}"
        shown = task.name if len(task.name) <= width else f"{task.name[: width - 1]}…"
        mark = click.style(f"{sign} {shown:<{width}} {task.state.value:<8}", fg=colour)
        seen = _ago(task.last_success_at, report.now)
        lines.append(f"{mark} {streak:>6}  ok {seen:<9} {_next(task, report.now)}")
    if not report.tasks:
        lines.append("No tasks: add one to the configuration and start `dozor run`")
    if report.alerts.pending:
        lines.append(
            f"Messages owed: {report.alerts.pending}, the oldest for {report.alerts.oldest_pending_s:.0f} s"
        )
    return "\n".join(lines)


def _runner_line(report: StatusReport) -> str:
    runner = report.runner
    if runner is None:
        return "No runner has worked on this database yet"
    if runner.alive:
        up = _span(report.now - runner.started_at)
        return f"Runner {runner.id} on {runner.host}, up {up}, tasks: {len(report.tasks)}"
    gone = click.style(
        f"No runner: runner {runner.id} was last seen {_ago(runner.seen_at, report.now)}", fg="red"
    )
    return f"{gone}; what follows is as it left it"


def _card(task: TaskStatus, now: float) -> str:
    rows = [
        ("task", task.name),
        ("about", task.description or None),
        ("state", task.state.value + (f" by {task.state_by}" if task.state_by else "")),
        ("schedule", task.schedule),
        ("failures in a row", f"{task.consecutive_failures} of {task.max_consecutive_failures or '∞'}"),
        ("runs", f"{task.runs_total}, of them failed {task.failures_total}"),
        ("last success", _ago(task.last_success_at, now)),
        ("last error", task.last_error),
        ("where", task.last_error_where or None),
        ("failing since", None if task.failing_since is None else _ago(task.failing_since, now)),
        ("next run", _next(task, now) or None),
        ("progress", None if task.progress is None else f"{task.progress.done:g} of {task.progress.total:g}"),
        ("backlog", None if task.backlog_size is None else f"{task.backlog_size} items"),
    ]
    return "\n".join(f"{label:<18} {value}" for label, value in rows if value is not None)


def _next(task: TaskStatus, now: float) -> str:
    if task.running_for_s is not None:
        return f"running {_span(task.running_for_s)}"
    if task.next_run_at is None:
        return ""
    return f"next in {_span(max(0.0, task.next_run_at - now))}"


def _ago(at: float | None, now: float) -> str:
    return "never" if at is None else f"{_span(max(0.0, now - at))} ago"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _run_line(record: RunRecord) -> str:
    several = f" ×{record.runs}" if record.runs > 1 else ""
    error = f"  {record.error_type}: {record.error_text}" if record.error_type else ""
    took = f"{record.seconds_max:.3f}s"
    return f"{record.finished_at:%Y-%m-%d %H:%M:%S}  {record.outcome}{several}  {took}{error}"[:200]


def _run_json(record: RunRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "outcome": record.outcome,
        "started_at": record.started_at.isoformat(),
        "finished_at": record.finished_at.isoformat(),
        "runs": record.runs,
        "seconds": record.seconds,
        "seconds_max": record.seconds_max,
        "attempt": record.attempt,
        "error_type": record.error_type,
        "error_text": record.error_text,
    }


def _incident_line(row: IncidentRow) -> str:
    opened = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(row.opened_at))
    return f"#{row.id}  {opened}  {row.state}  {row.severity}  {row.task or 'runner'}  {row.summary}"[:200]


def _incident_json(row: IncidentRow) -> dict[str, Any]:
    from dozor.clock import to_iso

    return {
        "id": row.id,
        "task": row.task,
        "kind": row.kind,
        "severity": row.severity,
        "state": row.state,
        "summary": row.summary,
        "failures": row.failures,
        "opened_at": to_iso(row.opened_at),
        "resolved_at": to_iso(row.resolved_at),
        "resolved_by": row.resolved_by,
        "acknowledged_by": row.acknowledged_by,
    }
