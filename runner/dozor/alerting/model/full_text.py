"""A text longer than a message: what the message may show of it, and the whole of it for a file."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, tzinfo

from dozor.alerting.model.message import Document
from dozor.alerting.model.notification import Facts, Notification, NotificationKind
from dozor.alerting.model.safe_text import clean, legible, shorten, units
from dozor.language.translator import Translator

KEPT = 2_000
"""Characters that an incident keeps, and that a message is made of."""
WHOLE = 65_536
"""Characters kept for the file; one more is kept to know that there were more."""
ERROR_UNITS = 700
"""UTF-16 units of an error's text that a message shows."""

NOTE_UNITS = 120
"""Kept free under a message that has a file, for the line that says so."""
_UNFIT_FOR_A_NAME = re.compile(r"[^\w.-]+")

WITH_A_FILE = frozenset(
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


def with_text(facts: Facts, whole: str, shown: str | None = None) -> Facts:
    """`whole` as the words of a message, or `shown` as those and `whole` in a file."""
    shown = whole if shown is None else shown
    if len(shown) > KEPT:
        shown = shorten(shown[: KEPT + 1], KEPT)
    return replace(facts, text=shown, whole=None if shown == whole else whole[: WHOLE + 1])


def error_line(error_type: str | None, error_text: str | None) -> str:
    """ "ConnectionError: timed out"."""
    return ": ".join(part for part in (error_type, error_text) if part)


def for_file(facts: Facts, traceback: str) -> str | None:
    """The traceback, if a message has no room for the error's text; it ends with the whole of that."""
    line = error_line(facts.error_type, facts.error_text)
    fits = 2 * len(line) <= ERROR_UNITS or units(clean(line)) <= ERROR_UNITS
    return None if fits else traceback[: WHOLE + 1] or None


def for_incident(facts: Facts) -> Facts:
    """Without the file: an incident is written often, and shown by messages that are edited."""
    return facts if facts.whole is None else replace(facts, whole=None)


def as_document(note: Notification, whole: str, translator: Translator, timezone: tzinfo) -> Document:
    """`whole` as a file under the message about `note`, fit to be read; it says where it is cut."""
    text, facts = legible(whole), note.facts
    if len(whole) > WHOLE:
        text = f"{text[:WHOLE]}\n\n{translator.format('file-cut', count=WHOLE)}"
    elif facts.whole is None and len(facts.error_text or "") >= KEPT:
        text = f"{text}\n\n{translator.format('file-cut', count=KEPT)}"
    at = datetime.fromtimestamp(note.created_at, timezone)
    name = _UNFIT_FOR_A_NAME.sub("_", note.task or "dozor")[:60]
    line = shorten(translator.format("file-note"), NOTE_UNITS - 1)
    return Document(f"{name}-{at:%Y-%m-%d-%H%M%S}.txt", text, line)
