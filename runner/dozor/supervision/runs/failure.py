"""An exception as text: what it was, where in the user's own code, and the whole traceback."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Callable

from dozor.errors import Fatal, root_cause
from dozor.language import msg
from dozor.supervision.core.state import Failure
from dozor.supervision.runs.remote_failure import RemoteError, redacted
from dozor.supervision.runs.stacks import SUPERVISION_FOLDER

MAX_TEXT = 2_000
MAX_TRACEBACK = 60_000

_NOT_THEIRS = tuple(
    {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
)


def describe(error: BaseException, redact: Callable[[str], str], *, timed_out: bool = False) -> Failure:
    """`error` as a `Failure`; never raises, whatever the exception's own `__str__` does."""
    if isinstance(error, RemoteError):
        return redacted(error.failure, redact)
    cause = root_cause(error)
    return Failure(
        error_type=type(cause).__name__,
        error_text=redact(_text(cause))[:MAX_TEXT],
        where=redact(_where(cause)) or redact(_where(error)),
        traceback=_cut(redact(_traceback(error))),
        timed_out=timed_out,
        fatal=isinstance(cause, Fatal),
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)[: 2 * MAX_TEXT]
    except Exception as nested:  # noqa: BLE001 -- a checker's own __str__ may do anything; said in the text
        return msg("log-str-raised", error=type(nested).__name__)


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as nested:  # noqa: BLE001 -- as above
        return msg("log-no-traceback", error=type(nested).__name__)


def _where(error: BaseException) -> str:
    theirs = any_frame = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = frame.f_code.co_filename
        if path.startswith(SUPERVISION_FOLDER):
            continue
        any_frame = f"{os.path.basename(path)}:{line} in {frame.f_code.co_name}"
        # A relative path is that of a compiled extension's source ("asyncpg/protocol/protocol.pyx").
        if os.path.isabs(path) and not path.startswith(_NOT_THEIRS):
            theirs = any_frame
    return theirs or any_frame


def _cut(text: str) -> str:
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    return f"{text[:half]}\n{msg('log-left-out', count=len(text) - MAX_TRACEBACK)}\n{text[-half:]}"
