"""Converts an exception to text: type, causes, place in the user's own code, and traceback."""

from __future__ import annotations

from collections.abc import Callable

from dozor.exceptions import bounded, described_causes, is_fatal, place_of, tamed, text_of, type_name
from dozor.language import msg
from dozor.supervision.core.state import Failure
from dozor.supervision.runs.failures.remote_failure import RemoteError, redacted
from dozor.tracebacks import formatted

MAX_TEXT = 2_000
MAX_TRACEBACK = 60_000


def describe(error: BaseException, redact: Callable[[str], str], *, timed_out: bool = False) -> Failure:
    """`error` as a `Failure`; never raises, whatever the exception's own `__str__` does.

    Of an exception group the text names the members, of one that was raised from another its causes, each
    with its place. A `Fatal` among them makes the failure fatal.
    """
    error = tamed(error)
    if isinstance(error, RemoteError):
        return redacted(error.failure, redact)
    return Failure(
        error_type=redact(type_name(error)),
        error_text=text_of(error, MAX_TEXT, redact) if timed_out else _text(error, redact),
        where=redact(place_of(error)),
        traceback=_cut(redact(_traceback(bounded(error, redact)))),
        timed_out=timed_out,
        fatal=not timed_out and is_fatal(error),
    )


def _text(error: BaseException, redact: Callable[[str], str]) -> str:
    own, causes = text_of(error, MAX_TEXT, redact), described_causes(error, redact)
    if not causes:
        return own
    key = "log-members" if isinstance(error, BaseExceptionGroup) else "log-caused-by"
    told = msg(key, causes=causes)
    return f"{own[: max(MAX_TEXT // 2, MAX_TEXT - len(told) - 1)]} {told}"[:MAX_TEXT].strip()


def _traceback(error: BaseException) -> str:
    try:
        return formatted(error)
    except Exception as nested:  # noqa: BLE001 -- a checker's own exception may do anything
        return msg("log-no-traceback", error=type(nested).__name__)


def _cut(text: str) -> str:
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    return f"{text[:half]}\n{msg('log-left-out', count=len(text) - MAX_TRACEBACK)}\n{text[-half:]}"
