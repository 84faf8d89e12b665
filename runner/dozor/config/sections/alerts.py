"""Sections `alerts`, `oncall` and `silences`: destinations, severities, escalation, on-call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from dozor.config.sections.base import Count, Duration, Kind, Section, Text, Timezone, UserId
from dozor.config.values import fields
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.language import msg

ALERT_KINDS = tuple(kind.value for kind in IncidentKind)
SEVERITIES = tuple(severity.value for severity in Severity)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def _clock(value: object) -> time:
    if isinstance(value, time):
        return value
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(msg("config-not-clock", value="{value}"))
    return time(int(match[1]), int(match[2]))


def _hours(value: object) -> tuple[time, time]:
    if isinstance(value, tuple):
        return value
    begin, dash, end = str(value).partition("-")
    if not isinstance(value, str) or not dash or begin.strip() == end.strip():
        raise ValueError(msg("config-not-hours", value="{value}"))
    return _clock(begin), _clock(end)


def _start(value: object) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is None:
        return value
    try:
        found = datetime.fromisoformat(str(value).strip())
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise ValueError(msg("config-not-local-time", value="{value}"))
    return found


def _severities(value: object) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(msg("config-not-severities", value="{value}"))
    for kind, severity in value.items():
        if kind not in ALERT_KINDS:
            hint = fields.nearest(str(kind), ALERT_KINDS) or msg(
                "config-kinds-are", kinds=", ".join(ALERT_KINDS)
            )
            raise ValueError(msg("config-no-such-kind", kind=kind, hint=hint))
        if severity not in SEVERITIES:
            raise ValueError(msg("config-no-such-severity", severity=severity))
    return value


def _severity(value: object) -> str:
    if value not in SEVERITIES:
        raise ValueError(msg("config-not-severity", value="{value}"))
    return str(value)


def _destination(value: object) -> str:
    target = fields.parse_chat(value)
    if target is None:
        return ""
    chat, thread = target
    return str(chat) if thread is None else f"{chat}:{thread}"


def _http(value: object) -> SecretStr | None:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if text is None or text == "":
        return None
    if not isinstance(text, str) or not re.match(r"https?://[^\s/]+", text):
        raise ValueError(msg("config-not-http-url", value="{value}"))
    return SecretStr(text)


def _listed(value: object) -> object:
    return () if value is None else value


Severities = Annotated[
    dict[str, str], BeforeValidator(_severities), Kind("mapping of kinds to `info`, `warning`, `critical`")
]
SeverityName = Annotated[str, BeforeValidator(_severity), Kind("`info`, `warning`, `critical`")]
Destination = Annotated[str, BeforeValidator(_destination), Kind('chat or user id, or `"chat:topic"`')]
ClockTime = Annotated[time, BeforeValidator(_clock), Kind('time of day, such as `"09:30"`')]


class ChatRoute(Section):
    """One more chat that alerts are sent to, beside `telegram.chat`."""

    chat: Destination
    """Where the alerts are sent."""

    tasks: Annotated[tuple[str, ...], BeforeValidator(_listed), Kind("list of tasks")] = ()
    """Only alerts of these tasks. Empty: of all tasks, and of Dozor itself."""

    min_severity: SeverityName = "info"
    """Only incidents of at least this severity. It does not decide about the sound of a message."""

    loud_from: SeverityName | None = None
    """The former name of `min_severity`, still accepted."""

    @property
    def least_severity(self) -> str:
        """`min_severity`, or its former name where only that is given."""
        return self.min_severity if self.loud_from is None else self.loud_from

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if {"min_severity", "loud_from"} <= self.model_fields_set:
            raise ValueError(msg("config-min-severity-twice"))
        return self


class EscalationLevel(Section):
    """Whom to call when nobody has reacted."""

    after: Duration
    """Time since the first message about the incident, or since its acknowledgement expired."""

    to: Annotated[
        str, BeforeValidator(lambda value: str(value)), Kind("`oncall`, `second`, `everybody`, or a person")
    ] = "oncall"
    """The person on call, the next in turn, everybody in `oncall.people`, or one of them by name."""


class SecondChannel(Section):
    """The fallback channel: another way to people when Telegram does not answer. Needs the extra
    `dozor[channels]`.
    """

    urls: Annotated[
        tuple[SecretStr, ...],
        BeforeValidator(_listed),
        Kind("list of Apprise URLs, `mailto://…`, `ntfy://…`"),
    ]
    """See https://github.com/caronc/apprise for what they may be. `dozor doctor --send` tries each."""

    after: Duration = 300.0
    """How long a message to any chat may stay unsent before the channel is used. From then on urgent messages
    wait 30 s at most, until the chat accepts messages again.
    """


