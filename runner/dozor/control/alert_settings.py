"""The alerting room, furnished from the configuration and from what the database remembers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from dozor.alerting.incidents.manager import Watch
from dozor.alerting.model.incident import AlertSettings, IncidentKind
from dozor.alerting.model.notification import Severity
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Override, Person, Rotation
from dozor.alerting.policy.quiet_hours import QuietHours
from dozor.alerting.policy.routes import Route, Routing
from dozor.alerting.policy.silences import Silence, SilenceScope
from dozor.clock import Clock
from dozor.config import Config
from dozor.config.alerts import OnCallConfig
from dozor.config.tasks import TaskAlerts, TaskConfig
from dozor.control.commands.alert_handler import AlertDesk
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Connection
from dozor.storage.tables import incidents, silences
from dozor.storage.tables.silences import OverrideRow, SilenceRow
from dozor.supervision.telemetry.metrics import Measures

RESOLVED_WITHIN = 3600.0
"""Seconds for which resolved incidents are read back: they may come back."""


async def build_watch(
    connection: Connection,
    config: Config,
    tasks: Iterable[TaskConfig],
    journal: Journal,
    clock: Clock,
    measures: Measures,
) -> Watch:
    """With everything that was open, silenced or swapped when the last runner ended."""
    quiet = quiet_hours(config)
    watch = Watch(
        journal,
        clock,
        all_settings(config, tasks),
        await incidents.read_open(connection, resolved_within=RESOLVED_WITHIN),
        await incidents.last_id(connection),
        measures,
        routes=routing(config),
        quiet_at=(lambda now: False) if quiet is None else quiet.covers,
        silences=[silence(row) for row in await silences.read_active(connection)],
        levels=tuple(Level(level.after, level.to) for level in config.alerts.escalate),
        oncall=oncall(config.oncall),
    )
    watch.overrides = [override(row) for row in await silences.read_overrides(connection)]
    return watch


async def build_desk(connection: Connection, watch: Watch, clock: Clock) -> AlertDesk:
    """For commands about alerts."""
    return AlertDesk(
        watch,
        clock,
        last_silence_id=await silences.last_silence_id(connection),
        last_override_id=await silences.last_override_id(connection),
    )


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
            destination=chat.chat,
            tasks=frozenset(chat.tasks) or None,
            loud_from=Severity(chat.loud_from),
        )
        for chat in config.alerts.chats
    )


def quiet_hours(config: Config) -> QuietHours | None:
    """None: there are none."""
    span = config.alerts.quiet_hours
    return None if span is None else QuietHours(begin=span[0], end=span[1], timezone=config.timezone)


def oncall(config: OnCallConfig) -> OnCall:
    """Who can be called, and whose turn it is."""
    people = {
        name: Person(name=name, destination=one.chat, mention=one.mention, user_id=one.user_id)
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


def silence(row: SilenceRow) -> Silence:
    return Silence(
        id=row.id,
        scope=SilenceScope(row.scope),
        target=row.target,
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
        ends_at=row.ends_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )


def override(row: OverrideRow) -> Override:
    return Override(
        id=row.id,
        person=row.person,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_by=row.created_by,
        created_at=row.created_at,
    )
