"""Plans what people are sent about a change of an incident: the pipeline decides, this applies it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dozor.alerting.incidents import decisions
from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.pipeline.acknowledge import acknowledge
from dozor.alerting.incidents.pipeline.dedup import dedup
from dozor.alerting.incidents.pipeline.group import Group
from dozor.alerting.incidents.pipeline.inhibit import Inhibit
from dozor.alerting.incidents.pipeline.mute import Mute
from dozor.alerting.incidents.pipeline.stage import Candidate, Held, Stage
from dozor.alerting.incidents.rules import Decision
from dozor.alerting.incidents.store import IncidentChanges, IncidentStore
from dozor.alerting.incidents.storm_digest import StormDigest
from dozor.alerting.model.codec import facts_to_json, stored_facts
from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import was_decided
from dozor.alerting.model.full_text import without_attachment
from dozor.alerting.model.incident import Incident, firing
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.policy.silences import Silence
from dozor.supervision.core.state import State


class NotificationPlanner:
    """Writes each change into the store, with the reason why it leads to a message or to none."""

    def __init__(
        self, store: IncidentStore, notifications: NotificationFactory, silences: Mapping[int, Silence]
    ) -> None:
        self._store = store
        self._notifications = notifications
        self.inhibit, self._mute, self.group = Inhibit(store), Mute(silences), Group(store)
        # A message is muted only if it is news, and counts for a storm only if it is not muted.
        self._stages: tuple[Stage, ...] = (dedup, self.inhibit, self._mute, self.group, acknowledge)
        self._storm = StormDigest(store, self.group, notifications)

    def plan_notifications(
        self, decision: Decision, facts: AlertData, now: float, *, to: Iterable[str] | None = None
    ) -> IncidentChanges:
        """Store the incident, and plan its messages.

        `facts`: what a message may say. `to`: these destinations, instead of those of the routes.
        """
        incident, changes = decision.incident, IncidentChanges()
        if incident is None:
            return changes
        previous = self._store.by_id(incident.id)
        verdict = self._decide(
            Candidate(
                incident=replace(incident, facts=facts_to_json(without_attachment(facts))),
                previous=previous,
                kind=decision.notify,
                because=decision.because,
                now=now,
            )
        )
        incident, notes = verdict.incident, list[Notification]()
        if isinstance(verdict, Held):
            if verdict.decision is not None:
                incident = decisions.decided(incident, verdict.decision)
            if verdict.absorbs is not None and incident.storm is not None:
                self._storm.begin(changes, incident.storm, incident, verdict.absorbs, now)
        elif verdict.kind is not None:
            if verdict.kind is NotificationKind.RECOVERED:
                facts = replace(facts, in_storm=self._store.is_open(incident.storm))
            notes = self._notifications.for_incident(incident, verdict.kind, facts, now, to=to)
        self._store.keep(changes, decisions.queued(incident, notes, now))
        self._storm.changed(changes, incident, previous, now)
        changes.notifications += notes
        return changes

    def hold_due(self, decision: Decision, task: State | None, now: float) -> IncidentChanges | None:
        """None: the message that is due may be sent. Else the reason why not, recorded once.

        `task`: the state of the incident's task.
        """
        due = decision.due
        assert due is not None
        candidate = Candidate(
            incident=due.unsent,
            previous=due.unsent,
            kind=decision.notify,
            now=now,
            due=True,
            task=task,
        )
        verdict = self._decide(candidate)
        if not isinstance(verdict, Held):
            return None
        changes, reason = IncidentChanges(), verdict.decision
        if reason is None or was_decided(due.unsent.decisions, reason, due.at):
            return changes
        self._store.keep(changes, decisions.decided(due.unsent, reason))
        return changes

    def notify_after_unmute(self, incident: Incident, now: float) -> IncidentChanges:
        """A silence or an inhibition of the incident has ended; another one may hold it still."""
        freed = replace(incident, silenced_by=None, explained_by=None, updated_at=now, notified_at=now)
        facts = stored_facts(incident)
        if not incident.told and incident.storm is None:
            return self.plan_notifications(
                Decision(replace(freed, level_since=now), firing(freed)), facts, now
            )
        marked = self._marked(freed, now)
        held = marked is not None or incident.storm is not None  # a storm's digest shows its members
        return self.plan_notifications(
            Decision(marked or freed, None if held else NotificationKind.REMINDER), facts, now
        )

    def _decide(self, candidate: Candidate) -> Candidate | Held:
        """The message as it is to be sent (`kind` None: there is none), or what holds it."""
        for stage in self._stages:
            answer = stage(candidate)
            if isinstance(answer, Held):
                return answer
            candidate = answer
        return candidate

    def _marked(self, incident: Incident, now: float) -> Incident | None:
        """With the mark of what inhibits or mutes it; None: neither does."""
        if (cause := self.inhibit.inhibitor_of(incident)) is not None:
            return replace(incident, explained_by=cause)
        silence = self._mute.silence_of(incident, now)
        return None if silence is None else replace(incident, silenced_by=silence.id)
