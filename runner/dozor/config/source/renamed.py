"""Import names of version 0.1, which called the packages `runner` and `bot`, and what they are since 0.2."""

from __future__ import annotations

import re
from importlib.util import find_spec
from types import TracebackType

from dozor.language import msg

OLD = "runner"
PUBLIC = frozenset({"Context", "Fatal", "Runner", "safe_background_task"})
"""What version 0.1 let people import from `runner` itself."""
_RENAMED = (  # the first that fits
    ("runner.checkers.context", "dozor.toolkit.context"),
    ("runner.checkers.toolkit", "dozor.toolkit"),
    ("runner.checkers", "dozor_market"),
    ("runner.demo", "dozor_market.demo"),
    ("runner", "dozor"),
)
_IMPORT = re.compile(r"^\s*(?:from|import)\s+(runner(?:\.\w+)*)\b")
_CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)' from 'runner'")


def new_name(module: str) -> str | None:
    """What `module` of version 0.1 is called now; None if it has no such name, or is gone."""
    for old, new in _RENAMED:
        if module == old or module.startswith(f"{old}."):
            name = new + module.removeprefix(old)
            return name if _exists(name) else None
    return None


def explain_import(error: ImportError, line: str) -> str | None:
    """One sentence for an import of Dozor's old name that failed; None for any other failure.

    `line`: the source that raised it. A user's own `runner` package is left alone, unless what is missing
    in it is one of Dozor's public names.
    """
    if (error.name or "").partition(".")[0] != OLD:
        return None
    if not isinstance(error, ModuleNotFoundError):
        missing = _CANNOT_IMPORT.search(str(error))
        if missing is None or missing[1] not in PUBLIC:
            return None
        return msg("config-renamed-name", name=missing[1])
    written = _IMPORT.match(line)
    old = written[1] if written is not None else str(error.name)
    new = new_name(old)
    if new is None:
        return None if error.name != OLD else msg("config-renamed-packages")
    return msg("config-renamed", old=old, new=new)


def last_line(traceback: TracebackType | None) -> tuple[str, int]:
    """File and line number of the innermost frame outside the import machinery; ("", 0) if there is none."""
    place = ("", 0)
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if not filename.startswith("<frozen importlib"):
            place = (filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is not there
        return False
