"""A text longer than a message: what the message may show of it, and the whole of it for a file."""

from __future__ import annotations

from dataclasses import replace

from dozor.alerting.model.notification import Facts, NotificationKind
from dozor.alerting.model.safe_text import clean, shorten, utf16_length

KEPT = 2_000
"""Characters that an incident keeps, and that a message is made of."""
WHOLE = 65_536
"""Characters kept for the file; one more is kept to know that there were more."""
ERROR_UNITS = 700
"""UTF-16 units of an error's text that a message shows."""


ATTACHABLE = frozenset(
    {
        NotificationKind.REPEATED_ERRORS,
        NotificationKind.CRITICAL_STOP,
        NotificationKind.TROUBLE,
        NotificationKind.CHECKER,
        NotificationKind.RELOAD_REFUSED,
        NotificationKind.OTHER,
    }
)
"""Kinds that say something for the first time. What repeats it, or tells its end, brings no second file."""


def set_text(facts: Facts, whole: str, shown: str | None = None) -> Facts:
    """`whole` as the words of a message, or `shown` as those and `whole` in a file."""
    shown = whole if shown is None else shown
    if len(shown) > KEPT:
        shown = shorten(shown[: KEPT + 1], KEPT)
    return replace(facts, text=shown, whole=None if shown == whole else whole[: WHOLE + 1])


def error_line(error_type: str | None, error_text: str | None) -> str:
    """ "ConnectionError: timed out"."""
    return ": ".join(part for part in (error_type, error_text) if part)


def attachment_text(facts: Facts, traceback: str) -> str | None:
    """The traceback, if a message has no room for the error's text; it ends with the whole of that."""
    line = error_line(facts.error_type, facts.error_text)
    fits = 2 * len(line) <= ERROR_UNITS or utf16_length(clean(line)) <= ERROR_UNITS
    return None if fits else traceback[: WHOLE + 1] or None


def without_attachment(facts: Facts) -> Facts:
    """Without the file: an incident is written often, and shown by messages that are edited."""
    return facts if facts.whole is None else replace(facts, whole=None)
