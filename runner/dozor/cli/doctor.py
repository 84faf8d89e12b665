"""`dozor doctor`: checks everything that may keep an alert from arriving, each with its remedy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import assert_never

import click

from dozor.cli.doctoring.channels import check_second_channel
from dozor.cli.doctoring.database import (
    check_disk,
    check_files,
    check_schema,
    check_server,
    check_sessions,
)
from dozor.cli.doctoring.databases import check_databases
from dozor.cli.doctoring.finding import Finding, Level, failed, grouped, warning
from dozor.cli.doctoring.runner import check_runner
from dozor.cli.doctoring.sending import send_directly, send_through_runner
from dozor.cli.doctoring.smells import check_config
from dozor.cli.doctoring.telegram import check_telegram
from dozor.cli.terminal.colours import coloured
from dozor.cli.terminal.layout import fitted
from dozor.cli.terminal.options import EXIT_FAILED, config_option
from dozor.cli.terminal.session import run_async
from dozor.config import Config, load
from dozor.config.secrets import register_config_secrets
from dozor.control.alert_settings import oncall
from dozor.control.queries.status import StatusReport, read_status
from dozor.errors import StorageError
from dozor.language import msg
from dozor.redaction import Redactor
from dozor.storage.postgres.embedded.server import find_embedded, start_embedded
from dozor.storage.postgres.migration_sets import sets_for
from dozor.storage.postgres.pool import connect, create_pool, disconnect
from dozor.storage.postgres.pooling import dsn_of, marked


@click.command(help=msg("cli-help-doctor"))
@config_option
@click.option("--send", is_flag=True, help=msg("cli-help-send"))
@click.option("--json", "as_json", is_flag=True, help=msg("cli-help-json"))
def doctor(config_path: Path, *, send: bool, as_json: bool) -> None:
    """Look for what may keep alerts from arriving. Exit 1 if something does not work."""
    config = load(config_path)
    redactor = Redactor()
    register_config_secrets(config, redactor)
    findings = run_async(_examine(config, send=send))
    if as_json:
        click.echo(
            redactor.redact(json.dumps([asdict(one) for one in findings], ensure_ascii=False, indent=2))
        )
    else:
        for one in grouped(findings):
            click.echo(fitted(redactor.redact(_lines(one)), hanging="  "))
    if any(one.level is Level.FAILED for one in findings):
        raise SystemExit(EXIT_FAILED)


async def _examine(config: Config, *, send: bool) -> list[Finding]:
    telegram = asyncio.create_task(check_telegram(config.telegram, oncall(config.oncall).people.values()))
    named = asyncio.create_task(check_databases(config))
    found = [*check_disk(config), *check_files(config)]
    report: StatusReport | None = None
    sent: Finding | None = None
    try:
        async with _server(config) as dsn:
            if dsn is None:
                found.append(warning("database", msg("doctor-no-database"), msg("doctor-no-database-remedy")))
            else:
                sessions = await check_sessions(config.database)
                if any(one.level is Level.FAILED for one in sessions):
                    dsn = marked(dsn)  # what else there is to find is found as `pooling: transaction` would
                connection = await connect(dsn, application_name="dozor doctor")
                try:
                    sets = sets_for(config)
                    found += await check_server(connection, config.connections, sets)
                    found += sessions
                    schema = await check_schema(
                        dsn, connection, embedded=config.database.url is None, sets=sets
                    )
                    found += schema
                    if all(one.level is Level.OK for one in schema):
                        report = await read_status(connection)
                finally:
                    await disconnect(connection)
                found += await check_runner(config, report)
                if send and report is not None and report.runner is not None and report.runner.alive:
                    pool = await create_pool(dsn, max_size=1, application_name="dozor doctor")
                    sent = await send_through_runner(pool)
                    await pool.close()
    except StorageError as error:
        found.append(failed("database", str(error), msg("doctor-as-it-says")))
    seen = {} if report is None else {task.name: task for task in report.tasks}
    channels = await check_second_channel(config, send=send)
    found = [*await telegram, *channels, *found, *await named, *check_config(config, seen)]
    if send:
        found.append(sent or await send_directly(config))
    return found


@asynccontextmanager
async def _server(config: Config) -> AsyncIterator[str | None]:
    """The DSN; None if the embedded server has never been made. The doctor makes nothing."""
    if config.database.url is not None:
        yield dsn_of(config.database)
        return
    data_dir = config.database.data_dir
    server = await asyncio.to_thread(find_embedded, data_dir)
    if server is None:
        if not (data_dir / "data").exists():
            yield None
            return
        server = await asyncio.to_thread(start_embedded, data_dir)
    try:
        yield server.dsn
    finally:
        await asyncio.to_thread(server.release)


def _lines(one: Finding) -> str:
    match one.level:
        case Level.OK:
            sign = click.style("✓", fg="green")
        case Level.WARNING:
            sign = coloured("!", "yellow")
        case Level.FAILED:
            sign = click.style("✖", fg="red", bold=True)
        case _:
            assert_never(one.level)
    about = msg(ABOUT[one.about]) if one.about in ABOUT else one.about
    remedy = f"\n  → {one.remedy}" if one.remedy else ""
    return f"{sign} {about}: {one.text}{remedy}"


ABOUT = {
    "token": "doctor-about-token",
    "clock": "doctor-about-clock",
    "privacy mode": "doctor-about-privacy-mode",
    "webhook": "doctor-about-webhook",
    "chat": "doctor-about-chat",
    "rights": "doctor-about-rights",
    "writing": "doctor-about-writing",
    "topic": "doctor-about-topic",
    "roles": "doctor-about-roles",
    "oncall": "doctor-about-oncall",
    "database": "doctor-about-database",
    "databases": "doctor-about-databases",
    "version": "doctor-about-version",
    "server": "doctor-about-server",
    "sessions": "doctor-about-sessions",
    "connections": "doctor-about-connections",
    "latency": "doctor-about-latency",
    "schema": "doctor-about-schema",
    "privileges": "doctor-about-privileges",
    "disk": "doctor-about-disk",
    "files": "doctor-about-files",
    "runner": "doctor-about-runner",
    "tasks": "doctor-about-tasks",
    "alerts": "doctor-about-alerts",
    "web": "doctor-about-web",
    "ready": "doctor-about-ready",
    "poll": "doctor-about-poll",
    "test": "doctor-about-test",
    "config": "doctor-about-config",
    "second channel": "doctor-about-second-channel",
}
"""What a finding is about -> its name. Names of tasks and keys stay as they are."""
