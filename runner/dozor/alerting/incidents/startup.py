"""The report of a start: what it has found of the previous runner, and how severe that is. Pure.

clean end ─────▶ a message: without a sound, unless the gap was long or a task is broken;
                 in a restart loop one message, then none
unclean end ───▶ an incident, and this is its message; further unclean ends are counted in it,
                 and it is resolved when the runner has stayed up for `rules.STEADY`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dozor.alerting.incidents import rules
from dozor.alerting.incidents.rules import Decision
from dozor.alerting.model.codec import stored_facts
from dozor.alerting.model.copies import replace
from dozor.alerting.model.incident import AlertSettings, Incident
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.config.values.durations import format_duration
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.language import msg
from dozor.storage.tables.runners import Registration
from dozor.storage.tables.tasks import TaskRow
from dozor.supervision.core.misfires import missed
from dozor.supervision.core.state import State
from dozor.supervision.tasks.task import SupervisedTask

RUNNER = "runner"
"""The fingerprint: all unclean ends of the runner are one incident."""
KEY = ("", IncidentKind.UNCLEAN_END.value, RUNNER)
SHORT_GAP = 60.0
"""Seconds without a runner after a clean end that make no sound: an upgrade, a changed setting."""
LONG_GAP = 600.0
"""Seconds without a runner after which an unclean end is sent again, however many were counted."""
RESTART_LOOP = 5
"""Clean starts within `runners.LATELY`: this one is a warning, later ones send nothing."""


def startup_report(
    registration: Registration,
    tasks: Sequence[SupervisedTask],
    stored: Mapping[str, TaskRow],
    *,
    lost: Iterable[str],
    pending: int,
    now: float,
    suspects: Sequence[str] = (),
    hold: float = 0.0,
) -> AlertData:
    """What a start has found.

    `tasks`: as they begin. `stored`: as the last runner left them. `lost`: whose runs were cut off in the
    middle. `pending`: messages not sent yet. `now`: seconds since the epoch. `suspects`: of a crash loop, the
    first of which starts in `hold` seconds.
    """
    before = registration.before
    if before is None:
        return AlertData(count=len(tasks), starts=registration.starts, owed_before=pending)
    policies = ((task.spec.policy, stored.get(task.spec.name)) for task in tasks)
    due = missed(((policy, row) for policy, row in policies if row is not None), now - before.ago, now)
    return AlertData(
        count=len(tasks),
        starts=registration.starts,
        unclean_end=not before.clean,
        off_since=before.at,
        off_for=before.ago,
        stopped_tasks=_named(tasks, State.STOPPED),
        paused_tasks=_named(tasks, State.PAUSED),
        lost_tasks=tuple(lost),
        missed_runs=due.runs,
        missed_tasks=due.tasks,
        missed_more=due.more,
        owed_before=pending,
        suspects=tuple(suspects),
        suspects_hold=hold,
    )


def report_severity(found: AlertData) -> Severity | None:
    """Of the message about a clean start; None: there is none, or an incident reports it."""
    if found.unclean_end or found.starts > RESTART_LOOP:
        return None
    if found.off_for is None:
        return Severity.INFO
    broken = bool(found.stopped_tasks or found.lost_tasks)
    if found.starts == RESTART_LOOP or found.off_for >= SHORT_GAP or broken:
        return Severity.WARNING
    return Severity.INFO


def decide(
    settings: AlertSettings, incident: Incident | None, found: AlertData, now: float, new_id: int
) -> Decision:
    """What becomes of the incident of unclean ends. `incident`: open or just resolved."""
    if not found.unclean_end:
        if incident is None or not incident.is_open:
            return Decision(None)
        return Decision(replace(incident, updated_at=now))  # STEADY counts from this start
    gap = found.off_for or 0.0
    text = msg("log-nobody-on-watch", time=format_duration(round(gap)))
    kind = IncidentKind.UNCLEAN_END
    decision = rules.on_trouble(settings, incident, kind, None, RUNNER, text, now, new_id)
    known = () if incident is None or not incident.is_open else stored_facts(incident).suspects
    news = gap >= LONG_GAP or not set(found.suspects) <= set(known)
    if decision.incident is not None and decision.notify is None and news:
        return Decision(replace(decision.incident, notified_at=now), NotificationKind.TROUBLE)
    return decision


def incident_facts(found: AlertData, incident: Incident | None) -> AlertData:
    """What the incident's message says."""
    if incident is None or not found.unclean_end:
        return found if incident is None else stored_facts(incident)
    return replace(
        found,
        trouble=IncidentKind.UNCLEAN_END.value,
        subject=RUNNER,
        failures=incident.failures,
        failing_since=incident.opened_at,
        occurrences=incident.occurrences,
    )


def stable_again(incident: Incident, tasks: Iterable[SupervisedTask], now: float) -> AlertData:
    """The runner has stayed up: what is still true of the report of its start."""
    facts = stored_facts(incident)
    stopped = set(_named(tasks, State.STOPPED))
    return replace(
        facts,
        lasted=now - incident.opened_at,
        stopped_tasks=tuple(name for name in facts.stopped_tasks if name in stopped),
        paused_tasks=(),
        suspects=(),
        open_before=0,
        owed_before=0,
    )


def _named(tasks: Iterable[SupervisedTask], state: State) -> tuple[str, ...]:
    return tuple(task.spec.name for task in tasks if task.state.state is state)
