"""Incidents and what people are told of them: the rules alone."""

from __future__ import annotations

from dataclasses import replace

from runner.alerting import incident as rules
from runner.alerting.incident import AlertSettings, Decision, Incident, IncidentKind, IncidentState
from runner.alerting.notification import NotificationKind, Severity
from runner.supervision.state import Failure, Past, State, TaskState
from tests.alerting.story import NOW, failure

SETTINGS = AlertSettings(repeated_errors=3, remind_every=1800.0)


def failed(failures: int, state: State = State.BACKOFF, what: Failure | None = None) -> TaskState:
    past = Past(failing_since=NOW, failed_at=NOW, failure=what or failure(), failures_total=failures)
    return TaskState(state=state, failures=failures, past=past)


def on_failure(
    incident: Incident | None, failures: int, state: State = State.BACKOFF, now: float = NOW
) -> Decision:
    before = failed(failures - 1)
    return rules.on_failure(SETTINGS, incident, before, failed(failures, state), now, 7, "task")


def opened(**more: object) -> Incident:
    incident = on_failure(None, 3).incident
    assert incident is not None
    return replace(incident, **more)  # type: ignore[arg-type]


def test_failures_below_the_threshold_are_nobodys_business() -> None:
    for failures in (1, 2):
        assert on_failure(None, failures) == Decision(None)


def test_the_configured_streak_opens_one_incident_and_tells_once() -> None:
    decision = on_failure(None, 3)
    assert decision.tell is NotificationKind.REPEATED_ERRORS
    incident = decision.incident
    assert incident is not None
    assert (incident.id, incident.kind, incident.severity, incident.state) == (
        7,
        IncidentKind.REPEATED_ERRORS,
        Severity.WARNING,
        IncidentState.OPEN,
    )
    assert incident.summary == "ConnectionError: timed out"
    again = on_failure(incident, 4, now=NOW + 60)
    assert again.tell is None
    assert again.incident is not None
    assert (again.incident.failures, again.incident.opened_at) == (4, NOW)


def test_a_streak_that_began_before_the_incident_is_told_even_if_the_threshold_was_passed_long_ago() -> None:
    """The runner was updated with a lower threshold, or restarted in the middle of a streak."""
    assert on_failure(None, 9).tell is NotificationKind.REPEATED_ERRORS


def test_a_critical_stop_makes_the_same_incident_critical_and_open_again() -> None:
    acknowledged = opened(state=IncidentState.ACKNOWLEDGED, acknowledged_by="telegram:1", acknowledged_at=NOW)
    decision = on_failure(acknowledged, 5, State.STOPPED, NOW + 120)
    assert decision.tell is NotificationKind.CRITICAL_STOP
    assert decision.incident is not None
    assert decision.incident.id == acknowledged.id
    assert decision.incident.kind is IncidentKind.CRITICAL_STOP
    assert decision.incident.severity is Severity.CRITICAL
    assert decision.incident.state is IncidentState.OPEN
    assert decision.incident.notified_at == NOW + 120


def test_a_stop_before_the_threshold_is_told_as_a_stop_alone() -> None:
    assert on_failure(None, 1, State.STOPPED).tell is NotificationKind.CRITICAL_STOP


def test_a_probe_that_fails_in_a_stopped_task_is_counted_and_not_told_again() -> None:
    incident = on_failure(None, 5, State.STOPPED).incident
    assert incident is not None
    before, after = failed(5, State.STOPPED), failed(6, State.STOPPED)
    decision = rules.on_failure(SETTINGS, incident, before, after, NOW + 600, 8, "task")
    assert decision.tell is None
    assert decision.incident is not None
    assert decision.incident.failures == 6


def test_recovery_resolves_and_tells_who_restarted() -> None:
    restarted = rules.on_restart(opened(), "telegram:111", NOW + 5)
    assert restarted.tell is None
    assert restarted.incident is not None
    assert restarted.incident.state is IncidentState.OPEN
    recovered = rules.on_recovery(restarted.incident, NOW + 9)
    assert recovered.tell is NotificationKind.RECOVERED
    assert recovered.incident is not None
    assert recovered.incident.state is IncidentState.RESOLVED
    assert (recovered.incident.resolved_at, recovered.incident.resolved_by) == (NOW + 9, "telegram:111")


def test_a_restart_that_did_not_help_is_not_praised_later() -> None:
    restarted = rules.on_restart(opened(), "telegram:111", NOW + 5).incident
    stopped = on_failure(restarted, 5, State.STOPPED, NOW + 100).incident
    assert stopped is not None
    assert stopped.resolved_by is None


def test_recovery_without_an_incident_is_silent() -> None:
    assert rules.on_recovery(None, NOW) == Decision(None)
    assert rules.on_restart(None, "cli:ann", NOW) == Decision(None)


def test_reminders_come_at_their_interval_and_not_for_what_somebody_has_taken_on() -> None:
    incident = opened()
    assert rules.reminder(SETTINGS, incident, failed(4), NOW + 1799) is None
    due = rules.reminder(SETTINGS, incident, failed(4), NOW + 1800)
    assert due is not None
    assert due.incident is not None
    assert due.incident.notified_at == NOW + 1800
    taken = replace(incident, state=IncidentState.ACKNOWLEDGED)
    assert rules.reminder(SETTINGS, taken, failed(4), NOW + 9999) is None
    assert rules.reminder(SETTINGS, incident, failed(4, State.PAUSED), NOW + 9999) is None


def test_a_cause_is_the_exceptions_type_and_the_users_own_frame_not_its_text() -> None:
    one, two = failure("connection 17 lost"), failure("connection 18 lost")
    assert rules.fingerprint(one) == rules.fingerprint(two)
    assert rules.fingerprint(one) != rules.fingerprint(failure(where="presales.py:90 in sell"))
    assert rules.fingerprint(one) != rules.fingerprint(failure(kind="KeyError"))


def test_a_summary_is_bounded() -> None:
    assert len(rules.summary(failure("x" * 100_000))) == 500
