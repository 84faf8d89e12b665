"""`dozor errors NAME`: the last errors of a task, the same ones counted."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dozor.cli.terminal.completion import complete_task
from dozor.cli.terminal.layout import fitted, indented, output_width
from dozor.cli.terminal.options import config_option
from dozor.cli.terminal.session import database, known_names, run_async
from dozor.cli.terminal.task_names import the_task
from dozor.cli.terminal.times import in_zone
from dozor.clock import to_iso
from dozor.config import Config
from dozor.control.queries.history import ErrorGroup, read_errors
from dozor.language import msg
from dozor.tracebacks import error_line


@click.command(help=msg("cli-help-errors"))
@config_option
@click.argument("name", shell_complete=complete_task, metavar=msg("cli-metavar-name"))
@click.option("--json", "as_json", is_flag=True, help=msg("cli-help-json"))
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    metavar=msg("cli-metavar-number"),
    help=msg("cli-help-limit"),
)
def errors(config_path: Path, name: str, limit: int, *, as_json: bool) -> None:
    """The last errors of a task, the same ones counted, the newest first."""
    config, task, groups = run_async(_read(config_path, name, limit))
    if as_json:
        click.echo(json.dumps([_json(one) for one in groups], ensure_ascii=False, indent=2))
    elif not groups:
        click.echo(msg("cli-no-errors", name=task))
    else:
        for one in groups:
            first, last = in_zone(one.first_at, config.timezone), in_zone(one.last_at, config.timezone)
            when = last if one.times == 1 else f"{first} … {last}"
            click.echo(fitted(f"×{one.times}  {when}", hanging="    "))
            click.echo(indented(error_line(one.error_type, one.error_text), output_width(), "  "))


async def _read(config_path: Path, word: str, limit: int) -> tuple[Config, str, list[ErrorGroup]]:
    async with database(config_path) as (config, pool):
        task = the_task(word, await known_names(config, pool))
        async with pool.acquire() as connection:
            return config, task, await read_errors(connection, task, limit=limit)


def _json(one: ErrorGroup) -> dict[str, object]:
    return {
        "error_type": one.error_type,
        "error_text": one.error_text,
        "times": one.times,
        "first_at": to_iso(one.first_at),
        "last_at": to_iso(one.last_at),
    }
