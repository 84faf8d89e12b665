"""`dozor service install`: prints a systemd unit for a configuration, and writes it with `--write`."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import assert_never

import click

from dozor.cli.service.unit import PACKAGED, SYSTEM_FOLDER, Unit, checked_name, render, user_folder
from dozor.cli.terminal.layout import commented, fitted, output_width
from dozor.cli.terminal.options import config_option
from dozor.config import Config, load
from dozor.config.source.interpolation import names_in_references
from dozor.errors import CommandRefusedError
from dozor.language import msg

ENV_FILE = ".env"
DEFAULT_USER = "dozor"
"""Of a system unit whose configuration belongs to root; as in deploy/dozor.service."""
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.ASCII)


class Written(Enum):
    """What became of the file."""

    NEW = auto()
    REPLACED = auto()
    SAME = auto()


def _name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    try:
        return checked_name(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(help=msg("setup-help-service-install"))
@config_option
@click.option("--user", "user_unit", is_flag=True, help=msg("setup-help-service-user"))
@click.option(
    "--name",
    default="dozor",
    show_default=True,
    callback=_name,
    metavar=msg("cli-metavar-name"),
    help=msg("setup-help-service-name"),
)
@click.option("--write", is_flag=True, help=msg("setup-help-service-write"))
@click.option("--force", is_flag=True, help=msg("setup-help-service-force"))
def install(config_path: Path, *, user_unit: bool, name: str, write: bool, force: bool) -> None:
    """Print a systemd unit for the configuration; with --write, write it. Starts nothing."""
    unit, notes = _unit_for(config_path, user_unit=user_unit, name=name)
    folder = _user_folder() if user_unit else SYSTEM_FOLDER
    text, path = render(unit), folder / unit.file_name
    click.echo(text)
    if write:
        done = write_unit(path, text, PACKAGED[user_unit], force=force)
        _say(_done_text(done, path))
    else:
        _say(msg("setup-service-not-written", path=path))
        click.echo(f"  {_again(unit)}", err=True)
    for note in notes:
        _say(note)
    _say(msg("setup-next" if write else "setup-service-then"))
    columns = output_width()
    for line in next_commands(unit):
        click.echo(commented(f"  {line}", columns), err=True)


def _say(text: str) -> None:
    """Beside the unit, which alone is on standard output."""
    click.echo(fitted(text, sys.stderr), err=True)


def _unit_for(config_path: Path, *, user_unit: bool, name: str) -> tuple[Unit, list[str]]:
    """The unit, and what is to be said about it. Raises ConfigError as `dozor check`, CommandRefusedError."""
    path = config_path.absolute()
    env_file = path.parent / ENV_FILE
    given = read_env_file(env_file) if os.path.lexists(env_file) else None
    config = load(config_path, {**os.environ, **(given or {})})
    path = Path(os.path.normpath(path))
    env_file = path.parent / ENV_FILE
    unit = Unit(
        name,
        user_unit,
        program(),
        path,
        None if given is None else env_file,
        run_as=_owner(path),
        writable=() if user_unit else tuple(_writable(config)),
    )
    return unit, list(_notes(config, given, env_file))


def read_env_file(path: Path) -> dict[str, str]:
    """The assignments in a file for EnvironmentFile= of systemd, which reads `NAME=value` lines only.

    Raises CommandRefusedError if it cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise CommandRefusedError(
            msg("setup-cannot-read", path=path, reason=error.strerror or str(error))
        ) from None
    except ValueError:
        raise CommandRefusedError(msg("setup-cannot-read", path=path, reason=msg("setup-not-text"))) from None
    found = {}
    for line in text.splitlines():
        match = _ASSIGNMENT.fullmatch(line.strip())
        if match is not None:
            found[match[1]] = _unquoted(match[2].strip())
    return found


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def program() -> tuple[str, ...]:
    """How this program is called: the script beside the interpreter, else the interpreter with `-m dozor`.

    Links are kept: a virtual environment's interpreter is one.
    """
    script = Path(sys.executable).with_name("dozor")
    if script.is_file() and os.access(script, os.X_OK):
        return (str(script),)
    return (sys.executable, "-m", "dozor")


