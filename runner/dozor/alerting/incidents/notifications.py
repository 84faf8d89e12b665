"""Makes notifications: one message to each destination that the routes and its storm give it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dozor.alerting.model.copies import replace
from dozor.alerting.model.full_text import ATTACHABLE, without_attachment
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import (
    AlertData,
    Notification,
    NotificationKind,
    expires_at_for,
    priority,
)
from dozor.config.values.incident_kinds import Severity

Routes = Callable[[str | None, Severity], tuple[str, ...]]
"""Destinations of a message about a task, by its severity."""


def everything_to_the_chat(task: str | None, severity: Severity) -> tuple[str, ...]:
    """The chat of the configuration, whatever it is about."""
    return ("",)


class NotificationFactory:
    """`new_key` makes keys that are never used twice; `quiet_at`: whether a time is in the quiet hours."""

    def __init__(
        self,
        new_key: Callable[[], str],
        *,
        routes: Routes = everything_to_the_chat,
        quiet_at: Callable[[float], bool] = lambda now: False,
    ) -> None:
        self._new_key = new_key
        self._routes = routes
        self._quiet_at = quiet_at
        self._of_members: dict[int, set[str]] = {}
        # By open storm: destinations of its members, which get its digest too.

    def for_incident(
        self,
        incident: Incident,
        kind: NotificationKind,
        facts: AlertData,
        now: float,
        *,
        to: Iterable[str] | None = None,
    ) -> list[Notification]:
        """About the incident, to each of its destinations (`to`: to these)."""
        where = tuple(self.destinations_of(incident) if to is None else to)
        if not where:
            return []
        recovered = kind in (NotificationKind.RECOVERED, NotificationKind.PAST)
        severity = Severity.INFO if recovered else incident.severity
        facts = replace(facts, about=incident.kind.value)
        return self.broadcast(
            kind, severity, facts, now, task=incident.task, incident_id=incident.id, to=where
        )

    def broadcast(
        self,
        kind: NotificationKind,
        severity: Severity,
        facts: AlertData,
        now: float,
        *,
        task: str | None = None,
        incident_id: int | None = None,
        to: Iterable[str] | None = None,
    ) -> list[Notification]:
        """To each destination of the task (None: of the runner), or to those in `to`."""
        if severity is not Severity.CRITICAL and self._quiet_at(now):
            facts = replace(facts, quiet=True)
        if kind not in ATTACHABLE:
            facts = without_attachment(facts)
        key = self._new_key()
        return [
            Notification(
                key=f"{key}@{destination}" if destination else key,
                kind=kind,
                severity=severity,
                created_at=now,
                task=task,
                incident_id=incident_id,
                facts=facts,
                destination=destination,
                priority=priority(kind, severity),
                expires_at=expires_at_for(kind, now),
            )
            for destination in (self._routes(task, severity) if to is None else to)
        ]

    def destinations_of(self, incident: Incident) -> tuple[str, ...]:
        """Of a storm: those of its members as well."""
        places = self._routes(incident.task, incident.severity)
        more = self._of_members.get(incident.id, ())
        return (*places, *sorted(place for place in more if place not in places))

    def add_member(self, storm: int, member: Incident) -> list[str]:
        """The storm's digest goes to the member's destinations from now on; which these are."""
        where = self._routes(member.task, member.severity)
        self._of_members.setdefault(storm, set()).update(where)
        return list(where)

    def forget_storm(self, storm: int) -> None:
        """It is over."""
        self._of_members.pop(storm, None)
