"""Settings of alerting, from the configuration and from the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from dozor.alerting.model.incident import AlertSettings
from dozor.alerting.policy.oncall import OnCall, Person, Rotation
from dozor.alerting.policy.quiet_hours import QuietHours
from dozor.alerting.policy.routes import Route, Routing, parse_destination
from dozor.config import Config
from dozor.config.sections.alerts import OnCallConfig
from dozor.config.sections.config import TelegramConfig
from dozor.config.sections.tasks import TaskAlerts, TaskConfig
from dozor.config.values.incident_kinds import IncidentKind, Severity

GENERAL = 1
"""Thread id of a forum's General topic, which is the same place as no topic."""


def all_settings(config: Config, tasks: Iterable[TaskConfig]) -> dict[str, AlertSettings]:
    """By task; "" is the runner itself."""
    return {"": settings(config), **{task.name: settings(config, task) for task in tasks}}


def settings(config: Config, task: TaskConfig | None = None) -> AlertSettings:
    """Of one task: its own, else those of all. None: of the runner itself."""
    common = config.alerts
    own = TaskAlerts() if task is None else task.alerts
    return AlertSettings(
        repeated_errors=own.repeated_errors or common.repeated_errors,
        remind_every=own.remind_every or common.remind_every,
        reopen_within=common.reopen_within,
        severities={
            IncidentKind(kind): Severity(severity)
            for kind, severity in {**common.severity, **own.severity}.items()
        },
    )


def routing(config: Config) -> Routing:
    """Where messages go."""
    return Routing(
        Route(
            destination=_place(config.telegram, chat.chat),
            tasks=frozenset(chat.tasks) or None,
            min_severity=Severity(chat.least_severity),
        )
        for chat in config.alerts.chats
    )


def routed_places(config: Config) -> frozenset[str]:
    """Keys of all destinations but the chat of the configuration: further chats and people on call."""
    chats = {_place(config.telegram, chat.chat) for chat in config.alerts.chats}
    return frozenset(chats | set(oncall(config.oncall, config.telegram).places))


def quiet_hours(config: Config) -> QuietHours | None:
    """None: there are none."""
    span = config.alerts.quiet_hours
    return None if span is None else QuietHours(begin=span[0], end=span[1], timezone=config.timezone)


def _place(telegram: TelegramConfig, destination: str) -> str:
    """ "" for the chat of the configuration, however it is written, so that it gets each message once."""
    chat, place = telegram.chat, parse_destination(destination)
    if place is None:
        return destination
    chat_id, topic = place[0], None if place[1] == GENERAL else place[1]
    if (
        chat is not None
        and chat_id == chat.chat_id
        and topic == (chat.thread_id if chat.thread_id != GENERAL else None)
    ):
        return ""
    return str(chat_id) if topic is None else f"{chat_id}:{topic}"


def oncall(config: OnCallConfig, telegram: TelegramConfig | None = None) -> OnCall:
    """Who can be called, and whose turn it is. `telegram`: its chat is "" as a person's place."""
    people = {
        name: Person(
            name=name,
            destination=one.chat if telegram is None else _place(telegram, one.chat),
            mention=one.mention,
            user_id=one.user_id,
        )
        for name, one in config.people.items()
    }
    rotation = config.rotation
    if rotation is None:
        return OnCall(people)
    return OnCall(
        people,
        Rotation(
            people=rotation.people,
            start=rotation.start,
            shift=timedelta(seconds=rotation.shift),
            timezone=rotation.timezone,
        ),
    )
