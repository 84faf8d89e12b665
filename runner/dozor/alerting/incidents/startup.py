"""A start: what it has found of the time before, and how people hear of it. Pure.

clean end ─────▶ a message of its own: without a sound, unless the gap was long or something is broken;
                 one that starts again and again says so once, then nothing
unclean end ───▶ an incident, and this is its message; the next ones are counted in it,
                 and it is over when the runner has stayed up for a while (`rules.STEADY`)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dozor.alerting.incidents import rules
from dozor.alerting.incidents.rules import Decision
from dozor.alerting.model.codec import stored_facts
from dozor.alerting.model.incident import AlertSettings, Incident
from dozor.alerting.model.notification import Facts, NotificationKind
from dozor.config.durations import format_duration
from dozor.config.incident_kinds import IncidentKind, Severity
from dozor.language import msg
from dozor.storage.tables.runners import Registration
from dozor.storage.tables.tasks import TaskRow
from dozor.supervision.core.misfires import missed
from dozor.supervision.core.state import State
from dozor.supervision.tasks.task import SupervisedTask

RUNNER = "runner"
"""The cause: there is one runner, and each unclean end of it is the same thing again."""
KEY = ("", IncidentKind.UNCLEAN_END.value, RUNNER)
SHORT_GAP = 60.0
"""Seconds without a watch that are worth no sound after a clean end: a new version, a changed setting."""
LONG_GAP = 600.0
"""Seconds after which an unclean end is told anew, however many there were: this one was no quick restart."""
RESTART_LOOP = 5
"""Clean starts within `runners.LATELY`: this one is told loudly, later ones not at all."""


def startup_report(
    registration: Registration,
    tasks: Sequence[SupervisedTask],
    stored: Mapping[str, TaskRow],
    *,
    lost: Iterable[str],
    owed: int,
    now: float,
) -> Facts:
    """What a start has found.

    `tasks`: as they begin. `stored`: as the last runner left them. `lost`: whose runs were cut off in the
    middle. `owed`: messages that are still to be sent. `now`: seconds since the epoch.
    """
    before = registration.before
    if before is None:
        return Facts(count=len(tasks), starts=registration.starts, owed_before=owed)
    policies = ((task.spec.policy, stored.get(task.spec.name)) for task in tasks)
    due = missed(((policy, row) for policy, row in policies if row is not None), now - before.ago, now)
    return Facts(
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
        owed_before=owed,
    )


def report_severity(found: Facts) -> Severity | None:
    """Of the message about a clean start; None: it is not worth one, or an incident tells of it."""
    if found.unclean_end or found.starts > RESTART_LOOP:
        return None
    if found.off_for is None:
        return Severity.INFO
    broken = bool(found.stopped_tasks or found.lost_tasks)
    if found.starts == RESTART_LOOP or found.off_for >= SHORT_GAP or broken:
        return Severity.WARNING
    return Severity.INFO


def decide(
    settings: AlertSettings, incident: Incident | None, found: Facts, now: float, new_id: int
) -> Decision:
    """What becomes of the incident of unclean ends. `incident`: open or just resolved."""
    if not found.unclean_end:
        if incident is None or not incident.is_open:
            return Decision(None)
        return Decision(replace(incident, updated_at=now))  # it has to prove itself from here on
    gap = found.off_for or 0.0
    said = msg("log-nobody-on-watch", time=format_duration(round(gap)))
    kind = IncidentKind.UNCLEAN_END
    decision = rules.on_trouble(settings, incident, kind, None, RUNNER, said, now, new_id)
    if decision.incident is not None and decision.tell is None and gap >= LONG_GAP:
        return Decision(replace(decision.incident, notified_at=now), NotificationKind.TROUBLE)
    return decision


def incident_facts(found: Facts, incident: Incident | None) -> Facts:
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


def stable_again(incident: Incident, tasks: Iterable[SupervisedTask], now: float) -> Facts:
    """The runner has stayed up: what is left of what its start found."""
    facts = stored_facts(incident)
    stopped = set(_named(tasks, State.STOPPED))
    return replace(
        facts,
        lasted=now - incident.opened_at,
        stopped_tasks=tuple(name for name in facts.stopped_tasks if name in stopped),
        paused_tasks=(),
        open_before=0,
        owed_before=0,
    )


def _named(tasks: Iterable[SupervisedTask], state: State) -> tuple[str, ...]:
    return tuple(task.spec.name for task in tasks if task.state.state is state)
