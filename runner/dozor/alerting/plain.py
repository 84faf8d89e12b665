"""The last resort: a notification as bare facts, when its words could not be found."""

from __future__ import annotations

from dozor.alerting.model.message import Message, Span, Style
from dozor.alerting.model.notification import Notification
from dozor.alerting.model.safe_text import clean, shorten

UNITS = 1000


def unrendered(notification: Notification) -> Message:
    """Needs no translator and no timezone."""
    facts = notification.facts
    header = f"{notification.severity}: {notification.task or 'dozor'}: {notification.kind}"
    error = ": ".join(part for part in (facts.error_type, facts.error_text) if part)
    body = "\n".join(part for part in (error, facts.text) if part)
    return Message(
        spans=(Span(shorten(clean(header), 200), Style.BOLD), Span("\n" + shorten(clean(body), UNITS)))
    )
