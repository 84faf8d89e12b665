"""`dozor try NAME`: one run of one checker, without a runner. Alerts are printed and not sent."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

import click

from dozor.cli.terminal.completion import complete_task
from dozor.cli.terminal.layout import fitted, output_width, wrapped
from dozor.cli.terminal.options import EXIT_FAILED, config_option
from dozor.cli.terminal.session import run_async
from dozor.cli.terminal.task_names import the_task
from dozor.language import msg
from dozor.tracebacks import error_line

if TYPE_CHECKING:
    from dozor.config import Config, TaskConfig
    from dozor.redaction import Redactor
    from dozor.supervision.core.policy import Intensity
    from dozor.supervision.core.state import Failure, TaskState
    from dozor.supervision.supervisor import Transition
    from dozor.supervision.tasks.task import SupervisedTask
    from dozor.supervision.telemetry.log import SupervisionLog

LOOK_EVERY = 0.3
"""Seconds between two looks at the files, with `--watch`."""
HEARTBEAT_EVERY = 0.05
"""Seconds between two looks for the first heartbeat of a continuous checker."""
GRACE = 5.0
"""Seconds that a run in progress gets when Ctrl-C ends it."""


@click.command("try", help=msg("setup-help-try"))
@config_option
@click.argument("name", shell_complete=complete_task, metavar=msg("cli-metavar-name"))
@click.option("--watch", "watching", is_flag=True, help=msg("setup-help-try-watch"))
def try_once(config_path: Path, name: str, *, watching: bool) -> None:
    """Run one checker once. Exit 1 if it failed."""
    if watching:
        with suppress(KeyboardInterrupt):  # the way it is meant to end
            run_async(_watch(config_path, config_path.absolute().parent, name))
        return
    if not run_async(_try(config_path, name)):
        raise SystemExit(EXIT_FAILED)


# -- one run


@dataclass(slots=True)
class Ended:
    """How the run ended. `failure` None: it succeeded. `seconds` it took."""

    seconds: float
    failure: Failure | None = None
    healthy: bool = False
    """A continuous checker that reported a heartbeat and goes on."""


@dataclass(slots=True)
class OneRun:
    """The observer of a supervisor: remembers how the first run ended, and what the checker alerted."""

    ended: asyncio.Future[Ended] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    alerts: list[tuple[str, str]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def transition(self, transition: Transition) -> None:
        from dozor.supervision.core import events

        match transition.event:
            case events.Failed(failure) | events.Interrupted(failure):
                self.end(failure)
            case (
                events.Heartbeat() | events.Succeeded() | events.Cancelled() | events.Due()
                | events.DependencyDown() | events.DependencyUp() | events.Pause() | events.Restart()
                | events.Resume() | events.RunNow()
            ):  # fmt: skip
                pass
            case _:
                assert_never(transition.event)

    def succeeded(self, task: SupervisedTask, seconds: float, lateness: float) -> None:
        self.end(None)

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        self.alerts.append((severity, text))

    def end(self, failure: Failure | None, *, healthy: bool = False) -> None:
        if not self.ended.done():
            self.ended.set_result(Ended(time.monotonic() - self.began, failure, healthy))


async def _try(config_path: Path, name: str) -> bool:
    """Whether the run succeeded. Raises ConfigError, and CommandRefusedError for an unknown task."""
    from dozor.config import load
    from dozor.config.imports.checkers import import_checkers
    from dozor.config.secrets import register_config_secrets
    from dozor.logs import LogFormat, configure
    from dozor.redaction import Redactor

    config = load(config_path)
    meant = the_task(name, [task.name for task in config.tasks])
    task = next(task for task in config.tasks if task.name == meant).model_copy(update={"enabled": True})
    redactor = Redactor()
    register_config_secrets(config, redactor)
    configure(redactor, level="WARNING", form=LogFormat.HUMAN)
    checkers = import_checkers(config.model_copy(update={"tasks": (task,)}))
    async with _database(config, wanted=_takes_context(checkers[meant])) as dsn:
        configure(redactor, form=LogFormat.HUMAN)  # from here on the log is the checker's
        return await _run(config, task, checkers[meant], dsn, redactor)


def _takes_context(function: object) -> bool:
    from dozor.config.imports.signatures import takes_context

    return callable(function) and takes_context(function)


@asynccontextmanager
async def _database(config: Config, *, wanted: bool) -> AsyncIterator[str | None]:
    """The DSN behind `ctx.db`; None, with a line about the cause, where there is no database.

    An embedded one is started if need be, and its schema is brought up to date. A foreign one is used as it
    is.
    """
    from dozor.errors import StorageError
    from dozor.storage.postgres.database import Database
    from dozor.storage.postgres.migration_sets import sets_for
    from dozor.storage.postgres.pool import connect, disconnect
    from dozor.storage.postgres.pooling import dsn_of

    if not wanted:
        yield None
        return
    dsn = dsn_of(config.database)
    if dsn is not None:
        try:
            await disconnect(await connect(dsn))
        except StorageError as error:
            click.echo(msg("setup-try-no-database", reason=error), err=True)
            dsn = None
        yield dsn
        return
    try:
        database = await Database.open(config.database)
    except StorageError as error:
        click.echo(msg("setup-try-no-database", reason=error), err=True)
        yield None
        return
    try:
        await database.prepare(await asyncio.to_thread(sets_for, config))
        yield database.dsn
    finally:
        await database.close()


async def _run(
    config: Config, task: TaskConfig, function: object, dsn: str | None, redactor: Redactor
) -> bool:
    from dozor.clock import SteadyClock
    from dozor.storage.postgres.checker_pool import CheckerPool
    from dozor.supervision.core.spec import from_config
    from dozor.supervision.execution.process.client import Launch
    from dozor.supervision.runs.resources import ResourcePlan, Resources
    from dozor.supervision.supervisor import Supervisor

    assert callable(function)
    spec = from_config(task, function)
    spec = replace(spec, policy=replace(spec.policy, run_at_start=True, offset=0.0))
    clock, one = SteadyClock(), OneRun()
    sizes, plan = config.database.pools, ResourcePlan.of(config)
    pool = None
    if dsn is not None:
        pool = await CheckerPool.open(dsn, size=2, acquire_timeout=sizes.acquire_timeout, now=clock.now)
    supervisor = Supervisor(
        [spec],
        observer=one,
        clock=clock,
        log=_silent_log(),
        checkers=pool,
        redact=redactor.redact,
        grace=GRACE,
        launch=Launch(
            dsn=dsn,
            folder=config.path.parent,
            pool_size=sizes.process,
            acquire_timeout=sizes.acquire_timeout,
            resources=plan,
        ),
        resources=Resources(plan, clock.now),
    )
    if spec.policy.continuous:
        click.echo(msg("setup-try-continuous", name=task.name), err=True)
    try:
        supervisor.start()
        if spec.policy.continuous:
            await _first_heartbeat(supervisor.tasks[0], one)
        ended = await one.ended
        await asyncio.sleep(0)  # reports that the run made from a thread have been scheduled before its end
    finally:
        supervised = supervisor.tasks[0]
        await supervisor.stop()
        if pool is not None:
            pool.terminate()
            await asyncio.sleep(0)
    for line in _report(config, task, supervised, one.alerts, ended):
        click.echo(fitted(redactor.redact(line), hanging="  "))
    return ended.failure is None


async def _first_heartbeat(task: SupervisedTask, one: OneRun) -> None:
    """Until the run of a continuous checker reports a heartbeat, or ends."""
    while not one.ended.done():
        await asyncio.wait((one.ended,), timeout=HEARTBEAT_EVERY)
        if task.run is not None and task.run.heartbeat_at > task.run.started_at:
            one.end(None, healthy=True)


def _silent_log() -> SupervisionLog:
    from dozor.supervision.telemetry.log import SupervisionLog

    class Silent(SupervisionLog):
        """The report contains all of it, once."""

        def starting(self, name: str) -> None:
            """Nothing."""

        def failed(self, name: str, failures: int, limit: int | None, error: BaseException) -> None:
            """Nothing."""

        def restarting(self, name: str, delay: float) -> None:
            """Nothing."""

        def critical_stop(self, name: str, task: TaskState, window: Intensity | None) -> None:
            """Nothing."""

        def cancelled(self, name: str) -> None:
            """Nothing."""

    return Silent()


# -- what is printed


def _report(
    config: Config, task: TaskConfig, seen: SupervisedTask, alerts: list[tuple[str, str]], ended: Ended
) -> list[str]:
    took = f"{ended.seconds:.3f}"
    if ended.failure is None:
        key = msg("setup-try-healthy" if ended.healthy else "setup-try-passed", name=task.name, seconds=took)
        lines = [f"{click.style('✓', fg='green')} {key}"]
    else:
        text = error_line(ended.failure.error_type, ended.failure.error_text)
        sign = click.style("✖", fg="red", bold=True)
        lines = [f"{sign} {msg('setup-try-failed', name=task.name, seconds=took, error=text)}"]
    if seen.progress is not None:
        done, total = seen.progress
        lines.append("  " + msg("setup-try-progress", done=f"{done:g}", total=f"{total:g}"))
    if seen.backlog is not None:
        lines.append("  " + msg("setup-try-backlog", count=seen.backlog[0]))
    for severity, text in alerts:
        lines.append("  " + msg("setup-try-alert", severity=severity, text=text))
    if ended.failure is not None:
        would = wrapped(_consequence(config, task, ended.failure), output_width())
        lines += ["", ended.failure.traceback.rstrip(), "", would]
    elif not alerts:
        lines.append("  " + msg("setup-try-no-alert"))
    return lines


def _consequence(config: Config, task: TaskConfig, failure: Failure) -> str:
    """What a runner would do about this failure."""
    from dozor.config.values.durations import format_duration

    if failure.fatal:
        return msg("setup-try-fatal")
    first = task.alerts.repeated_errors or config.alerts.repeated_errors
    limit = task.max_consecutive_failures
    delay = format_duration(task.restart_delay.initial)
    if limit is None:
        return msg("setup-try-unlimited", delay=delay, first=first)
    if first >= limit:
        return msg("setup-try-only-stop", delay=delay, limit=limit)
    return msg("setup-try-would", delay=delay, first=first, limit=limit)


# -- again and again


async def _watch(config_path: Path, folder: Path, name: str) -> None:
    """A fresh process for each run, so that all the code is read anew. Until Ctrl-C."""
    while True:
        before = _stamps(folder, config_path)
        arguments = ["-m", "dozor", "try", "-c", str(config_path), name]
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
        try:
            while process.returncode is None and _stamps(folder, config_path) == before:
                try:
                    await asyncio.wait_for(process.wait(), LOOK_EVERY)
                except TimeoutError:
                    continue
        finally:
            if process.returncode is None:  # changed while it ran, or Ctrl-C
                process.terminate()
                await process.wait()
        click.echo(msg("setup-try-watching", folder=folder))
        while _stamps(folder, config_path) == before:  # noqa: ASYNC110 -- changed files cause no event
            await asyncio.sleep(LOOK_EVERY)


def _stamps(folder: Path, config_path: Path) -> dict[Path, int]:
    """When the configuration and each Python file of the folder were last changed; no hidden folders."""
    found: dict[Path, int] = {}
    for path in (config_path, *folder.rglob("*.py")):
        inside = path.relative_to(folder).parts[:-1] if path.is_relative_to(folder) else ()
        if any(part.startswith((".", "__pycache__")) or part == "node_modules" for part in inside):
            continue
        try:
            found[path] = path.stat().st_mtime_ns
        except OSError:
            continue
    return found
