"""Attachments: a text too long for its message, as a file."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

from dozor.alerting.model.full_text import KEPT, WHOLE
from dozor.alerting.model.message import Document
from dozor.alerting.model.notification import Notification
from dozor.alerting.model.safe_text import printable, shorten
from dozor.language.translator import Translator

NOTE_UNITS = 120
"""Kept free under a message that has a file, for the line that says so."""

_UNFIT_FOR_A_NAME = re.compile(r"[^\w.-]+")


def as_document(note: Notification, whole: str, translator: Translator, timezone: tzinfo) -> Document:
    """`whole` as a file under the message about `note`, fit to be read; it says where it is cut."""
    text, facts = printable(whole), note.facts
    if len(whole) > WHOLE:
        text = f"{text[:WHOLE]}\n\n{translator.format('file-cut', count=WHOLE)}"
    elif facts.whole is None and len(facts.error_text or "") >= KEPT:
        text = f"{text}\n\n{translator.format('file-cut', count=KEPT)}"
    at = datetime.fromtimestamp(note.created_at, timezone)
    name = _UNFIT_FOR_A_NAME.sub("_", note.task or "dozor")[:60]
    line = shorten(translator.format("file-note"), NOTE_UNITS - 1)
    return Document(f"{name}-{at:%Y-%m-%d-%H%M%S}.txt", text, line)
