"""`dozor init [DIR]`: a commented configuration, a checker of one's own, its test."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from dozor.cli.terminal.layout import commented, output_width, wrapped
from dozor.errors import CommandRefusedError
from dozor.extras import Extra, install_command, is_installed
from dozor.language import Language, msg
from dozor.language.process import from_environment, use_language

DATABASES = ("embedded", "url")
_FILES = {
    "config.yaml": "config.yaml",
    "checkers.py": "checkers.py.txt",
    "test_checkers.py": "test_checkers.py.txt",
    ".env.example": "env.example.txt",
}
"""What is written -> its template."""
_COMMENTS = {"embedded": "setup-comment-embedded", "url": "setup-comment-url"}
SCHEMA = "config.schema.json"
IGNORED = ".dozor/\n.env\n"
"""Of `.gitignore`, which is written only where there is none."""
_ZONES = Path("/usr/share/zoneinfo")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the files depend on. `database`: one of DATABASES."""

    language: Language
    timezone: str
    database: str


def _zone(ctx: click.Context | None, param: click.Parameter | None, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise click.BadParameter(msg("setup-no-zone", name=value)) from None


@click.command(help=msg("setup-help-init"))
@click.argument(
    "folder",
    required=False,
    type=click.Path(path_type=Path, file_okay=False),
    metavar=msg("setup-metavar-folder"),
)
@click.option("--yes", is_flag=True, help=msg("setup-help-yes"))
@click.option(
    "--language", type=click.Choice([one.value for one in Language]), help=msg("setup-help-language")
)
@click.option("--timezone", callback=_zone, metavar=msg("cli-metavar-name"), help=msg("setup-help-timezone"))
@click.option("--database", type=click.Choice(DATABASES), help=msg("setup-help-database"))
def init(
    folder: Path | None, *, yes: bool, language: str | None, timezone: str | None, database: str | None
) -> None:
    """Write a configuration, a checker and its test into DIR. Overwrites nothing."""
    folder = folder or Path()
    in_the_way = [name for name in (*_FILES, SCHEMA) if os.path.lexists(folder / name)]
    if in_the_way:
        raise CommandRefusedError(
            msg("setup-in-the-way", names=", ".join(str(folder / name) for name in in_the_way))
        )
    ask = not yes and sys.stdin.isatty()
    choices = _choices(ask=ask, language=language, timezone=timezone, database=database)
    use_language(choices.language)
    try:
        written = write(folder, choices)
    except OSError as error:
        where = error.filename or folder
        raise CommandRefusedError(
            msg("setup-cannot-write", path=where, reason=error.strerror or error)
        ) from None
    columns = output_width()
    click.echo(wrapped(msg("setup-written", folder=str(folder), names=", ".join(written)), columns))
    if missing := _not_ignored(folder):
        click.echo(wrapped(msg("setup-not-ignored", names=", ".join(missing)), columns))
    for line in _next_steps(folder, choices):
        click.echo(commented(line, columns))


def _choices(*, ask: bool, language: str | None, timezone: str | None, database: str | None) -> Choices:
    """What is not given is asked for, at most three questions; without a terminal it is found out."""
    spoken = Language(language) if language else from_environment(os.environ)
    if ask and language is None:
        kind = click.Choice([one.value for one in Language])
        spoken = Language(click.prompt(msg("setup-ask-language"), type=kind, default=spoken.value))
    use_language(spoken)
    zone = timezone or system_timezone()
    if ask and timezone is None:
        zone = click.prompt(msg("setup-ask-timezone"), default=zone, value_proc=_checked_zone)
    possible = is_installed(Extra.EMBEDDED)
    kept = database or ("embedded" if possible else "url")
    if ask and database is None and possible:
        kept = click.prompt(msg("setup-ask-database"), type=click.Choice(DATABASES), default=kept)
    return Choices(spoken, zone, kept)


def _checked_zone(value: str) -> str:
    return _zone(None, None, value) or ""


def write(folder: Path, choices: Choices) -> list[str]:
    """The names of the files written. Raises OSError; a file that appeared meanwhile is not overwritten."""
    template = files("dozor.cli").joinpath("template", choices.language.value)
    texts: dict[str, str] = {
        name: template.joinpath(source).read_text("utf-8") for name, source in _FILES.items()
    }
    line = "  url: embedded" if choices.database == "embedded" else "  url: ${DATABASE_URL}"
    comment = msg(_COMMENTS[choices.database])
    texts["config.yaml"] = (
        texts["config.yaml"]
        .replace("@database@", f"{line:<34} # {comment}")
        .replace("@timezone@", choices.timezone)
    )
    texts[SCHEMA] = _schema()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.path.lexists(folder / ".gitignore"):
        texts[".gitignore"] = IGNORED
    for name, text in texts.items():
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
    return list(texts)


def _not_ignored(folder: Path) -> list[str]:
    """What no line of an existing `.gitignore` covers: a token in `.env` would be committed."""
    try:
        text = (folder / ".gitignore").read_text("utf-8", errors="replace")
    except OSError:
        return IGNORED.split()
    patterns = [line.strip().strip("/") for line in text.splitlines()]
    return [name for name in IGNORED.split() if not any(fnmatch(name.strip("/"), one) for one in patterns)]


def _schema() -> str:
    from dozor.config.schema import json_schema

    return json.dumps(json_schema(), ensure_ascii=False, indent=1) + "\n"


def system_timezone() -> str:
    """The IANA name of this machine's timezone: TZ, /etc/timezone or /etc/localtime; else UTC."""
    candidates: list[Any] = [os.environ.get("TZ", "").removeprefix(":")]
    try:
        candidates.append(Path("/etc/timezone").read_text("utf-8").strip())
    except (OSError, ValueError):
        pass
    try:
        candidates.append(str(Path("/etc/localtime").resolve().relative_to(_ZONES.resolve())))
    except (OSError, ValueError):
        pass
    for name in candidates:
        try:
            if name and not name.startswith("posix/"):
                return ZoneInfo(name).key
        except (ValueError, OSError, KeyError):
            continue
    return "UTC"


def _next_steps(folder: Path, choices: Choices) -> list[str]:
    lines = ["", msg("setup-next")]
    if folder != Path():
        lines.append(f"  cd {shlex.quote(str(folder))}")
    if choices.database == "url":
        lines.append("  export DATABASE_URL=postgresql://…")
        lines.append(f"  dozor migrate          # {msg('setup-next-migrate')}")
        if not is_installed(Extra.EMBEDDED):
            lines.append(f"  # {msg('setup-next-embedded', command=install_command(Extra.EMBEDDED))}")
    lines += [
        f"  dozor try orders       # {msg('setup-next-try')}",
        f"  dozor run              # {msg('setup-next-run')}",
        f"  touch broken           # {msg('setup-next-break')}",
        "  rm broken; dozor restart orders",
        "  dozor telegram setup --write",
    ]
    return lines
