"""`dozor migrate`: the schema."""

from __future__ import annotations

from pathlib import Path

import click

from dozor.cli.options import EXIT_FAILED, config_option
from dozor.cli.session import run_async


@click.command()
@config_option
@click.option(
    "--check", "only_check", is_flag=True, help="Change nothing; exit 1 if something is to be done."
)
@click.option(
    "--schema",
    "schemas",
    multiple=True,
    metavar="NAME",
    help="Also a schema that no task of the configuration uses, such as market. May be given several times.",
)
def migrate(config_path: Path, *, only_check: bool, schemas: tuple[str, ...]) -> None:
    """Bring the database's schema up to date: the core's, and those of the packages that tasks use."""
    run_async(_migrate(config_path, only_check=only_check, schemas=schemas))


async def _migrate(config_path: Path, *, only_check: bool, schemas: tuple[str, ...]) -> None:
    from dozor.config import load
    from dozor.errors import SchemaError
    from dozor.storage.postgres import migrate as schema
    from dozor.storage.postgres.database import Database
    from dozor.storage.postgres.migration_sets import sets_for, sets_named

    config = load(config_path)
    # Once each, the core first.
    sets = tuple(dict.fromkeys((*sets_for(config), *sets_named(schemas))))
    database = await Database.open(config.database)
    try:
        if only_check:
            report = await schema.check(database.dsn, sets)
            if report.refusal is not None:
                raise SchemaError(report.refusal)
            for name in report.inherited:
                click.echo(f"to be taken over from version 0.1: {name}")
            for name in report.pending:
                click.echo(f"to be applied: {name}")
            if not report.up_to_date:
                raise SystemExit(EXIT_FAILED)
        else:
            done = await schema.migrate(database.dsn, sets)
            for name in done.taken_over:
                click.echo(f"taken over from version 0.1: {name}")
            for name in done.applied:
                click.echo(f"applied: {name}")
            if done.taken_over or done.applied:
                return
        click.echo("The schema is up to date")
    finally:
        await database.close()
