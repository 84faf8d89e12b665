"""`dozor replicas`: leader, standbys and workers of the cluster."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from dozor.cli.terminal.layout import fitted, output_width, wrapped
from dozor.cli.terminal.options import EXIT_FAILED, config_option
from dozor.cli.terminal.session import NoDatabaseError, database, run_async
from dozor.cli.terminal.words import span
from dozor.cluster.replicas import ReplicaRole, ReplicaRow
from dozor.control.queries.cluster import ClusterReport, cluster_line, read_cluster
from dozor.language import Translator, msg
from dozor.language.process import language_in_use

ROLES = {
    ReplicaRole.LEADER: "cli-replica-leader",
    ReplicaRole.STANDBY: "cli-replica-standby",
    ReplicaRole.WORKER: "cli-replica-worker",
}
NOBODY = ClusterReport(0, None, ())


@click.command(help=msg("cli-help-replicas"))
@config_option
@click.option("--json", "as_json", is_flag=True, help=msg("cli-help-json"))
def replicas(config_path: Path, *, as_json: bool) -> None:
    """The replicas of the cluster. Exit 1 if none leads."""
    try:
        zone, report = run_async(_read(config_path))
    except NoDatabaseError as error:
        click.echo(f"dozor: {error}", err=True)
        raise SystemExit(EXIT_FAILED) from None
    if as_json:
        click.echo(json.dumps((report or NOBODY).to_json(), ensure_ascii=False, indent=2))
    elif report is None:
        click.echo(fitted(msg("cli-no-replicas"), sys.stderr), err=True)
    else:
        for line in _lines(report, zone):
            click.echo(line)
    if report is None or report.leading_since is None:
        raise SystemExit(EXIT_FAILED)


async def _read(config_path: Path) -> tuple[ZoneInfo, ClusterReport | None]:
    async with database(config_path) as (config, pool):
        return config.timezone, await read_cluster(pool)


def _lines(report: ClusterReport, zone: ZoneInfo) -> list[str]:
    def clock(at: float) -> str:
        return f"{datetime.fromtimestamp(at, zone):%H:%M %Z}"

    line = cluster_line(report, Translator(language_in_use()), clock)
    return [wrapped(line, output_width()), *map(_line, report.replicas)]


def _line(row: ReplicaRow) -> str:
    where = msg("cli-replica-where", host=row.host, pid=str(row.pid), version=row.version)
    told = f"  {row.name}  {msg(ROLES[row.role])}  {where}"
    if row.lost:
        lost = msg("cli-replica-lost", time=span(row.silent_for))
        return click.style(fitted(f"{told}  {lost}", hanging="  "), fg="red")
    return fitted(told, hanging="  ")
