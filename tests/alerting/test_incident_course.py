"""How incidents go on by the clock, over starts of the runner, and in storms. Without a database."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from dozor.alerting.incidents import rules
from dozor.alerting.incidents.facts import recovery_facts
from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.planner import NotificationPlanner
from dozor.alerting.incidents.rules import CHECKER_QUIET, STEADY, Decision
from dozor.alerting.incidents.startup import (
    decide,
    incident_facts,
    report_severity,
    stable_again,
    startup_report,
)
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.incidents.storm_gate import FEW, LONGEST, Admission, StormGate
from dozor.alerting.model.codec import facts_to_json
from dozor.alerting.model.decisions import Because
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentState
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.runners import LastEnd, Registration
from dozor.supervision.core.state import State, TaskState
from tests.alerting.story import NOW
from tests.alerting.test_incident_changes import HUNG, NAME, Plan, Setup, begin_storm
from tests.alerting.test_incident_limits import incident
from tests.alerting.test_incident_records import ACKNOWLEDGED, RESOLVED, SETTINGS

# -- rules


def test_a_counted_trouble_keeps_as_much_of_its_text_as_one_that_opens() -> None:
    found = rules.on_trouble(SETTINGS, incident(), IncidentKind.OVERDUE, NAME, "1", "x" * 900, NOW, 9)
    assert found.incident is not None
    assert len(found.incident.summary) == 500


def test_what_is_due_by_the_clock_is_due_later_as_well() -> None:
    lapsed = rules.on_tick(SETTINGS, incident(kind=IncidentKind.CHECKER), NOW + CHECKER_QUIET + 9)
    assert lapsed.because is Because.LAPSED
    steady = rules.on_tick(SETTINGS, incident(kind=IncidentKind.UNCLEAN_END), NOW + STEADY + 9)
    assert steady.notify is NotificationKind.RECOVERED
    for reminders, times in ((0, 1), (1, 2), (2, 4), (3, 8), (9, 8), (30, 8)):
        one = incident(reminders=reminders)
        assert rules.on_tick(SETTINGS, one, NOW + 1800 * times - 1) == Decision(one)
        found = rules.on_tick(SETTINGS, one, NOW + 1800 * times + 5)
        assert (found.notify, found.due and found.due.at) == (NotificationKind.REMINDER, NOW + 1800 * times)
        assert found.incident is not None
        assert found.incident.reminders == reminders + 1


@pytest.mark.parametrize(("failures", "reminded"), [(1, False), (2, True), (3, True)])
def test_only_an_unclean_end_that_came_again_is_reminded_of(failures: int, *, reminded: bool) -> None:
    one = incident(kind=IncidentKind.UNCLEAN_END, failures=failures, notified_at=NOW - 5000)
    found = rules.on_tick(SETTINGS, one, NOW + 1)
    assert (found.notify is NotificationKind.REMINDER) is reminded


def test_without_its_acknowledgement_an_incident_begins_anew() -> None:
    found = rules.unacknowledge(incident(level=2, reminders=3, **ACKNOWLEDGED), NOW + 9).incident
    assert found is not None
    assert (found.level, found.reminders, found.level_since, found.state) == (
        0,
        0,
        NOW + 9,
        IncidentState.OPEN,
    )


@pytest.mark.parametrize("kind", IncidentKind)
def test_a_trouble_that_opens_has_a_bounded_summary_and_its_message(kind: IncidentKind) -> None:
    found = rules.on_trouble(SETTINGS, None, kind, NAME, "1", "x" * 900, NOW, 9)
    assert found.incident is not None
    assert (found.incident.id, len(found.incident.summary)) == (9, 500)
    checker = kind is IncidentKind.CHECKER
    assert found.notify is (NotificationKind.CHECKER if checker else NotificationKind.TROUBLE)
    resolved = rules.resolve(found.incident, NOW + 5).incident
    assert resolved is not None
    assert (resolved.failures, resolved.resolved_at) == (0, NOW + 5)


def test_times_are_differences_whatever_the_clock_shows() -> None:
    """By a clock that began not long ago: 2,500 s, and what is about it at 1,000 s."""
    over = incident(state=IncidentState.RESOLVED, resolved_at=1000.0)
    assert not rules.may_reopen(AlertSettings(reopen_within=600.0), over, 2500.0)
    assert recovery_facts(incident(opened_at=1000.0), 2500.0).lasted == 1500.0
    gate = StormGate()
    assert {gate.admit(number, 1000.0) for number in range(FEW)} == {Admission.ALONE}
    assert gate.admit(99, 2001.0) is Admission.ALONE
    for began_at, joined_at, at in (
        (1000.0, 1000.0, 2001.0),
        (1000.0, 1990.0, 2001.0),
        (100.0, 100.0, 205.0),
    ):
        gate.resume(began_at, joined_at)
        assert gate.admit(100, at) is Admission.ALONE
    plan = Plan()
    plan.store.put(incident(5, IncidentKind.STORM, task=None, failures=1, opened_at=1000.0))
    plan.store.put(incident(1, storm=5, told=False))
    changes = plan.planner.plan_notifications(rules.resolve(plan.by_id(1), 2500.0), AlertData(), 2500.0)
    assert [note.facts.lasted for note in changes.notifications] == [1500.0]
    setup = Setup(incident(1, IncidentKind.CRITICAL_STOP, notified_at=1000.0))
    setup.clock.at = 2000.5
    setup.manager.raised(HUNG)
    setup.manager.cleared(HUNG)
    assert setup.log.kinds == ["trouble", "recovered"]


# -- starts


@pytest.mark.parametrize(("starts", "severity"), [(4, "info"), (5, "warning"), (6, None), (7, None)])
def test_the_fifth_clean_start_in_a_row_is_a_warning_and_later_ones_send_nothing(
    starts: int, severity: str | None
) -> None:
    assert report_severity(AlertData(off_for=1.0, starts=starts)) == severity


def test_a_clean_start_counts_the_time_anew_for_an_open_incident_alone() -> None:
    clean, one = AlertData(off_for=5.0), incident(1, IncidentKind.UNCLEAN_END, task=None)
    assert decide(SETTINGS, None, clean, NOW + 9, 2) == Decision(None)
    assert decide(SETTINGS, replace(one, **RESOLVED), clean, NOW + 9, 2) == Decision(None)
    assert decide(SETTINGS, one, clean, NOW + 9, 2) == Decision(replace(one, updated_at=NOW + 9))
    opened = decide(SETTINGS, None, AlertData(unclean_end=True, off_for=0.0), NOW, 2).incident
    assert opened is not None
    assert "0" in opened.summary
    assert "-1" not in opened.summary


def test_the_message_about_a_start_is_that_of_its_incident_if_it_has_one() -> None:
    one = incident(1, IncidentKind.UNCLEAN_END, facts=facts_to_json(AlertData(starts=9)))
    clean, unclean = AlertData(starts=1), AlertData(starts=1, unclean_end=True)
    assert incident_facts(clean, None) == clean
    assert incident_facts(unclean, None) == unclean
    assert incident_facts(clean, one) == AlertData(starts=9)
    found = incident_facts(unclean, one)
    assert (found.starts, found.failing_since, found.failures) == (1, NOW, 3)


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        (AlertData(off_for=1.0), Severity.INFO),
        (AlertData(off_for=1.0, stopped_tasks=("a",)), Severity.WARNING),
        (AlertData(off_for=1.0, lost_tasks=("a",)), Severity.WARNING),
        (AlertData(off_for=1.0, unclean_end=True), None),
    ],
)
def test_a_short_clean_restart_is_a_warning_if_a_task_was_stopped_or_cut_off(
    facts: AlertData, severity: Severity | None
) -> None:
    assert report_severity(facts) is severity


@pytest.mark.parametrize("clean", [True, False])
def test_a_start_says_how_the_runner_before_it_ended(*, clean: bool) -> None:
    registration = Registration(1, LastEnd(at=NOW, ago=5.0, clean=clean))
    found = startup_report(registration, [], {}, lost=("a",), pending=3, now=NOW + 5)
    assert (found.unclean_end, found.lost_tasks, found.owed_before) == (not clean, ("a",), 3)


def test_a_start_names_the_tasks_that_are_stopped_and_paused() -> None:
    setup = Setup()
    for state in State:
        setup.task(state.value).task.state = TaskState(state)
    tasks = setup.tasks.tasks
    registration = Registration(1, LastEnd(at=NOW, ago=0.0, clean=True))
    found = startup_report(registration, tasks, {}, lost=(), pending=0, now=NOW)
    assert (found.stopped_tasks, found.paused_tasks, found.suspects_hold) == (("stopped",), ("paused",), 0.0)
    facts = facts_to_json(AlertData(stopped_tasks=("running", "stopped")))
    one = incident(1, IncidentKind.UNCLEAN_END, facts=facts, opened_at=1000.0)
    later = stable_again(one, tasks, 2500.0)
    assert (later.lasted, later.stopped_tasks) == (1500.0, ("stopped",))


# -- storms


def after_restart(*opened: Incident, routes: Any = None) -> Plan:
    """A planner of a process that has read these incidents."""
    plan = Plan()
    names = [field.name for field in fields(IncidentRow)]
    rows = [IncidentRow(**{name: getattr(one, name) for name in names}) for one in opened]
    plan.store = IncidentStore(rows, max(one.id for one in opened))
    factory = NotificationFactory(lambda: "2-1", **({} if routes is None else {"routes": routes}))
    plan.planner = NotificationPlanner(plan.store, factory, {})
    return plan


def test_a_storm_goes_on_after_a_restart_with_its_members_and_their_destinations() -> None:
    def routes(task: str | None, severity: Severity) -> tuple[str, ...]:
        return ("",) if task is None else (task,)

    storm = incident(int("1000"), IncidentKind.STORM, task=None, failures=2)
    plan = after_restart(
        incident(900, IncidentKind.CRITICAL_STOP, task="x"),
        storm,
        incident(1001, task="a", storm=int("1000"), told=False),
        incident(1002, task="b", storm=int("1000"), told=False),
        incident(1003, IncidentKind.TELEGRAM, task=None),
        routes=routes,
    )
    assert [one.id for one in plan.store.members(1000)] == [1001, 1002]
    plan.fire(1004, at=NOW + 5)
    assert plan.by_id(1004).storm == 1000
    for number in (1004, 1001):
        plan.end(number, NOW + 6)
    changes = plan.planner.plan_notifications(rules.resolve(plan.by_id(1002), NOW + 7), AlertData(), NOW + 7)
    assert {note.facts.lasted for note in changes.notifications} == {7.0}
    assert [(note.kind, note.destination) for note in changes.notifications] == [
        ("recovered", ""),
        ("recovered", "a"),
        ("recovered", "b"),
        ("recovered", "task_1004"),
    ]
    plan.fire(1005, at=NOW + 8)
    assert plan.by_id(1005).storm is None, "the storm is over"


def test_a_storm_takes_in_nobody_after_its_longest_time_however_steadily_they_come() -> None:
    gate = StormGate()
    for number in range(FEW + 1):
        gate.admit(number, NOW)
    found = [gate.admit(1000 + number, NOW + 50.0 * number) for number in range(1, 20)]
    assert found[: int(LONGEST / 50) - 1] == [Admission.JOIN] * 17
    assert found[17:] == [Admission.ALONE] * 2
    late = StormGate()
    late.resume(NOW, NOW + LONGEST)
    assert late.admit(1, NOW + LONGEST + 5) is Admission.ALONE


def test_after_the_longest_time_a_second_storm_begins_and_the_end_of_the_first_does_not_end_it() -> None:
    plan = Plan()
    first = begin_storm(plan)
    assert first.id == FEW + 2
    later = NOW + LONGEST + 1
    for number in range(101, 102 + FEW):
        plan.fire(number, at=later)
    second = plan.by_id(101 + FEW).storm
    assert second not in {None, first.id}
    for number in range(1, FEW + 2):
        plan.end(number, later + 1)
    assert not plan.by_id(first.id).is_open
    plan.fire(300, at=later + 2)
    assert plan.by_id(300).storm == second
    for member in plan.store.members(second or 0):
        plan.end(member.id, later + 3)
    plan.fire(301, at=later + 20)
    assert plan.by_id(301).storm is None


def test_an_acknowledged_storm_is_sent_anew_when_a_member_becomes_critical_and_only_then() -> None:
    plan = Plan()
    storm = begin_storm(plan, 1)
    assert storm.severity is Severity.WARNING, "of its members"
    member = next(one for one in plan.store.members(storm.id) if one.is_open)

    def digests_after(change: Incident) -> int:
        before = plan.kinds.count(NotificationKind.STORM)
        plan.store.put(replace(plan.by_id(storm.id), **ACKNOWLEDGED))
        plan.put(Decision(change))
        return plan.kinds.count(NotificationKind.STORM) - before

    assert digests_after(replace(member, updated_at=NOW + 1)) == 0
    assert plan.by_id(storm.id).state is IncidentState.ACKNOWLEDGED
    worse = replace(member, severity=Severity.CRITICAL)
    assert digests_after(worse) == 1
    found = plan.by_id(storm.id)
    assert (found.state, found.severity) == (IncidentState.OPEN, Severity.CRITICAL)
    assert digests_after(replace(worse, updated_at=NOW + 2)) == 0
    plan.fire(storm.id + 50, severity=Severity.CRITICAL)
    assert plan.by_id(storm.id).state is IncidentState.OPEN
    assert plan.kinds.count(NotificationKind.STORM) == 3
