"""Collects the data of messages from tasks, incidents and troubles."""

from __future__ import annotations

import re
from dataclasses import replace

from dozor.alerting.model.codec import stored_facts
from dozor.alerting.model.full_text import KEPT, attachment_text, set_text
from dozor.alerting.model.incident import Incident
from dozor.alerting.model.notification import AlertData
from dozor.config.durations import format_duration
from dozor.config.incident_kinds import IncidentKind
from dozor.supervision.core.state import State, StopCause
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.observer import Trouble

_VARYING = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\d+", re.IGNORECASE)


def failure_facts(task: SupervisedTask, incident: Incident) -> AlertData:
    """Of a failing task, as it is now."""
    state, policy = task.state, task.spec.policy
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
    )
    if incident.kind in (IncidentKind.REPEATED_ERRORS, IncidentKind.CRITICAL_STOP):
        return replace(facts, whole=attachment_text(facts, failure.traceback)) if failure else facts
    return stored_facts(incident)


def window_of(task: SupervisedTask) -> str | None:
    """The limit of failures within a time that stopped the task; None: another reason."""
    limit = task.spec.policy.max_failures
    stopped = (
        task.state.state is State.STOPPED and task.state.failure_record.stopped_by is StopCause.INTENSITY
    )
    return f"{limit.count} / {format_duration(limit.within)}" if stopped and limit is not None else None


def recovery_facts(incident: Incident, now: float, *, since: float | None = None) -> AlertData:
    """`since`: the first failure (seconds since the epoch), if it is known better than by the incident."""
    began = incident.opened_at if since is None else since
    return AlertData(
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
        trouble=IncidentKind.STORM.value, failing_since=incident.opened_at, count=incident.failures
    )


def fingerprint_of(text: str) -> str:
    """The fingerprint of a text: numbers and ids in it make no new incident."""
    return _VARYING.sub("#", text[:KEPT].partition("\n")[0])[:200]
