"""What the commands share: the lazily loaded group, the config option, errors as one line."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dozor.errors import ConfigError, DozorError

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_HUNG = 70
"""EX_SOFTWARE of sysexits.h: the service manager is to start it anew."""


class DozorGroup(click.Group):
    """Commands by "module:name", imported when they are called or listed in help.

    A `DozorError` ends the command with its message on standard error: exit 2 for a bad configuration,
    1 for everything else.
    """

    def __init__(self, *args: Any, commands_in: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_in = commands_in

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands_in)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self._commands_in.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(str(error), err=True)
            ctx.exit(EXIT_CONFIG)
        except DozorError as error:
            click.echo(f"dozor: {error}", err=True)
            ctx.exit(EXIT_FAILED)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-c FILE`, by default config.yaml in the current folder."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("config.yaml"),
        show_default=True,
        help="The configuration.",
    )(command)