class Heartbeat(Section):
    """Periodic requests to an outside service, such as healthchecks, which notices when they stop."""

    url: Annotated[SecretStr | None, BeforeValidator(_http), Kind("http(s) URL")]
    """Requested only while database, supervision, poller and delivery all work."""

    every: Duration = 60.0
    """Time between requests."""


class AlertsConfig(Section):
    """When people are alerted, and how."""

    repeated_errors: Count = 3
    """Consecutive failures of a task that raise the first alert."""

    remind_every: Duration = 1800.0
    """Time to the first reminder of an incident that is open and not acknowledged. The time to each next one
    doubles, up to eight times this value.
    """

    reopen_within: Duration = 600.0
    """A problem that returns within this time after it was resolved reopens the same incident. The third time
    one message reports it as flapping; further returns are only counted.
    """

    severity: Severities = Field(default_factory=dict)
    """The severity of kinds of incidents, where it is not the default."""

    quiet_hours: Annotated[
        tuple[time, time] | None,
        BeforeValidator(lambda value: None if value is None else _hours(value)),
        Kind('`"23:00-08:00"`'),
    ] = None
    """In the `timezone` of the file. During them messages that are not critical make no sound; a summary is
    sent at their end.
    """

    all_clear_at: Annotated[
        time | None,
        BeforeValidator(lambda value: None if value is None else _clock(value)),
        Kind('time of day, such as `"09:30"`'),
    ] = None
    """A daily report: all is well, or what is not. If it does not come, Dozor itself is down."""

    escalate: Annotated[
        tuple[EscalationLevel, ...], BeforeValidator(_listed), Kind("list of `{after: 15m, to: oncall}`")
    ] = ()
    """Whom to call when nobody reacts to a critical incident, one level after the other."""

    chats: Annotated[
        tuple[ChatRoute, ...],
        BeforeValidator(_listed),
        Kind("list of `{chat: -100…, min_severity: critical}`"),
    ] = ()
    """More chats, each with the tasks and the least severity that are sent to it."""

    second_channel: SecondChannel | None = None
    """Used while Telegram does not answer."""

    heartbeat: Heartbeat | None = None
    """Requests to an outside service that notices when Dozor is down."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        waits = [level.after for level in self.escalate]
        if waits != sorted(waits):
            raise ValueError(msg("config-levels-in-order"))
        return self


class PersonConfig(Section):
    """Somebody who can be called. The name is the key under `people`."""

    chat: Destination = ""
    """Where to call them: their user id (a private chat), a chat or a topic. Empty: `telegram.chat`."""

    mention: Text = ""
    """How to name them there, such as `@ann`. Empty: by their name."""

    user_id: Annotated[UserId | None, Kind("Telegram user id")] = None
    """Their Telegram user id: then they are mentioned also without a `@name`."""


class RotationConfig(Section):
    """People take turns."""

    people: Annotated[tuple[str, ...], BeforeValidator(_listed), Kind("list of people, in turn")]
    """Names of `oncall.people`."""

    start: Annotated[datetime, BeforeValidator(_start), Kind('local time, such as `"2026-01-05 10:00"`')]
    """When the first of them takes over: the handover time of all shifts."""

    shift: Duration = 7 * 86_400.0
    """How long a shift is, by the wall clock: days on which clocks change do not move the handover."""

    timezone: Timezone = Field(default_factory=lambda: ZoneInfo("UTC"), validate_default=True)
    """Of `start` and of every handover."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.people:
            raise ValueError(msg("config-empty-rotation"))
        if self.shift < 3600:
            raise ValueError(msg("config-short-shift"))
        return self


class OnCallConfig(Section):
    """Who is on call."""

    people: Annotated[
        dict[str, PersonConfig],
        BeforeValidator(lambda value: {} if value is None else value),
        Kind("mapping of names to people"),
    ] = Field(default_factory=dict)
    """Everybody who can be called."""

    rotation: RotationConfig | None = None
    """Whose turn it is. `/oncall swap` overrides it."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """A person may be written as a user id alone."""
        people = value.get("people") if isinstance(value, dict) else None
        if not isinstance(people, dict):
            return value
        full = {
            name: {"chat": one, "user_id": one} if isinstance(one, int) and not isinstance(one, bool) else one
            for name, one in people.items()
        }
        return {**value, "people": full}

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.rotation.people if self.rotation else ():
            if name not in self.people:
                hint = fields.nearest(name, self.people) or msg("config-add-them-there")
                raise ValueError(msg("config-not-oncall-person", name=name, hint=hint))
        return self
