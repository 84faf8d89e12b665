"""`dozor schema`: the JSON Schema of config.yaml, for editors."""

from __future__ import annotations

import json

import click

from dozor.language import msg


@click.command(help=msg("setup-help-schema"))
def schema() -> None:
    """Print the JSON Schema of config.yaml."""
    from dozor.config.schema import json_schema

    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=1))
