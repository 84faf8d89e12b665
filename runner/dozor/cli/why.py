"""`dozor why ID`: why an incident's messages were sent, edited, muted, grouped or not sent."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dozor.cli.terminal.layout import fitted
from dozor.cli.terminal.options import config_option
from dozor.cli.terminal.session import database, run_async
from dozor.errors import CommandRefusedError
from dozor.language import msg
from dozor.language.translator import Translator

if TYPE_CHECKING:
    from dozor.config import Config
    from dozor.control.queries.why import Why

DIGITS = 18
"""Of the longest id: more are none."""


@click.command(help=msg("cli-help-why"))
@config_option
@click.argument("incident", metavar=msg("cli-metavar-id"))
@click.option("--json", "as_json", is_flag=True)
def why(config_path: Path, incident: str, *, as_json: bool) -> None:
    """Why messages about incident ID were sent or not, step by step."""
    number = incident.removeprefix("#")
    known = int(number) if number.isascii() and number.isdecimal() and len(number) <= DIGITS else 0
    config, found = run_async(_read(config_path, known))
    if found is None:
        raise CommandRefusedError(Translator(config.language).format("why-no-incident", id=incident[:60]))
    click.echo(
        json.dumps(found.to_json(), ensure_ascii=False, indent=2)
        if as_json
        else fitted(_text(config, found), hanging="  ")
    )


async def _read(config_path: Path, number: int) -> tuple[Config, Why | None]:
    from dozor.control.queries.why import read_why

    async with database(config_path) as (config, pool), pool.acquire() as connection:
        return config, await read_why(connection, number, time.time())


def _text(config: Config, found: Why) -> str:
    from dozor.alerting.rendering.decisions import why_lines, why_title
    from dozor.alerting.rendering.phrases import Phrasebook
    from dozor.control.alert_settings import oncall
    from dozor.control.queries.people import place_name

    say = Phrasebook(Translator(config.language), config.timezone, time.time(), found.names.get)
    lines = [why_title(say, found.id, found.task, found.kind)]
    if found.left_out:
        lines.append(say("why-left-out", count=found.left_out))
    people = oncall(config.oncall, config.telegram).places
    lines += why_lines(
        say, found.decisions, lambda place: people.get(place) or place_name(place, found.names.get)
    )
    return "\n".join(lines if found.decisions else [*lines, say("why-nothing")])
