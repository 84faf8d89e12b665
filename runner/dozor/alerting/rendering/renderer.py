"""The message renderer: makes texts of notifications, in one language and timezone.

A defect in it never loses an alert: a plain text is sent then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import tzinfo
from urllib.parse import quote

from loguru import logger

from dozor.alerting.model.incident import Incident, IncidentState
from dozor.alerting.model.message import Message, Span, Style
from dozor.alerting.model.notification import Notification
from dozor.alerting.model.safe_text import clean, shorten, utf16_length
from dozor.alerting.policy.silences import Silence
from dozor.alerting.rendering.attachment import NOTE_UNITS
from dozor.alerting.rendering.live_message import buttons, live_notification
from dozor.alerting.rendering.phrases import NameOf, Phrasebook, no_names
from dozor.alerting.rendering.render import MESSAGE_UNITS, bounded, render
from dozor.clock import Clock
from dozor.language import msg
from dozor.language.translator import Translator
from dozor.storage.tables.incidents import StormGroup


class MessageRenderer:
    """`silence`: the active silence with an id. `name_of`: the name of a person who acted.

    `public_url`: where the status page is reached, without a slash at its end; None: messages hold no links.
    """

    def __init__(
        self,
        translator: Translator,
        timezone: tzinfo,
        clock: Clock,
        silence: Callable[[int], Silence | None] = lambda number: None,
        name_of: NameOf = no_names,
        public_url: str | None = None,
    ) -> None:
        self._public_url = public_url
        self._translator = translator
        self._timezone = timezone
        self._clock = clock
        self._silence = silence
        self._name_of = name_of

    def notification(self, notification: Notification, incident: Incident | None = None) -> Message:
        """The message as it was queued; with the buttons of `incident` as it is now."""
        try:
            now = self._clock.now()
            message = render(notification, self._translator, self._timezone, now, self._name_of)
            if self._public_url is not None and notification.task:
                message = _with_link(message, f"{self._public_url}/task/{quote(notification.task, safe='')}")
            if incident is not None:
                message = replace(message, buttons=buttons(incident, self._phrasebook()))
        except Exception as error:  # noqa: BLE001 -- the border around rendering, recorded
            logger.opt(exception=error).error(msg("log-no-words", key=notification.key))
            return fallback_message(notification)
        return message

    def live(self, incident: Incident, storm: Sequence[StormGroup] = (), *, retold: bool = False) -> Message:
        """What its live message is to show now. `retold`: it replaces one in another chat."""
        silence = None if incident.silenced_by is None else self._silence(incident.silenced_by)
        note = live_notification(incident, silence, storm)
        quiet = retold and incident.state is not IncidentState.OPEN
        note = replace(note, facts=replace(note.facts, retold=retold, quiet=note.facts.quiet or quiet))
        return self.notification(note, incident)

    def _phrasebook(self) -> Phrasebook:
        return Phrasebook(self._translator, self._timezone, self._clock.now())


def _with_link(message: Message, url: str) -> Message:
    """The URL as the last line; the text above it is cut if both do not fit."""
    line = Span(f"\n{url}")
    left = MESSAGE_UNITS - utf16_length(line.text) - (0 if message.document is None else NOTE_UNITS)
    return replace(message, spans=(*bounded(message.spans, left), line))


UNITS = 1000


def fallback_message(notification: Notification) -> Message:
    """Needs no translator and no timezone."""
    facts = notification.facts
    header = f"{notification.severity}: {notification.task or 'dozor'}: {notification.kind}"
    error = ": ".join(part for part in (facts.error_type, facts.error_text) if part)
    body = "\n".join(part for part in (error, facts.text) if part)
    return Message(
        spans=(Span(shorten(clean(header), 200), Style.BOLD), Span("\n" + shorten(clean(body), UNITS)))
    )
