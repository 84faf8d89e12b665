"""`${NAME}`, `${NAME:-default}` and `${file:PATH}` in a value of the configuration."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dozor.language import msg

FILE_LIMIT = 1024 * 1024
"""Bytes: a secret is small, and `${file:/dev/zero}` must end."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a reference was filled in with. `from_file`: by `${file:…}`, else from the environment."""

    value: str
    from_file: bool


def _forms() -> str:
    return msg("config-reference-forms")


def has_reference(text: str) -> bool:
    return "${" in text


def interpolate(text: str, env: Mapping[str, str], folder: Path, found: list[Reference] | None = None) -> str:
    """`text` with every reference filled in; `$${` becomes a literal `${`.

    A default stands in for a variable that is unset or empty, as in a shell. The path
    of a file is relative to `folder`; the newlines at its end are dropped. `found` gets what was filled in,
    defaults apart: those are in the configuration file for everybody to read.
    Raises ValueError for an unset variable, an unreadable file, a malformed reference.
    """

    found = [] if found is None else found

    def fill(match: re.Match[str]) -> str:
        whole = match.group(0)
        if whole == "$${":
            return "${"
        inside: str | None = match.group(1)
        if inside is None:
            raise ValueError(msg("config-reference-open", forms=_forms()))
        if inside.startswith("file:"):
            content = _read(inside.removeprefix("file:").strip(), folder)
            found.append(Reference(content, from_file=True))
            return content
        name, separator, default = inside.partition(":-")
        if not _NAME.fullmatch(name):
            raise ValueError(msg("config-reference-unknown", whole=whole, forms=_forms()))
        value = env.get(name)
        if value:
            found.append(Reference(value, from_file=False))
        if separator:
            value = value or default
        if value is None:
            raise ValueError(msg("config-variable-unset", name=name))
        return _storable(value, name)

    return _REFERENCE.sub(fill, text)


def names_in_references(text: str) -> set[str]:
    """Names of the variables that `text` refers to."""
    inside = (match.group(1) for match in _REFERENCE.finditer(text))
    names = {found.partition(":-")[0] for found in inside if found and not found.startswith("file:")}
    return {name for name in names if _NAME.fullmatch(name)}


def _read(name: str, folder: Path) -> str:
    if not name or "\0" in name:
        raise ValueError(msg("config-reference-no-file"))
    path = folder / name
    if name.startswith("~/"):
        path = Path(name).expanduser()
    try:
        # Without O_NONBLOCK a FIFO that nobody writes to would be waited for without end.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(msg("config-secret-not-a-file", path=path))
            data = file.read(FILE_LIMIT + 1)
        if len(data) > FILE_LIMIT:
            raise ValueError(msg("config-secret-too-large", path=path))
        text = data.decode()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(msg("config-secret-unreadable", path=path, reason=reason)) from None
    except UnicodeDecodeError:
        raise ValueError(msg("config-secret-encoding", path=path)) from None
    return _storable(text.rstrip("\r\n"), str(path))


def _storable(value: str, source: str) -> str:
    if "\0" in value or not _encodable(value):
        raise ValueError(msg("config-value-encoding", source=source))
    return value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