def _owner(path: Path) -> str:
    """The user a system unit runs as: the owner of the configuration, DEFAULT_USER if that is root."""
    number = path.stat().st_uid
    if number == 0:
        return DEFAULT_USER
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _writable(config: Config) -> Iterator[Path]:
    """Folders that exist and in which the runner makes or changes files, apart from its StateDirectory."""
    wanted = [] if config.database.url is not None else [config.database.data_dir]
    if config.state_dir is not None:
        wanted.append(config.state_dir)
    found = []
    for folder in wanted:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        found.append(folder)
    yield from dict.fromkeys(found)


def _notes(config: Config, given: Mapping[str, str] | None, env_file: Path) -> Iterator[str]:
    """About secrets: where they come from, which are missing there, who can read the file."""
    wanted = {name for text in config.filled.values() for name in names_in_references(text)}
    missing = sorted(name for name in wanted if os.environ.get(name) and not (given or {}).get(name))
    if given is not None:
        yield msg("setup-service-env-file", path=env_file)
        mode = env_file.stat().st_mode
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            command = f"chmod 0600 {shlex.quote(str(env_file))}"
            yield msg("setup-service-env-open", path=env_file, command=command)
    elif wanted:
        yield msg("setup-service-no-env-file", path=env_file)
    if missing:
        yield msg("setup-service-env-missing", names=", ".join(missing), path=env_file)


def _user_folder() -> Path:
    try:
        home = Path.home()
    except RuntimeError:
        raise CommandRefusedError(msg("setup-service-no-home")) from None
    return user_folder(home, os.environ.get("XDG_CONFIG_HOME"))


def write_unit(path: Path, text: str, packaged: tuple[Path, ...], *, force: bool) -> Written:
    """Write it as a whole or not at all. Raises CommandRefusedError if another file is there, or the place
    cannot be written; the same file is left alone."""
    there = os.path.lexists(path)
    if there and _content(path) == text:
        return Written.SAME
    for taken in (path, *(folder / path.name for folder in packaged)):
        if os.path.lexists(taken) and not force:
            raise CommandRefusedError(msg("setup-service-in-the-way", path=taken))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with part.open("x", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, PermissionError) and os.geteuid() != 0:
            reason = msg("setup-service-not-root", reason=error.strerror or str(error))
        else:
            reason = error.strerror or str(error)
        raise CommandRefusedError(msg("setup-cannot-write", path=path, reason=reason)) from None
    return Written.REPLACED if there else Written.NEW


def _content(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None


def _done_text(done: Written, path: Path) -> str:
    match done:
        case Written.NEW:
            return msg("setup-service-written", path=path)
        case Written.REPLACED:
            return msg("setup-service-replaced", path=path)
        case Written.SAME:
            return msg("setup-service-same", path=path)
        case _:
            assert_never(done)


def _again(unit: Unit) -> str:
    """The command that writes it."""
    words = [*unit.command, "service", "install", "-c", str(unit.config)]
    if unit.user_unit:
        words.append("--user")
    if unit.name != "dozor":
        words += ["--name", unit.name]
    command = shlex.join([*words, "--write"])
    return command if unit.user_unit or os.geteuid() == 0 else f"sudo {command}"


def next_commands(unit: Unit) -> list[str]:
    """What starts it, and shows its log."""
    if unit.user_unit:
        return [
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {unit.name}",
            f"loginctl enable-linger  # {msg('setup-service-linger')}",
            f"journalctl --user -u {unit.name} -f",
        ]
    commands = [
        "systemctl daemon-reload",
        f"systemctl enable --now {unit.name}",
        f"journalctl -u {unit.name} -f",
    ]
    if unit.run_as == DEFAULT_USER and not _exists(DEFAULT_USER):
        commands.insert(0, f"useradd --system --home-dir /var/lib/{unit.name} {DEFAULT_USER}")
    root = os.geteuid() == 0
    return commands if root else [f"sudo {one}" for one in commands]


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
