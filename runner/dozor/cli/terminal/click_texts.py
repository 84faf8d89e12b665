"""What click itself prints (usage, errors, headings of help), in the language of this process."""

from __future__ import annotations

import re
import sys
from typing import IO, Any, TextIO, cast

import click
from click import core, decorators, exceptions, formatting, parser, types

from dozor.cli.terminal.layout import fitted
from dozor.language import Language, msg
from dozor.language.process import language_in_use

_PLACEHOLDER = re.compile(r"\{([a-z_]+)(?:![rs])?\}")

_KEYS = {
    "Usage:": "cli-click-usage",
    "Options": "cli-click-options",
    "Commands": "cli-click-commands",
    "Show this message and exit.": "cli-click-show-help",
    "Error: {message}": "cli-click-error",
    "Aborted!": "cli-click-aborted",
    "Try '{command} {option}' for help.": "cli-click-try-help",
    "Invalid value: {message}": "cli-click-invalid",
    "Invalid value for {param_hint}: {message}": "cli-click-invalid-for",
    "Missing command.": "cli-click-missing-command",
    "Missing argument": "cli-click-missing-argument",
    "Missing option": "cli-click-missing-option",
    "Missing parameter": "cli-click-missing-parameter",
    "No such option {name!r}.": "cli-click-no-option",
    "No such command {name!r}.": "cli-click-no-command",
    "Did you mean {possibility}?": "cli-click-did-you-mean",
    "(Did you mean one of: {possibilities}?)": "cli-click-did-you-mean-one",
    "Option {name!r} does not take a value.": "cli-click-takes-no-value",
    "Option {name!r} requires an argument.": "cli-click-needs-argument",
    "Option {name!r} requires {nargs} arguments.": "cli-click-needs-arguments",
    "Got unexpected extra argument ({args})": "cli-click-extra-argument",
    "Got unexpected extra arguments ({args})": "cli-click-extra-arguments",
    "{value!r} is not {choice}.": "cli-click-not-choice",
    "{value!r} is not one of {choices}.": "cli-click-not-choices",
    "{value!r} is not a valid {number_type}.": "cli-click-not-number",
    "{value} is not in the range {range}.": "cli-click-not-in-range",
    "{name} {filename!r} is a directory.": "cli-click-is-folder",
    "Choose from:\n\t{choices}": "cli-click-choose",
    "default: {default}": "cli-click-default",
    "env var: {var}": "cli-click-variable",
    "required": "cli-click-required",
}
"""Click's text -> ours. What is not here cannot come from our commands, or is a mistake of the program."""


def translate_click() -> None:
    """Have click print our texts, and its errors as wide as the terminal.

    It looks texts up with gettext, under these two names of each module.
    """
    vars(exceptions)["echo"] = _echo
    for module in (core, decorators, exceptions, formatting, parser, types):
        vars(module).update({"_": _gettext, "ngettext": _ngettext})


def _echo(text: str, file: IO[str] | None = None, **more: Any) -> None:
    """As `click.echo`, for messages of click: fitted to the terminal."""
    stream = file or sys.stdout
    if "\n" in text:  # usage, which click wraps: without the space it leaves at an end of line
        text = "\n".join(line.rstrip() for line in text.split("\n"))
    click.echo(fitted(text, cast("TextIO", stream)), file=file, **more)


def _gettext(text: str) -> str:
    key = _KEYS.get(text)
    if key is None or language_in_use() is Language.EN:
        return text
    # The placeholders stay: click fills them in.
    return msg(key, **{match[1]: match[0] for match in _PLACEHOLDER.finditer(text)})


def _ngettext(one: str, several: str, count: int) -> str:
    return _gettext(one if count == 1 else several)
