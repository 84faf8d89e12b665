"""The rules of incidents, and which messages they cause."""

from __future__ import annotations

from dataclasses import replace

from dozor.alerting.incidents import rules
from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.planner import NotificationPlanner
from dozor.alerting.incidents.rules import Decision
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentState
from dozor.alerting.model.notification import NotificationKind
from dozor.config.values.incident_kinds import KINDS, IncidentKind, Severity
from dozor.supervision.core.state import Failure, FailureRecord, State, TaskState
from tests.alerting.story import NOW, failure

SETTINGS = AlertSettings(repeated_errors=3, remind_every=1800.0)


def failed(failures: int, state: State = State.BACKOFF, what: Failure | None = None) -> TaskState:
    past = FailureRecord(failing_since=NOW, failed_at=NOW, failure=what or failure(), failures_total=failures)
    return TaskState(state=state, failures=failures, failure_record=past)


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
    assert decision.notify is NotificationKind.REPEATED_ERRORS
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
    assert again.notify is None
    assert again.incident is not None
    assert (again.incident.failures, again.incident.opened_at) == (4, NOW)


def test_a_streak_that_began_before_the_incident_is_told_even_if_the_threshold_was_passed_long_ago() -> None:
    """The runner was updated with a lower threshold, or restarted in the middle of a streak."""
    assert on_failure(None, 9).notify is NotificationKind.REPEATED_ERRORS


def test_a_critical_stop_makes_the_same_incident_critical_and_open_again() -> None:
    acknowledged = opened(state=IncidentState.ACKNOWLEDGED, acknowledged_by="telegram:1", acknowledged_at=NOW)
    decision = on_failure(acknowledged, 5, State.STOPPED, NOW + 120)
    assert decision.notify is NotificationKind.CRITICAL_STOP
    assert decision.incident is not None
    assert decision.incident.id == acknowledged.id
    assert decision.incident.kind is IncidentKind.CRITICAL_STOP
    assert decision.incident.severity is Severity.CRITICAL
    assert decision.incident.state is IncidentState.OPEN
    assert decision.incident.notified_at == NOW + 120


def test_a_stop_before_the_threshold_is_told_as_a_stop_alone() -> None:
    assert on_failure(None, 1, State.STOPPED).notify is NotificationKind.CRITICAL_STOP


def test_a_probe_that_fails_in_a_stopped_task_is_counted_and_not_told_again() -> None:
    incident = on_failure(None, 5, State.STOPPED).incident
    assert incident is not None
    before, after = failed(5, State.STOPPED), failed(6, State.STOPPED)
    decision = rules.on_failure(SETTINGS, incident, before, after, NOW + 600, 8, "task")
    assert decision.notify is None
    assert decision.incident is not None
    assert decision.incident.failures == 6


def test_recovery_resolves_and_tells_who_restarted() -> None:
    restarted = rules.on_restart(opened(), "telegram:111", NOW + 5)
    assert restarted.notify is None
    assert restarted.incident is not None
    assert restarted.incident.state is IncidentState.OPEN
    recovered = rules.on_recovery(SETTINGS, restarted.incident, NOW + 9)
    assert recovered.notify is NotificationKind.RECOVERED
    assert recovered.incident is not None
    assert recovered.incident.state is IncidentState.RESOLVED
    assert (recovered.incident.resolved_at, recovered.incident.resolved_by) == (NOW + 9, "telegram:111")


def test_a_restart_that_did_not_help_is_not_praised_later() -> None:
    restarted = rules.on_restart(opened(), "telegram:111", NOW + 5).incident
    stopped = on_failure(restarted, 5, State.STOPPED, NOW + 100).incident
    assert stopped is not None
    assert stopped.resolved_by is None


def test_recovery_without_an_incident_is_silent() -> None:
    assert rules.on_recovery(SETTINGS, None, NOW) == Decision(None)
    assert rules.on_restart(None, "cli:ann", NOW) == Decision(None)


def test_reminders_come_at_their_interval_and_not_for_what_somebody_has_taken_on() -> None:
    incident = opened()
    assert told_at(incident, 1799) is None
    due = rules.on_tick(SETTINGS, incident, NOW + 1800)
    assert due.notify is NotificationKind.REMINDER
    assert due.incident is not None
    assert due.incident.notified_at == NOW + 1800
    # Each next one takes twice as long, up to eight times.
    assert told_at(due.incident, 1800 + 3599) is None
    assert told_at(due.incident, 1800 + 3600) is NotificationKind.REMINDER
    assert told_at(replace(incident, reminders=50), 8 * 1800) is NotificationKind.REMINDER
    assert told_at(replace(incident, reminders=50), 8 * 1800 - 1) is None
    taken = rules.acknowledge(incident, "telegram:1", NOW).incident
    assert taken is not None
    assert told_at(taken, 8 * 3600 - 1) is None
    assert told_at(incident, 9999, State.PAUSED) is None
    for quiet in ({"silenced_by": 1}, {"explained_by": 1}, {"calm_since": NOW + 9990}):
        assert told_at(replace(incident, **quiet), 9999) is None


