"""The watch: hears the supervisor, keeps the incidents, and has everything written that must not be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from dozor.alerting.incidents import decisions, rules
from dozor.alerting.incidents import startup as start
from dozor.alerting.incidents.facts import (
    failure_facts,
    fingerprint_of,
    recovery_facts,
    storm_facts,
    trouble_facts,
)
from dozor.alerting.incidents.notifier import (
    IncidentChanges,
    NotificationPlanner,
    Routes,
    everything_to_the_chat,
)
from dozor.alerting.incidents.rules import Decision
from dozor.alerting.incidents.run_history import finished_runs
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.model.codec import stored_facts
from dozor.alerting.model.codec import to_row as owed_row
from dozor.alerting.model.decisions import Because
from dozor.alerting.model.full_text import set_text
from dozor.alerting.model.incident import (
    DEFAULT_SETTINGS,
    AlertSettings,
    Incident,
    IncidentKind,
    to_row,
)
from dozor.alerting.model.notification import Facts, Notification, NotificationKind, Severity
from dozor.alerting.policy.escalation import Level, calls_for, due_level
from dozor.alerting.policy.oncall import OnCall, Override
from dozor.alerting.policy.silences import Silence, silence_row
from dozor.clock import Clock
from dozor.language import msg
from dozor.storage.journal import Commit, Dropped, Journal
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.runs import RunRow
from dozor.supervision.core.events import Cancelled, Failed, Interrupted, Restart
from dozor.supervision.core.state import State
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask, run_id
from dozor.supervision.telemetry.metrics import RunMetrics
from dozor.supervision.telemetry.observer import Transition, Trouble

MAX_CAUSES = 5
"""Incidents of one streak; what else goes wrong in it belongs to the worst of them."""


class IncidentManager:
    """The supervisor's observer: one commit for each transition, with all that belongs to it."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        settings: Mapping[str, AlertSettings],
        open_incidents: Iterable[IncidentRow],
        last_incident_id: int,
        measures: RunMetrics,
        *,
        routes: Routes = everything_to_the_chat,
        quiet_at: Callable[[float], bool] = lambda now: False,
        silences: Iterable[Silence] = (),
        levels: tuple[Level, ...] = (),
        oncall: OnCall | None = None,
    ) -> None:
        self._measures = measures
        self.succeeded = measures.succeeded
        """Healthy runs are only counted (the checkpoint writes them), without a call in between."""
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._generation = journal.registration.runner_id
        self._keys = 0
        self.book = IncidentStore(open_incidents, last_incident_id)
        self.teller = NotificationPlanner(self.book, self._new_key, routes=routes, quiet_at=quiet_at)
        self.teller.silences = {silence.id: silence for silence in silences}
        self.teller.inhibited_by = self._explained_by
        self._levels = levels
        self.oncall = OnCall() if oncall is None else oncall
        self.overrides: list[Override] = []
        self._dependents: dict[int, frozenset[str]] = {}
        # Which tasks an open dependency's incident explains.

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        return self.book.open()

    def settings(self, task: str | None) -> AlertSettings:
        return self._settings.get(task or "", DEFAULT_SETTINGS)

    # -- Observer

    def transition(self, transition: Transition) -> None:
        self._measures.transition(transition)
        task, before, after = transition.task, transition.before, transition.after
        told = IncidentChanges()
        runs: tuple[RunRow, ...] = ()
        match transition.event:
            case Failed():
                runs = finished_runs(transition, self._generation)
                told.add(self._failed(transition))
            case Interrupted() | Cancelled():
                runs = finished_runs(transition, self._generation)
            case Restart(by):
                for incident in self.book.failures_of(task.spec.name):
                    decision = rules.on_restart(incident, by, transition.now)
                    told.add(self.teller.plan_notifications(decision, stored_facts(incident), transition.now))
            case _:
                pass
        if before.failure_record.failing_since is not None and after.failure_record.failing_since is None:
            told.add(self._recovered(transition))
        self._commit(told, Commit(tasks=(task.row(),), runs=runs))

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        """A checker's own words. One incident for each thing it says; what it repeats is counted."""
        now, name = self._clock.now(), task.spec.name
        loud = Severity(severity)
        facts = set_text(Facts(), text)
        if loud is Severity.INFO:
            owed = self.teller.broadcast(NotificationKind.CHECKER, loud, facts, now, task=name)
            self._commit(IncidentChanges(notifications=owed))
            return
        cause = fingerprint_of(text)
        found = self.book.find((name, IncidentKind.CHECKER.value, cause))
        kind, settings = IncidentKind.CHECKER, self.settings(name)
        new_id = self.book.next_id
        decision = rules.on_trouble(settings, found, kind, name, cause, text, now, new_id, loud)
        self._commit(self.teller.plan_notifications(decision, facts, now))

    # -- TroubleWatch

    def raised(self, trouble: Trouble) -> None:
        """Something is wrong that is not a failed run."""
        kind = IncidentKind(trouble.kind.value)
        self.open_incident(kind, trouble.subject, trouble_facts(trouble), task=trouble.task)
        if kind is IncidentKind.DEPENDENCY:
            found = self.book.find(("", kind.value, trouble.subject))
            if found is not None:
                self._dependents[found.id] = frozenset(trouble.waiting)

    def cleared(self, trouble: Trouble) -> None:
        """It is over."""
        self.resolve_incident(IncidentKind(trouble.kind.value), trouble.subject, task=trouble.task)

    def open_incident(
        self,
        kind: IncidentKind,
        subject: str,
        facts: Facts,
        *,
        task: str | None = None,
        to: tuple[str, ...] | None = None,
    ) -> Incident | None:
        """Open, continue or count the incident of this kind and subject. `to`: tell these destinations."""
        now = self._clock.now()
        facts = replace(facts, trouble=kind.value, subject=subject, failing_since=now)
        found = self.book.find((task or "", kind.value, subject))
        if found is not None and found.is_open:
            facts = replace(facts, failing_since=found.opened_at)
        said = facts.text or subject
        decision = rules.on_trouble(
            self.settings(task), found, kind, task, subject, said, now, self.book.next_id
        )
        self._commit(self.teller.plan_notifications(decision, facts, now, to=to))
        return decision.incident

    def resolve_incident(
        self,
        kind: IncidentKind,
        subject: str,
        *,
        task: str | None = None,
        to: tuple[str, ...] | None = None,
    ) -> None:
        """Resolve the incident of this kind and subject, if there is one."""
        now = self._clock.now()
        found = self.book.find((task or "", kind.value, subject))
        if found is None or not found.is_open:
            return
        self._dependents.pop(found.id, None)
        decision = rules.on_recovery(self.settings(task), found, now)
        self._commit(self.teller.plan_notifications(decision, recovery_facts(found, now), now, to=to))

    # -- by the clock, and by the runner itself

    def tick(self, supervisor: Supervisor) -> None:
        """What time alone brings: reminders, escalation, expiries, the end of silences."""
        now = self._clock.now()
        told = self._end_silences(now)
        for number in [one.id for one in self.book.open()]:
            # As it is by now: what ends in this round changes its storm.
            incident = self.find_incident(number)
            if incident is None:
                continue
            task = None if incident.task is None else supervisor.find(incident.task)
            if incident.task is not None and task is None:
                continue
            state = None if task is None else task.state.state
            settings = self.settings(incident.task)
            decision = rules.on_tick(settings, incident, state, now)
            if decision.incident is not incident and decision.incident is not None:
                told.add(self._on_tick(incident, decision, task, supervisor, now))
            elif incident.explained_by is not None and self._explained_by(incident) is None:
                told.add(self.teller.notify_after_unmute(incident, now))
            else:
                told.add(self.teller.withhold_reminder(incident, settings, state, now))
            if (left := self.find_incident(number)) is not None:
                told.add(self._escalate(left, now))
        if told.incidents or told.notifications:
            self._commit(told)
        self.book.forget(now - max(DEFAULT_SETTINGS.reopen_within, 3600.0))

    def started(self, supervisor: Supervisor, found: Facts) -> None:
        """Say what a new start has found. After an unclean end that is an incident, and this its message."""
        self.resolve_removed_tasks(supervisor)
        now, mine = self._clock.now(), self.book.find(start.KEY)
        found = replace(found, open_before=sum(one is not mine for one in self.book.open()))
        decision = start.decide(self.settings(None), mine, found, now, self.book.next_id)
        told = self.teller.plan_notifications(decision, start.incident_facts(found, decision.incident), now)
        if (loud := start.report_severity(found)) is not None:
            told.notifications += self.teller.broadcast(NotificationKind.RUNNER_STARTED, loud, found, now)
        self._commit(told)

    def resolve_removed_tasks(self, supervisor: Supervisor) -> None:
        """Incidents of tasks that are not supervised any more are over, without a word."""
        now = self._clock.now()
        told = IncidentChanges()
        for incident in self.book.open():
            if incident.task is not None and supervisor.find(incident.task) is None:
                closed = rules.resolve(incident, now).incident
                decision = Decision(closed, because=Because.UNCONFIGURED)
                told.add(self.teller.plan_notifications(decision, stored_facts(incident), now))
        self._commit(told)

    def use_settings(self, settings: Mapping[str, AlertSettings]) -> None:
        """By task, from now on."""
        self._settings = settings

    def reloaded(self, facts: Facts, *, refused: bool = False) -> None:
        """Say what has become of a changed configuration."""
        kind = NotificationKind.RELOAD_REFUSED if refused else NotificationKind.RELOADED
        loud = Severity.WARNING if refused else Severity.INFO
        self.enqueue(self.teller.broadcast(kind, loud, facts, self._clock.now()))

    def dropped(self, dropped: Dropped) -> Commit:
        """What to say when the journal's memory overflowed."""
        text = msg("log-dropped", notifications=dropped.notifications, runs=dropped.runs)
        if dropped.incidents:
            text += msg("log-dropped-incidents", incidents=dropped.incidents)
        owed = self.teller.broadcast(
            NotificationKind.DROPPED, Severity.CRITICAL, Facts(text=text), self._clock.now()
        )
        return Commit(notifications=tuple(owed_row(note) for note in owed))

    def enqueue(self, notes: Iterable[Notification]) -> None:
        """Messages that belong to no change of state."""
        self._commit(IncidentChanges(notifications=list(notes)))

    # -- people

    def find_incident(self, incident_id: int) -> Incident | None:
        """An open one, None if there is none with this id."""
        found = self.book.by_id(incident_id)
        return found if found is not None and found.is_open else None

    def apply(self, decision: Decision) -> IncidentChanges:
        """A person's decision about an incident; the caller commits it."""
        assert decision.incident is not None
        return self.teller.plan_notifications(decision, stored_facts(decision.incident), self._clock.now())

    def commit(self, told: IncidentChanges, more: Commit) -> None:
        """`told`, together with `more`, in one transaction."""
        self._commit(told, more)

    # -- inside

    def _failed(self, transition: Transition) -> IncidentChanges:
        name, after, now = transition.task.spec.name, transition.after, transition.now
        failure = after.failure_record.failure
        assert failure is not None
        mine = self.book.find((name, "failure", rules.fingerprint(failure)))
        if mine is None or not mine.is_open:
            others = self.book.failures_of(name)
            stopped = after.state is State.STOPPED
            if others and (stopped or len(others) >= MAX_CAUSES):
                mine = others[0]
        settings = self.settings(name)
        decision = rules.on_failure(settings, mine, transition.before, after, now, self.book.next_id, name)
        if decision.incident is None or (decision.incident is mine and decision.tell is None):
            return IncidentChanges()
        facts = failure_facts(transition.task, decision.incident)
        if not self.book.failures_of(name) and decision.incident.is_open:
            first = decisions.below_threshold(decision.incident, settings, after, now)
            decision = replace(decision, incident=first)
        return self.teller.plan_notifications(decision, facts, now)

    def _recovered(self, transition: Transition) -> IncidentChanges:
        """All causes of the streak are over; one message says so, about the worst that was told."""
        name, now = transition.task.spec.name, transition.now
        told, said = IncidentChanges(), False
        for incident in sorted(self.book.failures_of(name), key=lambda one: not one.told):
            decision = rules.on_recovery(self.settings(name), incident, now)
            if said:
                decision = Decision(decision.incident, because=Because.SAME_END)
            said = said or decision.tell is not None
            facts = recovery_facts(incident, now, since=transition.before.failure_record.failing_since)
            told.add(self.teller.plan_notifications(decision, facts, now))
        return told

    def _on_tick(
        self,
        before: Incident,
        decision: Decision,
        task: SupervisedTask | None,
        supervisor: Supervisor,
        now: float,
    ) -> IncidentChanges:
        incident = decision.incident
        assert incident is not None
        if incident.kind is IncidentKind.UNCLEAN_END and not incident.is_open:
            return self.teller.plan_notifications(
                decision, start.stable_again(before, supervisor.tasks, now), now
            )
        if not incident.is_open:
            return self.teller.plan_notifications(decision, recovery_facts(before, now), now)
        facts = stored_facts(incident) if task is None else failure_facts(task, incident)
        if before.acknowledged_by is not None and incident.acknowledged_by is None:
            facts = replace(facts, acknowledged_by=before.acknowledged_by)
        if incident.kind is IncidentKind.STORM:
            facts = storm_facts(incident)
        return self.teller.plan_notifications(decision, facts, now)

    def _escalate(self, incident: Incident, now: float) -> IncidentChanges:
        level = due_level(self._levels, incident, now)
        told = IncidentChanges()
        if level is None:
            return told
        raised = replace(incident, level=incident.level + 1)
        known = storm_facts(incident) if incident.kind is IncidentKind.STORM else stored_facts(incident)
        facts = replace(known, level=raised.level, failing_since=incident.opened_at)
        notes: list[Notification] = []
        for call in calls_for(level, self.oncall, self.overrides, now):
            named = replace(
                facts,
                mention=", ".join(person.called for person in call.people) or None,
                called=tuple((person.called, person.mention_id) for person in call.people),
            )
            to = (call.destination,)
            notes += self.teller.for_incident(raised, NotificationKind.ESCALATION, named, now, to=to)
        raised = decisions.queued(raised, notes, now)
        told.add(self.teller.plan_notifications(Decision(raised), stored_facts(incident), now))
        told.notifications += notes
        return told

    def _end_silences(self, now: float) -> IncidentChanges:
        """Those whose time has come; what is still broken under them is told."""
        told = IncidentChanges()
        for silence in list(self.teller.silences.values()):
            over = silence.ends_at is None and self.find_incident(int(silence.target)) is None
            if over or not silence.active(now):
                told.add(self.end_silence(silence, now, None))
        return told

    def end_silence(self, silence: Silence, now: float, by: str | None) -> IncidentChanges:
        """`by`: who lifted it, None: its time has come. The caller commits."""
        del self.teller.silences[silence.id]
        told = IncidentChanges()
        broken = [one for one in self.book.open() if one.silenced_by == silence.id]
        if broken:
            names = tuple(dict.fromkeys(one.task or one.kind.value for one in broken))
            facts = Facts(lines=names[:20], count=len(names), by=by, text=silence.reason or None)
            loud = max((one.severity for one in broken), key=list(Severity).index)
            told.notifications += self.teller.broadcast(NotificationKind.SILENCE_OVER, loud, facts, now)
        for incident in broken:
            told.add(self.teller.notify_after_unmute(incident, now))
        ended = replace(silence, ended_at=now, ended_by=by)
        self._journal.append(Commit(silences=(silence_row(ended),)))
        return told

    def _explained_by(self, incident: Incident) -> int | None:
        if incident.task is None:
            return None
        known = incident.explained_by
        if known is not None and known not in self._dependents and self.find_incident(known) is not None:
            return known  # the runner before this one knew whom it explains
        for number, tasks in self._dependents.items():
            if incident.task in tasks and self.find_incident(number) is not None:
                return number
        return None

    def _new_key(self) -> str:
        self._keys += 1
        return run_id(self._generation, self._keys)

    def _commit(self, told: IncidentChanges, more: Commit = Commit()) -> None:  # noqa: B008 -- frozen
        self._journal.append(
            replace(
                more,
                incidents=tuple(to_row(incident) for incident in told.incidents.values()),
                notifications=tuple(owed_row(note) for note in told.notifications),
            )
        )
