"""Texts longer than a message: the part that the message shows, and the full text for an attachment."""

from __future__ import annotations

from dozor.alerting.model.copies import replace
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.alerting.model.safe_text import clean, shorten, utf16_length
from dozor.tracebacks import error_line

KEPT = 2_000
"""Characters that an incident stores, and from which a message is made."""
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
"""Kinds of messages that may have an attachment; reminders and recoveries have none."""


def set_text(facts: AlertData, whole: str, shown: str | None = None) -> AlertData:
    """`whole` as the text of a message, or `shown` as the text and `whole` as its attachment."""
    shown = whole if shown is None else shown
    if len(shown) > KEPT:
        shown = shorten(shown[: KEPT + 1], KEPT)
    return replace(facts, text=shown, whole=None if shown == whole else whole[: WHOLE + 1])


def attachment_text(facts: AlertData, traceback: str) -> str | None:
    """The traceback, which ends with the full error text, if that does not fit into a message."""
    line = error_line(facts.error_type, facts.error_text)
    fits = 2 * len(line) <= ERROR_UNITS or utf16_length(clean(line)) <= ERROR_UNITS
    return None if fits else traceback[: WHOLE + 1] or None


def without_attachment(facts: AlertData) -> AlertData:
    """Without the attachment, which incidents do not store."""
    return facts if facts.whole is None else replace(facts, whole=None)
