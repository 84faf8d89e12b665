"""`dozor migrate`: the schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dozor.cli.terminal.options import EXIT_FAILED, config_option
from dozor.cli.terminal.session import run_async
from dozor.language import msg

if TYPE_CHECKING:
    from dozor.storage.postgres.pool import Connection


@click.command(help=msg("cli-help-migrate"))
@config_option
@click.option("--check", "only_check", is_flag=True, help=msg("cli-help-migrate-check"))
@click.option("--post", is_flag=True, help=msg("cli-help-migrate-post"))
@click.option(
    "--schema", "schemas", multiple=True, metavar=msg("cli-metavar-name"), help=msg("cli-help-migrate-schema")
)
def migrate(config_path: Path, *, only_check: bool, post: bool, schemas: tuple[str, ...]) -> None:
    """Bring the database's schema up to date: the core's, and those of the packages that tasks use."""
    run_async(_migrate(config_path, only_check=only_check, post=post, schemas=schemas))


async def _others(connection: Connection) -> Sequence[str]:
    from dozor.app.surroundings import VERSION
    from dozor.cluster.versions import other_versions

    return await other_versions(connection, VERSION)


async def _migrate(config_path: Path, *, only_check: bool, post: bool, schemas: tuple[str, ...]) -> None:
    from dozor.cli.terminal.progress import Progress
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
                click.echo(msg("cli-to-take-over", name=name))
            for name in report.pending:
                click.echo(msg("cli-to-apply", name=name))
            for name in report.post:
                click.echo(msg("cli-to-apply-post", name=name))
            if not report.up_to_date or (post and report.post):
                raise SystemExit(EXIT_FAILED)
        else:
            report = await schema.check(database.dsn, sets)
            with Progress(msg("cli-progress-migrate")) as progress:
                progress.expect(len(report.pending) + (len(report.post) if post else 0))
                done = await schema.migrate(
                    database.dsn,
                    sets,
                    progress.step,
                    post=_others if post else None,
                )
            for name in done.taken_over:
                click.echo(msg("cli-taken-over", name=name))
            for name in done.applied:
                click.echo(msg("cli-applied", name=name))
            for name in () if post else report.post:
                click.echo(msg("cli-to-apply-post", name=name))
            if done.taken_over or done.applied:
                return
        click.echo(msg("cli-schema-current"))
    finally:
        await database.close()