def told_at(incident: Incident, seconds: float, state: State = State.BACKOFF) -> NotificationKind | None:
    """What the clock and then the notification pipeline make of it."""
    decision = rules.on_tick(SETTINGS, incident, NOW + seconds)
    planner = NotificationPlanner(IncidentStore([], 0), NotificationFactory(lambda: "1-1"), {})
    held = decision.due is not None and planner.hold_due(decision, state, NOW + seconds) is not None
    return None if held else decision.notify


def test_an_acknowledgement_shows_who_and_expires_into_a_reminder() -> None:
    taken = rules.acknowledge(opened(), "telegram:111", NOW + 10).incident
    assert taken is not None
    assert (taken.state, taken.acknowledged_by) == (IncidentState.ACKNOWLEDGED, "telegram:111")
    assert taken.ack_expires_at == NOW + 10 + 8 * 3600
    expired = rules.on_tick(SETTINGS, taken, NOW + 10 + 8 * 3600)
    assert expired.notify is NotificationKind.REMINDER
    assert expired.incident is not None
    assert expired.incident.state is IncidentState.OPEN
    assert expired.incident.acknowledged_by is None
    assert expired.incident.level_since == NOW + 10 + 8 * 3600


def test_an_acknowledgement_can_be_taken_back() -> None:
    taken = rules.acknowledge(opened(), "telegram:111", NOW + 10).incident
    assert taken is not None
    back = rules.unacknowledge(taken, NOW + 20)
    assert back.notify is None
    assert back.incident is not None
    assert back.incident.state is IncidentState.OPEN


def test_what_comes_back_within_a_while_is_the_same_incident() -> None:
    resolved = rules.on_recovery(SETTINGS, opened(), NOW + 60).incident
    again = on_failure(resolved, 3, now=NOW + 120)
    assert again.notify is NotificationKind.REPEATED_ERRORS
    assert again.incident is not None
    assert (again.incident.id, again.incident.occurrences) == (7, 2)
    assert again.incident.state is IncidentState.OPEN
    assert again.incident.resolved_at is None
    assert on_failure(resolved, 2, now=NOW + 120) == Decision(resolved)


def test_the_third_time_is_told_as_flapping_and_later_ones_are_only_counted() -> None:
    incident: Incident | None = opened()
    told = []
    now = NOW
    for _ in range(6):
        now += 60
        recovery = rules.on_recovery(SETTINGS, incident, now)
        now += 60
        failure_ = on_failure(recovery.incident, 3, now=now)
        incident = failure_.incident
        told.append((recovery.notify, failure_.notify))
    recovered = NotificationKind.RECOVERED
    assert told == [
        (recovered, NotificationKind.REPEATED_ERRORS),
        (recovered, NotificationKind.FLAPPING),
        (None, None),
        (None, None),
        (None, None),
        (None, None),
    ]
    assert incident is not None
    assert incident.occurrences == 7
    calm = rules.on_recovery(SETTINGS, incident, now + 60).incident
    assert calm is not None
    assert calm.is_open
    assert rules.on_tick(SETTINGS, calm, now + 60 + 599).notify is None
    over = rules.on_tick(SETTINGS, calm, now + 60 + 600)
    assert over.notify is recovered
    assert over.incident is not None
    assert not over.incident.is_open


def test_a_stop_is_told_even_of_what_flaps() -> None:
    flapping = opened(occurrences=9, calm_since=NOW + 1)
    decision = on_failure(flapping, 5, State.STOPPED, NOW + 60)
    assert decision.notify is NotificationKind.CRITICAL_STOP
    recovered = rules.on_recovery(SETTINGS, decision.incident, NOW + 90)
    assert recovered.notify is NotificationKind.RECOVERED


def test_severity_is_the_kinds_unless_the_task_says_otherwise() -> None:
    louder = AlertSettings(severities={IncidentKind.REPEATED_ERRORS: Severity.CRITICAL})
    decision = rules.on_failure(louder, None, failed(2), failed(3), NOW, 1, "task")
    assert decision.incident is not None
    assert decision.incident.severity is Severity.CRITICAL
    assert set(KINDS) == set(IncidentKind)


def test_a_trouble_is_told_once_and_counted_while_it_lasts() -> None:
    def raised(found: Incident | None, now: float) -> Decision:
        return rules.on_trouble(SETTINGS, found, IncidentKind.OVERDUE, "task", "task", "no success", now, 5)

    first = raised(None, NOW)
    assert first.notify is NotificationKind.TROUBLE
    second = raised(first.incident, NOW + 10)
    assert second.notify is None
    assert second.incident is not None
    assert second.incident.failures == 2
    over = rules.on_recovery(SETTINGS, second.incident, NOW + 20)
    assert over.notify is NotificationKind.RECOVERED


def test_an_incident_that_nobody_was_told_of_ends_in_silence() -> None:
    assert rules.on_recovery(SETTINGS, opened(told=False), NOW + 60).notify is None


def test_a_cause_is_the_exceptions_type_and_the_users_own_frame_not_its_text() -> None:
    one, two = failure("connection 17 lost"), failure("connection 18 lost")
    assert rules.fingerprint(one) == rules.fingerprint(two)
    assert rules.fingerprint(one) != rules.fingerprint(failure(where="presales.py:90 in sell"))
    assert rules.fingerprint(one) != rules.fingerprint(failure(kind="KeyError"))


def test_a_summary_is_bounded() -> None:
    assert len(rules.summary(failure("x" * 100_000))) == 500
