"""`dozor migrate`: the schema."""

from __future__ import annotations

from pathlib import Path

import click

from dozor.cli.options import EXIT_FAILED, config_option
from dozor.cli.session import run_async
from dozor.language import msg


@click.command(help=msg("cli-help-migrate"))
@config_option
@click.option("--check", "only_check", is_flag=True, help=msg("cli-help-migrate-check"))
def migrate(config_path: Path, *, only_check: bool) -> None:
    """Bring the database's schema up to date."""
    run_async(_migrate(config_path, only_check=only_check))


async def _migrate(config_path: Path, *, only_check: bool) -> None:
    from dozor.config import load
    from dozor.errors import SchemaError
    from dozor.storage.postgres import migrate as schema
    from dozor.storage.postgres.database import Database

    database = await Database.open(load(config_path).database)
    try:
        report = await schema.check(database.dsn)
        if report.refusal is not None:
            raise SchemaError(report.refusal)
        if only_check:
            for name in report.pending:
                click.echo(msg("cli-to-apply", name=name))
            if report.pending:
                raise SystemExit(EXIT_FAILED)
        else:
            for name in await schema.migrate(database.dsn):
                click.echo(msg("cli-applied", name=name))
        if not report.pending:
            click.echo(msg("cli-schema-current"))
    finally:
        await database.close()
