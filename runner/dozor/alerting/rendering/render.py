"""Renders a notification: the important first, readable on a lock screen, safe for any error text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import assert_never

from dozor.alerting.model.full_text import ATTACHABLE, ERROR_UNITS
from dozor.alerting.model.message import Button, Document, Message, Span, Style
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.model.safe_text import LONG, clean, one_line, shorten, utf16_length
from dozor.alerting.rendering import phrases, wording
from dozor.alerting.rendering import startup_phrases as start_phrases
from dozor.alerting.rendering.attachment import NOTE_UNITS, as_document
from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.alerting.rendering.phrases import (
    NAME_UNITS,
    REASON_UNITS,
    NameOf,
    Phrasebook,
    no_names,
    status_lines,
)
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.language.times import ahead, clock, duration
from dozor.language.translator import Translator
from dozor.tracebacks import error_line

MESSAGE_UNITS = 4096
"""Bot API: 4096 characters; counted here in UTF-16 units, which are never fewer."""
WHERE_UNITS = 200
HEADLINE_UNITS = 200
TEXT_UNITS = 3000


def render(
    notification: Notification,
    translator: Translator,
    timezone: tzinfo,
    now: float,
    name_of: NameOf = no_names,
) -> Message:
    """`now`: seconds since the epoch, for "in 60 s". Never raises for what `notification` holds."""
    view = _NotificationView(notification, Phrasebook(translator, timezone, now, name_of))
    header, lines = view.say()
    if isinstance(header, str):
        header = (Span(shorten(header, HEADLINE_UNITS + NAME_UNITS), Style.BOLD),)
    if notification.incident_id is not None:
        header = (*header, Span(" · " + translator.format("number", id=str(notification.incident_id))))
    spans = list(header)
    for line in [*lines, *status_lines(view.phrasebook, notification.facts)]:
        spans += [Span("\n"), line]
    if notification.possible_duplicate:
        spans += [Span("\n"), Span(translator.format("alert-duplicate"), Style.ITALIC)]
    document = view.document(spans)
    return Message(
        spans=bounded(spans, MESSAGE_UNITS if document is None else MESSAGE_UNITS - NOTE_UNITS),
        buttons=view.buttons(),
        silent=notification.facts.quiet or _silent(notification),
        document=document,
    )


def bounded(spans: Sequence[Span], limit: int) -> tuple[Span, ...]:
    """The spans as far as `limit` UTF-16 units reach, the last of them shortened; empty ones left out."""
    kept: list[Span] = []
    for span in spans:
        size = utf16_length(span.text)
        if size > limit:
            if limit > 0:
                kept.append(replace(span, text=shorten(span.text, limit)))
            break
        if size:
            kept.append(span)
            limit -= size
    return tuple(kept)


def who(translator: Translator, by: str, name_of: NameOf = no_names) -> str:
    """ "telegram:111" by name, else in words."""
    return Phrasebook(translator, UTC, 0.0, name_of).who(by)


def error_span(error_type: str | None, error_text: str | None, limit: int = ERROR_UNITS) -> Span | None:
    """ "ConnectionError: timed out", cut; None if there is no error."""
    cleaned = shorten(clean(error_line(error_type, error_text)), limit)
    return Span(cleaned, Style.CODE) if cleaned else None


class _NotificationView:
    """One notification while it is rendered."""

    def __init__(self, note: Notification, phrasebook: Phrasebook) -> None:
        self._note, self._facts = note, note.facts
        self.phrasebook = phrasebook
        self._translator, self._timezone, self._now = (
            phrasebook.translator,
            phrasebook.timezone,
            phrasebook.now,
        )
        self._task = shorten(one_line(note.task or ""), NAME_UNITS)
        self._cut: str | None = None
        # The full text of which the message shows a part.

    def say(self) -> tuple[str | tuple[Span, ...], list[Span]]:
        """The header and the lines under it."""
        text = self._translator.format
        facts = self._facts
        failures = facts.failures or 0
        if start_phrases.is_about_a_start(self._note):
            return start_phrases.report(self.phrasebook, self._note)
        match self._note.kind:
            case NotificationKind.REPEATED_ERRORS:
                header = text(
                    "alert-repeated",
                    sign=phrases.mark(self._note.severity),
                    task=self._task,
                    failures=failures,
                    since=self._since(),
                )
                return header, [*self._failure(), *self._next_restart()]
            case NotificationKind.CRITICAL_STOP:
                header = text(
                    "alert-stopped",
                    task=self._task,
                    failures=failures,
                    since=self._since(),
                )
                return header, [*self._failure(), *self._after_stop()]
            case NotificationKind.RECOVERED:
                return wording.over(self.phrasebook, self._note), self._recovery()
            case NotificationKind.FLAPPING:
                return self._flapping()
            case NotificationKind.TROUBLE:
                self._shorten(facts.text or "", REASON_UNITS)
                return phrases.trouble(self.phrasebook, self._task, facts, self._note.severity)
            case NotificationKind.STORM:
                return phrases.storm(self.phrasebook, self._note.severity, facts)
            case NotificationKind.PAST:
                header = wording.over(self.phrasebook, self._note)
                if wording.is_streak(self._note) and facts.ended is None:
                    header = text("alert-past", task=self._task or "Dozor")
                # Of a streak the recovery names the error already.
                error = self._where() if wording.is_streak(self._note) else self._error()
                return header, [*self._recovery(), *error, Span(text("alert-past-why"))]
            case NotificationKind.ESCALATION:
                what = wording.still(self.phrasebook, self._note)
                called, lines = phrases.escalation(self.phrasebook, what, facts, self._note.severity)
                return called, [*self._why(), *lines]
            case NotificationKind.SILENCE_OVER:
                return phrases.silence_over(self.phrasebook, facts)
            case NotificationKind.MORNING:
                return phrases.morning(self.phrasebook, facts)
            case NotificationKind.ALL_CLEAR:
                return phrases.all_clear(self.phrasebook, self._note.severity, facts)
            case NotificationKind.SUMMARY:
                return phrases.summary(self.phrasebook, facts)
            case NotificationKind.REMINDER:
                what = wording.still(self.phrasebook, self._note)
                return f"{wording.sign(self._note)} {what}", self._ack_expired()
            case NotificationKind.CHECKER:
                return self._checker()
            case NotificationKind.RUNNER_STARTED:
                return start_phrases.report(self.phrasebook, self._note)
            case NotificationKind.RELOADED:
                return phrases.reloaded(self.phrasebook, facts)
            case NotificationKind.RELOAD_REFUSED:
                return text("alert-reload-refused"), [*self._own_text(), Span(text("alert-reload-old"))]
            case NotificationKind.DROPPED:
                lines = [Span(text("alert-dropped-why"))]
                return text("alert-dropped"), lines + self._own_text()
            case NotificationKind.OTHER:
                header = text("alert-other", task=self._task or "Dozor")
                return header, [*self._failure(), *self._own_text()]
            case NotificationKind.TEST:
                return text("alert-test"), self._own_text()
            case _:
                assert_never(self._note.kind)

    def buttons(self) -> tuple[tuple[Button, ...], ...]:
        """Restart under what is stopped."""
        if start_phrases.is_about_a_start(self._note) or self._note.kind is NotificationKind.SUMMARY:
            return start_phrases.restarts(self.phrasebook, self._facts.stopped_tasks)
        if self._stopped and self._note.task:
            label = self._translator.format("button-restart")
            return ((Button(label, encode(Origin.ALERT, "restart", self._note.task)),),)
        return ()

    def document(self, spans: Sequence[Span]) -> Document | None:
        """The full text, if the message shows a part of it; None: everything fits."""
        whole = self._facts.whole or self._cut
        if whole is None or self._note.kind not in ATTACHABLE:
            whole = "".join(span.text for span in spans)
            if utf16_length(whole) <= MESSAGE_UNITS:
                return None
        return as_document(self._note, whole, self._translator, self._timezone)

    @property
    def _stopped(self) -> bool:
        kind = self._note.kind
        named = (NotificationKind.CRITICAL_STOP, NotificationKind.REMINDER, NotificationKind.ESCALATION)
        return kind in named and wording.is_stopped(self._note)

    def _flapping(self) -> tuple[str, list[Span]]:
        text, facts = self._translator.format, self._facts
        sign, why = phrases.mark(self._note.severity), Span(text("alert-flapping-why"))
        if wording.is_streak(self._note):
            header = text("alert-flapping", sign=sign, task=self._task, count=facts.occurrences)
            return header, [*self._failure(), why]
        header = text("alert-flapping-other", sign=sign, what=self._what(), count=facts.occurrences)
        return header, [*phrases.reason(facts), why]

    def _ack_expired(self) -> list[Span]:
        facts = self._facts
        if not facts.acknowledged_by or facts.acknowledged_until is not None:
            return []
        by = self.phrasebook.who(facts.acknowledged_by)
        return [Span(self._translator.format("alert-ack-expired", by=by))]

    def _failure(self) -> list[Span]:
        text, facts = self._translator.format, self._facts
        lines = self._ack_expired()
        if facts.window is not None:
            lines.append(Span(text("alert-window", window=facts.window)))
        elif facts.failures is not None and facts.max_failures is not None:
            lines.append(Span(text("alert-attempt", failures=facts.failures, max=facts.max_failures)))
        return lines + self._error()

    def _error(self) -> list[Span]:
        facts = self._facts
        error = self._shorten(error_line(facts.error_type, facts.error_text), ERROR_UNITS)
        return [*([Span(error, Style.CODE)] if error else []), *self._where()]

    def _where(self) -> list[Span]:
        if not self._facts.error_where:
            return []
        where = shorten(one_line(self._facts.error_where), WHERE_UNITS)
        return [Span(self._translator.format("alert-where", where=where))]

    def _next_restart(self) -> list[Span]:
        at = self._facts.next_run_at
        if at is None:
            return []
        distance = ahead(self._translator, at - self._now)
        return [Span(self._translator.format("alert-next-restart", at=self._clock(at), distance=distance))]

    def _after_stop(self) -> list[Span]:
        text, at = self._translator.format, self._facts.next_run_at
        if self._facts.by is not None:
            by = self.phrasebook.who(self._facts.by)
            return [Span(text("alert-restarted-waiting", by=by), Style.BOLD)]
        if at is not None:
            distance = ahead(self._translator, at - self._now)
            return [Span(text("alert-next-retry", at=self._clock(at), distance=distance))]
        if _gave_up_early(self._facts):
            return [Span(text("alert-next-person-fatal"), Style.BOLD)]
        return [Span(text("alert-next-person"), Style.BOLD)]

    def _began(self) -> float:
        since = self._facts.failing_since
        return self._note.created_at if since is None else since

    def _why(self) -> list[Span]:
        """What a person is called for in private: the earlier messages may be in another chat.

        In a group the call is a reply to them.
        """
        facts, severity = self._facts, self._note.severity
        if self._note.destination.startswith("-") or not self._note.destination:
            return []
        match wording.kind_of(self._note):
            case IncidentKind.STORM:
                return phrases.storm(self.phrasebook, severity, facts)[1]
            case IncidentKind.CRITICAL_STOP | IncidentKind.REPEATED_ERRORS:
                return self._failure()
            case IncidentKind.CHECKER:
                return []  # the header has its text
            case _:
                return phrases.trouble(self.phrasebook, self._task, replace(facts, lasted=None), severity)[1]

    def _what(self) -> str:
        """What is wrong, without a sign."""
        if wording.kind_of(self._note) is IncidentKind.CHECKER:
            return self._task or "Dozor"
        plain = replace(self._facts, lasted=None)
        header = phrases.trouble_header(self.phrasebook, self._task, plain, self._note.severity)
        return header.partition(" ")[2]

    def _recovery(self) -> list[Span]:
        text, facts = self._translator.format, self._facts
        lines: list[Span] = []
        if facts.lasted is not None:
            since = facts.failing_since
            if since is None:
                since = self._note.created_at - facts.lasted
            lasted = self._duration(facts.lasted)
            key = "alert-lasted" if wording.is_streak(self._note) else "over-lasted"
            lines.append(Span(text(key, duration=lasted, since=self._clock(since))))
        if wording.kind_of(self._note) is IncidentKind.CHECKER:
            return [*lines, *phrases.reason(facts)]
        if not wording.is_streak(self._note):
            return lines  # what is no streak of failures is restarted by nobody
        if facts.failures:
            lines.append(Span(text("alert-lasted-errors", failures=facts.failures)))
        if facts.ended is not None:
            pass  # nothing works again
        elif facts.by:
            lines.append(Span(text("alert-by-person", by=self.phrasebook.who(facts.by))))
        else:
            lines.append(Span(text("alert-by-itself")))
        error = error_span(facts.error_type, facts.error_text, ERROR_UNITS // 2)
        if error is not None:
            lines += [Span(text("alert-last-error")), error]
        return lines

    def _checker(self) -> tuple[str, list[Span]]:
        text = self._translator.format
        first, _, rest = clean(self._facts.text or "").partition("\n")
        headline = shorten(first, HEADLINE_UNITS)
        if headline != first:
            rest = clean(self._facts.text or "")
        match self._note.severity:
            case Severity.INFO:
                header = text("alert-checker-info", task=self._task, text=headline)
            case Severity.WARNING:
                header = text("alert-checker-warning", task=self._task, text=headline)
            case Severity.CRITICAL:
                header = text("alert-checker-critical", task=self._task, text=headline)
            case _:
                assert_never(self._note.severity)
        if utf16_length(rest) > TEXT_UNITS:
            self._cut = self._facts.text
        return header, [Span(shorten(rest.strip(), TEXT_UNITS))] if rest.strip() else []

    def _shorten(self, text: str, limit: int) -> str:
        """Cleaned and cut; then the whole is remembered for the file."""
        cleaned = clean(text)
        if utf16_length(cleaned) > limit or len(text) > LONG:
            self._cut = text
        return shorten(cleaned, limit)

    def _own_text(self) -> list[Span]:
        cleaned = self._shorten(self._facts.text or "", TEXT_UNITS)
        return [Span(cleaned)] if cleaned else []

    def _since(self) -> str:
        return self._clock(self._began())

    def _clock(self, at: float) -> str:
        return clock(at, self._timezone, self._now)

    def _duration(self, seconds: float) -> str:
        return duration(self._translator, seconds)


def _gave_up_early(facts: AlertData) -> bool:
    """Stopped before the limit: the checker raised `Fatal`."""
    failures, limit = facts.failures, facts.max_failures
    early = failures is not None and limit is not None and failures < limit
    return early and facts.window is None


def _silent(notification: Notification) -> bool:
    heard = (NotificationKind.RECOVERED, NotificationKind.TEST, NotificationKind.PAST)
    return notification.severity is Severity.INFO and notification.kind not in heard
