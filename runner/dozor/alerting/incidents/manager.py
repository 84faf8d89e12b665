"""The incident manager: opens, continues and resolves incidents from what supervision reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dozor.alerting.incidents import decisions, rules
from dozor.alerting.incidents import startup as start
from dozor.alerting.incidents.escalator import Escalator
from dozor.alerting.incidents.facts import (
    failure_facts,
    fingerprint_of,
    recovery_facts,
    reminder_facts,
    trouble_facts,
)
from dozor.alerting.incidents.notifications import NotificationFactory, Routes, everything_to_the_chat
from dozor.alerting.incidents.planner import NotificationPlanner
from dozor.alerting.incidents.rules import Decision
from dozor.alerting.incidents.run_history import finished_runs
from dozor.alerting.incidents.store import IncidentChanges, IncidentStore
from dozor.alerting.model.codec import stored_facts, to_row
from dozor.alerting.model.copies import replace
from dozor.alerting.model.decisions import Because
from dozor.alerting.model.full_text import set_text
from dozor.alerting.model.incident import DEFAULT_SETTINGS, AlertSettings, Incident
from dozor.alerting.model.notification import AlertData, EndCause, Notification, NotificationKind
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall
from dozor.alerting.policy.silences import Silence, covering
from dozor.clock import Clock
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.storage.journal import Commit, Journal
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.silences import OverrideRow
from dozor.supervision.core.events import Cancelled, Failed, Interrupted, Restart
from dozor.supervision.core.state import State
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.task import SupervisedTask, run_id
from dozor.supervision.telemetry.metrics import RunMetrics
from dozor.supervision.telemetry.observer import Transition, Trouble, TroubleKind

STOP_TURN = 1.0
"""Seconds: what ends within them after a critical stop of the same task ended by it."""
MAX_CAUSES = 5
"""Open incidents of one failure streak; failures with other causes are counted in the worst of them."""


class IncidentManager:
    """The supervisor's observer: one commit for each transition, with everything that belongs to it."""

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
        overrides: Iterable[OverrideRow] = (),
    ) -> None:
        self._measures = measures
        self.succeeded = measures.succeeded
        """Successful runs are only counted (the checkpoint writes them), without a call in between."""
        self._journal = journal
        self._clock = clock
        self._settings = settings
        self._generation = journal.registration.runner_id
        self._keys = 0
        self.store = IncidentStore(open_incidents, last_incident_id)
        self.silences = {silence.id: silence for silence in silences}
        """Those that have not ended, by id."""
        self.oncall = OnCall() if oncall is None else oncall
        self.overrides = list(overrides)
        self.notifications = NotificationFactory(self._new_key, routes=routes, quiet_at=quiet_at)
        self.planner = NotificationPlanner(self.store, self.notifications, self.silences)
        self._inhibit = self.planner.inhibit
        self._escalator = Escalator(self.planner, self.notifications, levels, self.oncall, self.overrides)

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        return self.store.open()

    def settings(self, task: str | None) -> AlertSettings:
        return self._settings.get(task or "", DEFAULT_SETTINGS)

    # -- Observer

    def transition(self, transition: Transition) -> None:
        """Write the transition, with its run, its incidents and their messages."""
        self._measures.transition(transition)
        task, before, after = transition.task, transition.before, transition.after
        changes = IncidentChanges()
        runs: tuple[RunRow, ...] = ()
        match transition.event:
            case Failed():
                runs = finished_runs(transition, self._generation)
                changes.add(self._failed(transition))
            case Interrupted() | Cancelled():
                runs = finished_runs(transition, self._generation)
            case Restart(by):
                for incident in self.store.failures_of(task.spec.name):
                    decision = rules.on_restart(incident, by, transition.now)
                    changes.add(
                        self.planner.plan_notifications(decision, stored_facts(incident), transition.now)
                    )
            case _:
                pass
        if before.failure_record.failing_since is not None and after.failure_record.failing_since is None:
            changes.add(self._recovered(transition))
        self.commit(changes, Commit(tasks=(task.row(),), runs=runs))

    def checker_alert(self, task: SupervisedTask, text: str, severity: str) -> None:
        """`ctx.alert` of a checker: one incident for each fingerprint; repetitions are counted in it."""
        now, name = self._clock.now(), task.spec.name
        level = Severity(severity)
        facts = set_text(AlertData(), text)
        if level is Severity.INFO:
            self.enqueue(self.notifications.broadcast(NotificationKind.CHECKER, level, facts, now, task=name))
            return
        cause = fingerprint_of(text)
        found = self.store.find((name, IncidentKind.CHECKER.value, cause))
        kind, settings = IncidentKind.CHECKER, self.settings(name)
        new_id = self.store.next_id
        decision = rules.on_trouble(settings, found, kind, name, cause, text, now, new_id, level)
        self.commit(self.planner.plan_notifications(decision, facts, now))

    # -- TroubleListener

    def raised(self, trouble: Trouble) -> None:
        """A monitor has found something wrong that is not a failed run."""
        kind = IncidentKind(trouble.kind.value)
        since = None
        if trouble.seconds is not None and kind is not IncidentKind.BACKLOG:  # its age is that of an item
            since = self._clock.now() - trouble.seconds
        self.open_incident(kind, trouble.subject, trouble_facts(trouble), task=trouble.task, since=since)
        if kind is IncidentKind.DEPENDENCY:
            found = self.store.find(("", kind.value, trouble.subject))
            if found is not None:
                self._inhibit.explain(found.id, {*trouble.explains, *trouble.waiting})

    def changed(self, trouble: Trouble) -> None:
        """The trouble continues with other facts: its incident, and the message about it, are corrected."""
        now = self._clock.now()
        found = self.store.find((trouble.task or "", trouble.kind.value, trouble.subject))
        if found is None or not found.is_open:
            return
        if trouble.kind is TroubleKind.DEPENDENCY:
            self._inhibit.explain(found.id, {*trouble.explains, *trouble.waiting})
        facts = replace(
            trouble_facts(trouble),
            trouble=trouble.kind.value,
            subject=trouble.subject,
            failing_since=found.opened_at,
        )
        decision = Decision(replace(found, updated_at=now))
        self.commit(self.planner.plan_notifications(decision, facts, now))

    def cleared(self, trouble: Trouble) -> None:
        """It is over."""
        if trouble.kind is TroubleKind.HUNG and self._end_with_stop(trouble):
            return
        self.resolve_incident(IncidentKind(trouble.kind.value), trouble.subject, task=trouble.task)

    def open_incident(
        self,
        kind: IncidentKind,
        subject: str,
        facts: AlertData,
        *,
        task: str | None = None,
        to: tuple[str, ...] | None = None,
        since: float | None = None,
    ) -> Incident | None:
        """Open, continue or count the incident of this kind and subject. `to`: notify these destinations.

        `since`: when it really began (seconds since the epoch), if that was before it was noticed.
        """
        now = self._clock.now()
        began = now if since is None else min(since, now)
        facts = replace(facts, trouble=kind.value, subject=subject, failing_since=began)
        found = self.store.find((task or "", kind.value, subject))
        if found is not None and found.is_open:
            facts = replace(facts, failing_since=stored_facts(found).failing_since or found.opened_at)
        summary = facts.text or subject
        decision = rules.on_trouble(
            self.settings(task), found, kind, task, subject, summary, now, self.store.next_id
        )
        self.commit(self.planner.plan_notifications(decision, facts, now, to=to))
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
        found = self.store.find((task or "", kind.value, subject))
        if found is None or not found.is_open:
            return
        self._inhibit.forget(found.id)
        decision = rules.on_recovery(self.settings(task), found, now)
        self.commit(self.planner.plan_notifications(decision, recovery_facts(found, now), now, to=to))

    def _end_with_stop(self, trouble: Trouble) -> bool:
        """Whether the run that hung ended by stopping its task just now, which has no message of its own."""
        now, name = self._clock.now(), trouble.task or ""
        found = self.store.find((name, trouble.kind.value, trouble.subject))
        stops = (one for one in self.store.failures_of(name) if one.kind is IncidentKind.CRITICAL_STOP)
        if found is None or not found.is_open or not any(now - one.notified_at < STOP_TURN for one in stops):
            return False
        decision = Decision(rules.resolve(found, now).incident, because=Because.STOPPED)
        facts = recovery_facts(found, now, ended=EndCause.STOPPED)
        self.commit(self.planner.plan_notifications(decision, facts, now))
        return True

    # -- by the clock

    def tick(self, supervisor: Supervisor) -> None:
        """Reminders, escalation, expired acknowledgements and silences; call it every second or so."""
        now = self._clock.now()
        changes = self._end_silences(now)
        for number in [one.id for one in self.store.open()]:
            # Read anew: what ends in this round changes its storm.
            incident = self.find_incident(number)
            if incident is None:
                continue
            task = None if incident.task is None else supervisor.find(incident.task)
            if incident.task is not None and task is None:
                continue
            state = None if task is None else task.state.state
            changes.add(self._on_tick(incident, task, supervisor, now))
            if (left := self.find_incident(number)) is not None:
                changes.add(self._escalator.check(left, state, now))
        if changes.incidents or changes.notifications:
            self.commit(changes)
        kept = max((one.reopen_within for one in self._settings.values()), default=0.0)
        self.store.forget(now - max(DEFAULT_SETTINGS.reopen_within, 3600.0, kept))

    def _on_tick(
        self, before: Incident, task: SupervisedTask | None, supervisor: Supervisor, now: float
    ) -> IncidentChanges:
        decision = rules.on_tick(self.settings(before.task), before, now)
        incident = decision.incident
        if incident is None or incident is before or decision.due is not None:
            if self._inhibit.released(before):
                return self.planner.notify_after_unmute(before, now)
            if decision.due is None or incident is None:
                return IncidentChanges()
            held = self.planner.hold_due(decision, None if task is None else task.state.state, now)
            if held is not None:
                return held
        if incident.kind is IncidentKind.UNCLEAN_END and not incident.is_open:
            return self.planner.plan_notifications(
                decision, start.stable_again(before, supervisor.tasks, now), now
            )
        if not incident.is_open:
            ended = EndCause.LAPSED if decision.because is Because.LAPSED else None
            return self.planner.plan_notifications(decision, recovery_facts(before, now, ended=ended), now)
        facts = reminder_facts(task, incident, now)
        if before.acknowledged_by is not None and incident.acknowledged_by is None:
            facts = replace(facts, acknowledged_by=before.acknowledged_by)
        return self.planner.plan_notifications(decision, facts, now)

    def _end_silences(self, now: float) -> IncidentChanges:
        changes = IncidentChanges()
        for silence in list(self.silences.values()):
            over = silence.ends_at is None and self.find_incident(int(silence.target)) is None
            if over or not silence.active(now):
                changes.add(self.end_silence(silence, now, None))
        return changes

    # -- the configuration

    def resolve_removed_tasks(self, supervisor: Supervisor) -> None:
        """Resolve the incidents of tasks that are not supervised any more, without a message."""
        now = self._clock.now()
        changes = IncidentChanges()
        for incident in self.store.open():
            if incident.task is not None and supervisor.find(incident.task) is None:
                closed = rules.resolve(incident, now).incident
                decision = Decision(closed, because=Because.UNCONFIGURED)
                facts = recovery_facts(incident, now, ended=EndCause.UNCONFIGURED)
                changes.add(self.planner.plan_notifications(decision, facts, now))
        self.commit(changes)

    def use_settings(self, settings: Mapping[str, AlertSettings]) -> None:
        """By task, from now on."""
        self._settings = settings

    # -- people

    def find_incident(self, incident_id: int) -> Incident | None:
        """The open incident with this id; None: there is none."""
        found = self.store.by_id(incident_id)
        return found if found is not None and found.is_open else None

    def silence_of(self, incident: Incident, now: float) -> Silence | None:
        """The active silence that covers it, the one that lasts longest."""
        return covering(
            self.silences.values(), now, incident=incident.id, task=incident.task, kind=incident.kind
        )

    def apply(self, decision: Decision) -> IncidentChanges:
        """A person's decision about an incident; the caller commits it."""
        assert decision.incident is not None
        return self.planner.plan_notifications(decision, stored_facts(decision.incident), self._clock.now())

    def end_silence(self, silence: Silence, now: float, by: str | None) -> IncidentChanges:
        """Notify about what is still broken under it. `by`: who ended it, None: it has expired.

        The caller commits.
        """
        del self.silences[silence.id]
        changes = IncidentChanges()
        broken = [one for one in self.store.open() if one.silenced_by == silence.id]
        freed = [one for one in broken if self.silence_of(one, now) is None]
        if freed:
            names = tuple(dict.fromkeys(one.task or f"kind:{one.kind.value}" for one in freed))
            facts = AlertData(lines=names[:20], count=len(names), by=by, text=silence.reason or None)
            worst = max((one.severity for one in freed), key=list(Severity).index)
            changes.notifications += self.notifications.broadcast(
                NotificationKind.SILENCE_OVER, worst, facts, now
            )
        for incident in broken:
            changes.add(self.planner.notify_after_unmute(incident, now))
        ended = replace(silence, ended_at=now, ended_by=by)
        self._journal.append(Commit(silences=(ended,)))
        return changes

    # -- writing

    def enqueue(self, notes: Iterable[Notification]) -> None:
        """Queue messages that belong to no incident."""
        self.commit(IncidentChanges(notifications=list(notes)))

    def commit(self, changes: IncidentChanges, more: Commit = Commit()) -> None:  # noqa: B008 -- frozen
        """Have `changes` written, together with `more`, in one transaction."""
        self._journal.append(
            replace(
                more,
                incidents=tuple(changes.incidents.values()),
                notifications=tuple(to_row(note) for note in changes.notifications),
            )
        )

    # -- inside

    def _failed(self, transition: Transition) -> IncidentChanges:
        name, after, now = transition.task.spec.name, transition.after, transition.now
        failure = after.failure_record.failure
        assert failure is not None
        found = self.store.find((name, "failure", rules.fingerprint(failure)))
        if found is None or not found.is_open:
            others = self.store.failures_of(name)
            stopped = after.state is State.STOPPED
            if others and (stopped or len(others) >= MAX_CAUSES):
                found = others[0]
        settings = self.settings(name)
        decision = rules.on_failure(settings, found, transition.before, after, now, self.store.next_id, name)
        if decision.incident is None or (decision.incident is found and decision.notify is None):
            return IncidentChanges()
        facts = failure_facts(transition.task, decision.incident)
        if not self.store.failures_of(name) and decision.incident.is_open:
            first = decisions.below_threshold(decision.incident, settings, after, now)
            decision = replace(decision, incident=first)
        return self.planner.plan_notifications(decision, facts, now)

    def _recovered(self, transition: Transition) -> IncidentChanges:
        """All causes of the streak are over; one message reports it, about the worst one notified."""
        name, now = transition.task.spec.name, transition.now
        changes, announced = IncidentChanges(), False
        for incident in sorted(self.store.failures_of(name), key=lambda one: not one.told):
            decision = rules.on_recovery(self.settings(name), incident, now)
            if announced:
                decision = Decision(decision.incident, because=Because.SAME_END)
            announced = announced or decision.notify is not None
            facts = recovery_facts(
                incident,
                now,
                since=transition.before.failure_record.failing_since,
                failures=transition.before.failures,
            )
            changes.add(self.planner.plan_notifications(decision, facts, now))
        return changes

    def _new_key(self) -> str:
        self._keys += 1
        return run_id(self._generation, self._keys)
