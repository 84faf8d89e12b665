"""Collects the data of messages from tasks, incidents and troubles."""

from __future__ import annotations

import re

from dozor.alerting.model.codec import stored_facts
from dozor.alerting.model.copies import replace
from dozor.alerting.model.full_text import KEPT, attachment_text, set_text
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import AlertData, EndCause
from dozor.config.values.durations import format_duration
from dozor.config.values.incident_kinds import KINDS, IncidentKind
from dozor.supervision.core.state import State, StopCause
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import Trouble

_VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+", re.IGNORECASE)


def failure_facts(task: SupervisedTask, incident: Incident) -> AlertData:
    """Of a failing task, as it is now."""
    state, policy = task.state, task.spec.policy
    if not KINDS[incident.kind].streak:
        return replace(stored_facts(incident), task_state=state.state.value)
    failure = state.failure_record.failure
    facts = AlertData(
        failures=incident.failures,
        max_failures=policy.max_consecutive_failures,
        error_type=failure.error_type if failure else None,
        error_text=failure.error_text if failure else None,
        error_where=failure.where if failure else None,
        window=window_of(task),
        failing_since=state.failure_record.failing_since,
        next_run_at=state.next_at,
        occurrences=incident.occurrences,
        task_state=state.state.value,
    )
    whole = None if failure is None else attachment_text(facts, failure.traceback)
    return facts if whole is None else replace(facts, whole=whole)


def reminder_facts(task: SupervisedTask | None, incident: Incident, now: float) -> AlertData:
    """As the incident is now, some time after its first message."""
    if incident.kind is IncidentKind.STORM:
        return storm_facts(incident)
    facts = stored_facts(incident) if task is None else failure_facts(task, incident)
    if incident.kind is IncidentKind.BACKLOG and task is not None and task.backlog is not None:
        size, oldest_at = task.backlog
        age = None if oldest_at is None else now - oldest_at.timestamp()
        facts = replace(facts, count=size, lasted=age)
    return replace(facts, failing_since=facts.failing_since or incident.opened_at)


def window_of(task: SupervisedTask) -> str | None:
    """The limit of failures within a time that stopped the task; None: another reason."""
    limit = task.spec.policy.max_failures
    stopped = (
        task.state.state is State.STOPPED and task.state.failure_record.stopped_by is StopCause.INTENSITY
    )
    return f"{limit.count} / {format_duration(limit.within)}" if stopped and limit is not None else None


def recovery_facts(
    incident: Incident,
    now: float,
    *,
    since: float | None = None,
    failures: int | None = None,
    ended: EndCause | None = None,
) -> AlertData:
    """`since`: the first failure (seconds since the epoch), if it is known better than by the incident.

    `failures`: of the streak that has ended. `ended`: why it is closed, if it is not known to be over.
    """
    known = stored_facts(incident)
    began = since or known.failing_since or incident.opened_at
    return AlertData(
        failures=failures,
        text=known.text if incident.kind is IncidentKind.CHECKER else None,
        ended=None if ended is None else ended.value,
        about=incident.kind.value,
        failing_since=began,
        lasted=now - began,
        by=incident.resolved_by,
        occurrences=incident.occurrences,
        trouble=None if incident.task is not None else incident.kind.value,
        subject=incident.fingerprint if incident.task is None else None,
    )


def trouble_facts(trouble: Trouble) -> AlertData:
    facts = AlertData(
        lasted=trouble.seconds,
        chain=trouble.chain[-8:],
        lines=trouble.waiting[:20],
        holders=tuple((one.task, one.run_id, one.since, one.over) for one in trouble.holders[:20]),
        count=trouble.count or len(trouble.waiting) or None,
    )
    return set_text(facts, trouble.reason) if trouble.reason else facts


def storm_facts(incident: Incident) -> AlertData:
    return AlertData(
        trouble=IncidentKind.STORM.value,
        about=IncidentKind.STORM.value,
        failing_since=incident.opened_at,
        count=incident.failures,
        failures=incident.failures,
    )


def fingerprint_of(text: str) -> str:
    """The fingerprint of a text: numbers and ids in it make no new incident."""
    return _VARYING.sub("#", text[:KEPT].partition("\n")[0])[:200]
