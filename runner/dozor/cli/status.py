"""`dozor status`, `history`, `incidents`: states, runs and incidents as tables or JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from dozor.cli.terminal.colours import sign
from dozor.cli.terminal.completion import complete_task
from dozor.cli.terminal.layout import PLAIN, columns_of, cut, indented, output_width, padded, wrapped
from dozor.cli.terminal.options import EXIT_FAILED, EXIT_NO_RUNNER, config_option
from dozor.cli.terminal.session import NoDatabaseError, database, known_names, run_async
from dozor.cli.terminal.task_names import the_task
from dozor.cli.terminal.times import in_zone
from dozor.cli.terminal.words import ago, incident_words, outcome_word, schedule_words, span, state_word
from dozor.clock import to_iso
from dozor.control.queries.people import CHAT, read_names
from dozor.control.queries.status import StatusReport, TaskStatus, read_status, runner_on_watch
from dozor.control.task_states import STATES
from dozor.language import Translator, msg
from dozor.language.process import language_in_use
from dozor.storage.postgres.pool import Connection, unavailable
from dozor.supervision.core.state import State
from dozor.tracebacks import error_line

if TYPE_CHECKING:
    from dozor.config import Config
    from dozor.control.queries.incident_words import StormCount
    from dozor.storage.tables.incidents import IncidentRow
    from dozor.storage.tables.runs import RunRecord

ONE_LINE = 72
"""Columns from which a task of the table has one line; it has two on a narrower terminal."""


@click.command(help=msg("cli-help-status"))
@config_option
@click.argument(
    "name", required=False, shell_complete=complete_task, metavar=msg("cli-metavar-optional-name")
)
@click.option("--json", "as_json", is_flag=True, help=msg("cli-help-json"))
@click.option("--watch", "watching", is_flag=True, help=msg("cli-help-watch"))
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=2.0,
    show_default=True,
    metavar=msg("cli-metavar-seconds"),
    help=msg("cli-help-interval"),
)
def status(config_path: Path, name: str | None, *, as_json: bool, watching: bool, interval: float) -> None:
    """All tasks, or one of them. Exit 1 if any is stopped."""
    if watching:
        with suppress(KeyboardInterrupt):  # the way it is meant to end
            run_async(_watch(config_path, name, as_json=as_json, interval=interval))
        return
    try:
        seen = run_async(_read_status(config_path))
    except NoDatabaseError as error:
        click.echo(f"dozor: {error}", err=True)
        raise SystemExit(EXIT_NO_RUNNER) from None
    report = seen.report
    shown = _selected(report, name)
    click.echo(_shown(seen, shown, name, as_json=as_json))
    if report.runner is None or not report.runner.alive:
        raise SystemExit(EXIT_NO_RUNNER)
    if any(task in shown for task in report.stopped):
        raise SystemExit(EXIT_FAILED)


def _selected(report: StatusReport, name: str | None) -> tuple[TaskStatus, ...]:
    if name is None:
        return report.tasks
    meant = the_task(name, [task.name for task in report.tasks])
    return tuple(task for task in report.tasks if task.name == meant)


def _shown(seen: _Seen, shown: tuple[TaskStatus, ...], name: str | None, *, as_json: bool) -> str:
    report = seen.report
    if as_json:
        answer = report.to_json()
        answer["tasks"] = [task.to_json() for task in shown]
        return json.dumps(answer, ensure_ascii=False, indent=2)
    columns = output_width()
    if name is None:
        return _table(report, columns, configured=seen.configured)
    card = _card(shown[0], report.now, columns, seen.names)
    alive = report.runner is not None and report.runner.alive
    return card if alive else f"{_runner_line(report, columns)}\n{card}"


async def _watch(config_path: Path, name: str | None, *, as_json: bool, interval: float) -> None:
    """A picture every `interval` seconds, over the last one on a terminal. Ends with Ctrl-C."""
    clear = "\x1b[H\x1b[J" if sys.stdout.isatty() and not as_json else ""
    async with database(config_path) as (config, pool):
        while True:
            try:
                async with pool.acquire(timeout=5.0) as connection:
                    seen = await _read(config, connection)
                text = _shown(seen, _selected(seen.report, name), name, as_json=as_json)
            except Exception as error:
                if not unavailable(error):
                    raise
                text = msg("cli-database-silent")
            click.echo(f"{clear}{text}")
            await asyncio.sleep(interval)


@click.command(help=msg("cli-help-history"))
@config_option
@click.argument("name", shell_complete=complete_task, metavar=msg("cli-metavar-name"))
@click.option("--json", "as_json", is_flag=True, help=msg("cli-help-json"))
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar=msg("cli-metavar-number"),
    help=msg("cli-help-limit"),
)
def history(config_path: Path, name: str, limit: int, *, as_json: bool) -> None:
    """The last runs of a task, the newest first."""
    zone, name, records = run_async(_read_history(config_path, name, limit))
    if as_json:
        click.echo(json.dumps([_run_json(record) for record in records], ensure_ascii=False, indent=2))
    elif not records:
        click.echo(msg("cli-no-runs", name=name))
    else:
        for record in records:
            click.echo(_run_line(record, zone))


@click.command(help=msg("cli-help-incidents"))
@config_option
@click.option("--json", "as_json", is_flag=True, help=msg("cli-help-json"))
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar=msg("cli-metavar-number"),
    help=msg("cli-help-limit"),
)
def incidents(config_path: Path, limit: int, *, as_json: bool) -> None:
    """The last incidents, the newest first."""
    zone, rows, storms, names = run_async(_read_incidents(config_path, limit))
    if as_json:
        click.echo(json.dumps([_incident_json(row) for row in rows], ensure_ascii=False, indent=2))
    elif not rows:
        click.echo(msg("cli-no-incidents"))
    else:
        for row in rows:
            click.echo(incident_line(row, storms.get(row.id), names, zone))


@dataclass(frozen=True, slots=True)
class _Seen:
    """The status; what people are called, by actor; how many tasks the configuration has enabled."""

    report: StatusReport
    names: Mapping[str, str]
    configured: int


async def _read_status(config_path: Path) -> _Seen:
    async with database(config_path) as (config, pool), pool.acquire() as connection:
        return await _read(config, connection)


async def _read(config: Config, connection: Connection) -> _Seen:
    """Without what only a runner could do: nothing is next, and nothing is running, when there is none."""
    report = await read_status(connection)
    configured = sum(task.enabled for task in config.tasks)
    names = await read_names(connection)
    if report.runner is None or (report.runner.alive and await runner_on_watch(connection)):
        return _Seen(report, names, configured)
    tasks = (replace(task, next_run_at=None, running_for_s=None) for task in report.tasks)
    gone = replace(report, runner=replace(report.runner, alive=False), tasks=tuple(tasks))
    return _Seen(gone, names, configured)


async def _read_incidents(
    config_path: Path, limit: int
) -> tuple[ZoneInfo, list[IncidentRow], dict[int, StormCount], dict[str, str]]:
    """The incidents, what the storms among them group, and what people and chats are called."""
    from dozor.control.queries.incident_words import read_storm_counts
    from dozor.storage.tables.incidents import read_recent

    async with database(config_path) as (config, pool), pool.acquire() as connection:
        rows = await read_recent(connection, limit)
        storms = await read_storm_counts(connection, [row.id for row in rows])
        return config.timezone, rows, storms, await read_names(connection)


async def _read_history(config_path: Path, word: str, limit: int) -> tuple[ZoneInfo, str, list[RunRecord]]:
    """The configured zone, the name that `word` means, and its runs."""
    from dozor.storage.tables.runs import read_history

    async with database(config_path) as (config, pool):
        name = the_task(word, await known_names(config, pool))
        async with pool.acquire() as connection:
            return config.timezone, name, await read_history(connection, name, limit)


def _table(report: StatusReport, columns: int = PLAIN, *, configured: int = 0) -> str:
    """At most `columns` wide. `configured`: tasks of the configuration; the database may know none yet."""
    lines = [_runner_line(report, columns)]
    cells = [_cells(task, report.now) for task in report.tasks]
    narrow = columns < ONE_LINE
    taken = max((columns_of(state) + (0 if narrow else columns_of(rest)) for state, rest in cells), default=0)
    width = min(max((len(task.name) for task in report.tasks), default=4), max(columns - taken - 4, 8))
    for task, (state, rest) in zip(report.tasks, cells, strict=True):
        traits = STATES[task.state]
        name = f"{sign(traits)} {padded(cut(task.name, width), width)} {state}"
        if narrow:
            lines += [name.rstrip(), f"  {cut(' '.join(rest.split()), columns - 2)}"]
        else:
            lines.append(f"{name} {rest}".rstrip())
    if not report.tasks:
        text = msg("cli-tasks-not-started", count=configured) if configured else msg("cli-no-tasks")
        lines.append(wrapped(text, columns))
    if report.alerts.pending:
        oldest = report.alerts.oldest_pending_s or 0.0
        text = msg("cli-pending", count=report.alerts.pending, seconds=f"{oldest:.0f}")
        lines.append(wrapped(text, columns))
    for chat in report.alerts.waiting:
        name = chat.destination or "telegram.chat"
        if chat.until is None:
            text = msg("cli-chat-unreached", chat=name, since=to_iso(chat.since), error=chat.error or "?")
        else:
            text = msg("cli-chat-waits", chat=name, until=to_iso(chat.until))
        lines.append(wrapped(text, columns))
    return "\n".join(lines)


def _cells(task: TaskStatus, now: float) -> tuple[str, str]:
    """The line without the name: the state, and the rest."""
    streak = ""
    if task.consecutive_failures:
        streak = f"{task.consecutive_failures}/{task.max_consecutive_failures or '∞'}"
    if task.last_success_at is None:
        seen = msg("cli-no-success")
    else:
        seen = msg("cli-success", time=ago(task.last_success_at, now))
    return f"{state_word(task.state):<8}", f"{streak:>6}  {seen:<15} {_next(task, now)}"


def _runner_line(report: StatusReport, columns: int) -> str:
    runner = report.runner
    if runner is None:
        return wrapped(msg("cli-never-a-runner"), columns)
    if runner.alive:
        up = span(report.now - runner.started_at)
        line = msg("cli-runner", id=runner.id, host=runner.host, time=up, count=len(report.tasks))
        return wrapped(line, columns)
    gone = msg("cli-runner-gone", id=runner.id, ago=ago(runner.seen_at, report.now))
    return click.style(wrapped(f"{gone}; {msg('cli-as-it-left')}", columns), fg="red")


def _card(
    task: TaskStatus, now: float, columns: int = PLAIN, names: Mapping[str, str] = MappingProxyType({})
) -> str:
    """One task. `names`: what people are called, by actor."""
    state, limit = state_word(task.state), task.max_consecutive_failures or "∞"
    # Only a pause is the doing of the person who acted last; the other states come by themselves.
    paused_by = _who(task.state_by, names) if task.state_by and task.state is State.PAUSED else None
    if paused_by is not None:
        state = msg("cli-card-state-by", state=state, who=paused_by)
    acted = _who(task.state_by, names) if task.state_by and paused_by is None else None
    streak = msg("cli-card-of", count=task.consecutive_failures, most=limit)
    runs = msg("cli-card-runs-failed", count=task.runs_total, failed=task.failures_total)
    progress, backlog = task.progress, task.backlog_size
    done = None if progress is None else (f"{progress.done:g}", f"{progress.total:g}")
    rows = [
        (msg("cli-card-task"), task.name),
        (msg("cli-card-about"), task.description or None),
        (msg("cli-card-state"), state),
        (msg("cli-card-schedule"), schedule_words(task.schedule)),
        (msg("cli-card-streak"), streak),
        (msg("cli-card-runs"), runs),
        (msg("cli-card-last-success"), ago(task.last_success_at, now)),
        (msg("cli-card-last-error"), task.last_error),
        (msg("cli-card-where"), task.last_error_where or None),
        (msg("cli-card-failing-since"), None if task.failing_since is None else ago(task.failing_since, now)),
        (msg("cli-card-next"), _next(task, now) or None),
        (msg("cli-card-last-action"), acted),
        (msg("cli-card-progress"), None if done is None else msg("cli-card-of", count=done[0], most=done[1])),
        (msg("cli-card-backlog"), None if backlog is None else msg("cli-card-items", count=backlog)),
    ]
    lines = []
    for label, value in rows:
        if value is None:
            continue
        if columns_of(str(value)) + 19 <= columns:
            lines.append(f"{padded(label, 18)} {value}")
        else:
            lines += [label, indented(str(value), columns, "  ")]
    return "\n".join(lines)


def _who(actor: str, names: Mapping[str, str]) -> str:
    from dozor.alerting.rendering.render import who

    return who(Translator(language_in_use()), actor, names.get)


def _next(task: TaskStatus, now: float) -> str:
    if task.running_for_s is not None:
        return msg("cli-running-for", time=span(task.running_for_s))
    if task.next_run_at is None:
        return ""
    return msg("cli-next-in", time=span(max(0.0, task.next_run_at - now)))


def _run_line(record: RunRecord, zone: ZoneInfo) -> str:
    several = f" ×{record.runs}" if record.runs > 1 else ""
    at = in_zone(record.finished_at.timestamp(), zone)
    took = msg("cli-unit-seconds", count=f"{record.seconds_max:.3f}")
    head = f"{at}  {outcome_word(record.outcome)}{several}  {took}"
    return _with_details(head, error_line(record.error_type, record.error_text))


def _with_details(head: str, details: str) -> str:
    """On the same line where there is space, else below it; no line is wider than the terminal."""
    columns = output_width()
    if not details or columns_of(f"{head}  {details}") <= columns:
        return wrapped(f"{head}  {details}".rstrip(), columns)
    return f"{wrapped(head, columns)}\n{indented(details, columns, '    ')}"


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


def incident_line(
    row: IncidentRow, storm: StormCount | None, names: Mapping[str, str], zone: ZoneInfo
) -> str:
    """`names`: what people and chats are called, by actor."""
    from dozor.control.queries.incident_words import incident_about

    state, severity = incident_words(row.state, row.severity)
    about = row.task or msg("cli-incident-of-runner")
    text = incident_about(
        Translator(language_in_use()), row.kind, row.fingerprint, row.summary, storm, _place_of(names)
    )
    opened = in_zone(row.opened_at, zone)
    return _with_details(f"#{row.id}  {opened}  {state}  {severity}  {about}", text)


def _place_of(names: Mapping[str, str]) -> Callable[[str], str | None]:
    def place_of(place: str) -> str | None:
        chat = place.partition(":")[0]
        return names.get(f"{CHAT}:{chat}") or names.get(f"telegram:{chat}")

    return place_of


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
