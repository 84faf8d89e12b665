"""What the commands share: the lazily loaded group, the config option, errors as one line."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from dozor.cli.terminal.layout import fitted, indented
from dozor.errors import ConfigError, DozorError, root_cause
from dozor.language import msg

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_HUNG = 70
"""EX_SOFTWARE of sysexits.h: the service manager is to start it anew."""
EXIT_NO_RUNNER = 3
DEFAULT = Path("config.yaml")
VARIABLE = "DOZOR_CONFIG"
"""Names the configuration where `-c` does not."""


LONGEST_HELP = 500
"""Characters of a sentence that says what a command does."""
SIDE_BY_SIDE = 60
"""Columns from which an option and its explanation stand on one line."""


class HelpFormatter(click.HelpFormatter):
    """click's, with explanations below what they explain where the terminal is narrow."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        if self.width >= SIDE_BY_SIDE:
            super().write_dl(rows, col_max, col_spacing)
            return
        indent = " " * self.current_indent
        for term, text in rows:
            self.write(f"{indent}{term}\n")
            if text:
                self.write(f"{indented(text, self.width, indent + '    ')}\n")


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
        command.options_metavar = msg("cli-metavar-options")
        return command

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [msg("cli-metavar-options"), msg("cli-metavar-command")]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(msg("cli-help") if ctx.parent is None else self.help or "")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The first sentence of each command's help, whole: click cuts it to one line."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(LONGEST_HELP)) for name, one in found if one and not one.hidden]
        if rows:
            with formatter.section(msg("cli-click-commands")):
                formatter.write_dl(rows)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        for param in params:
            if isinstance(param, click.Option) and param.name == "version":
                param.help = msg("cli-help-version")
            if isinstance(param, click.Option) and param.name == "config_before":
                param.help, param.metavar = msg("cli-help-config"), msg("cli-metavar-file")
        return params

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):  # https://no-color.org: set and not empty
            ctx.color = False
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(fitted(str(error), sys.stderr, hanging="  "), err=True)
            ctx.exit(EXIT_CONFIG)
        except DozorError as error:
            click.echo(fitted(f"dozor: {error}", sys.stderr), err=True)
            ctx.exit(EXIT_FAILED)
        except Exception as error:
            text = _known(root_cause(error))
            if text is None:
                raise
            click.echo(fitted(f"dozor: {text}", sys.stderr), err=True)
            ctx.exit(EXIT_FAILED)


_OF_THE_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})
"""What the disk and the rights on it answer: not a defect of Dozor, so no traceback."""


def _known(error: BaseException) -> str | None:
    """What an error of Dozor, or of the database means to a person; None: it is a defect."""
    from dozor.storage.postgres.pool import connect_error_text, of_database

    if isinstance(error, DozorError):
        return str(error)
    if isinstance(error, OSError):  # of a file, perhaps: the database's are a StorageError by now
        if error.errno not in _OF_THE_MACHINE:
            return None
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"PostgreSQL: {connect_error_text(error)}" if of_database(error) else None


def show_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(msg("cli-version", program="dozor", version=metadata.version("dozor")))
        ctx.exit()


def default_configuration() -> Path:
    """The file that `dozor -c FILE COMMAND` or DOZOR_CONFIG names, or the default."""
    context = click.get_current_context(silent=True)
    before = None if context is None else context.find_root().params.get("config_before")
    return before or Path(os.environ.get(VARIABLE) or DEFAULT)


def configuration_named(arguments: Sequence[str]) -> Path:
    """The file that `-c` names among the arguments of the command line, DOZOR_CONFIG, or the default."""
    for place, argument in enumerate(arguments):
        if argument in ("-c", "--config"):
            return Path(arguments[place + 1]) if place + 1 < len(arguments) else default_configuration()
        if argument.startswith("--config="):
            return Path(argument.removeprefix("--config="))
        if argument.startswith("-c"):
            return Path(argument.removeprefix("-c").removeprefix("="))
    return default_configuration()


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-c FILE`; without it that of the group, DOZOR_CONFIG, or config.yaml in the current folder."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=default_configuration,
        show_default=str(DEFAULT),
        metavar=msg("cli-metavar-file"),
        help=msg("cli-help-config"),
    )(command)
