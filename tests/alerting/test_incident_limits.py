"""Rules of incidents at their limits, and the incidents of a task in order. Without a database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dozor.alerting.incidents import rules
from dozor.alerting.incidents.facts import recovery_facts, trouble_facts
from dozor.alerting.incidents.rules import CHECKER_QUIET, STEADY, Decision, may_reopen
from dozor.alerting.incidents.startup import LONG_GAP, decide
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.incidents.storm_gate import FEW, QUIET, Admission, StormGate
from dozor.alerting.model.codec import facts_to_json
from dozor.alerting.model.decisions import Because
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentState
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.supervision.telemetry.observer import Trouble, TroubleKind
from tests.alerting.story import NOW

SETTINGS = AlertSettings(repeated_errors=3, remind_every=1800.0, reopen_within=600.0)


def incident(number: int = 1, kind: IncidentKind = IncidentKind.REPEATED_ERRORS, **more: object) -> Incident:
    """Open since NOW, its people notified then."""
    found = Incident(
        id=number,
        task="task",
        kind=kind,
        severity=Severity.WARNING,
        state=IncidentState.OPEN,
        fingerprint=str(number),
        summary="",
        failures=3,
        opened_at=NOW,
        updated_at=NOW,
        notified_at=NOW,
        level_since=NOW,
    )
    return replace(found, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("seconds", "may"), [(0.0, True), (600.0, True), (600.1, False), (1e6, False)])
def test_a_resolved_incident_reopens_for_a_limited_time(seconds: float, *, may: bool) -> None:
    resolved = incident(state=IncidentState.RESOLVED, resolved_at=NOW)
    assert may_reopen(SETTINGS, resolved, NOW + seconds) is may
    assert may_reopen(SETTINGS, incident(), NOW + seconds)


@pytest.mark.parametrize("kind", IncidentKind)
def test_only_what_a_checker_said_lapses_by_itself_after_an_hour(kind: IncidentKind) -> None:
    steady = replace(SETTINGS, remind_every=1e9)
    one = incident(kind=kind)
    early = rules.on_tick(steady, one, NOW + CHECKER_QUIET - 1)
    late = rules.on_tick(steady, one, NOW + CHECKER_QUIET)
    if kind is IncidentKind.UNCLEAN_END:
        assert rules.on_tick(steady, one, NOW + STEADY - 1) == Decision(one)
        assert rules.on_tick(steady, one, NOW + STEADY).notify is NotificationKind.RECOVERED
    else:
        assert early == Decision(one)
        assert (late.because is Because.LAPSED) is (kind is IncidentKind.CHECKER)
        assert late.notify is None
        assert late.incident is not None
        assert late.incident.is_open is (kind is not IncidentKind.CHECKER)


@pytest.mark.parametrize(("seconds", "over"), [(-0.1, False), (0.0, True), (60.0, True), (1e5, True)])
def test_an_acknowledgement_is_over_from_its_end_on(seconds: float, *, over: bool) -> None:
    taken = rules.acknowledge(incident(), "cli:ann", NOW).incident
    assert taken is not None
    assert taken.ack_expires_at is not None
    found = rules.on_tick(replace(SETTINGS, remind_every=1e9), taken, taken.ack_expires_at + seconds)
    assert (found.notify is NotificationKind.REMINDER) is over
    assert found.incident is not None
    assert (found.incident.state is IncidentState.OPEN) is over


def test_the_open_failures_of_a_task_are_given_with_the_critical_stop_first() -> None:
    store = IncidentStore([], 0)
    for one in (
        incident(1),
        incident(2, IncidentKind.CRITICAL_STOP),
        incident(3),
        incident(4, state=IncidentState.RESOLVED, resolved_at=NOW),
        incident(5, IncidentKind.CHECKER),
        incident(6, task="another"),
    ):
        store.put(one)
    assert [one.id for one in store.failures_of("task")] == [2, 1, 3]
    assert [one.id for one in store.failures_of("another")] == [6]
    assert store.failures_of("unknown") == []
    assert store.next_id == 7


def test_a_storm_takes_in_what_comes_before_it_is_quiet_and_nothing_from_then_on() -> None:
    for gap, expected in (
        (QUIET - 1, Admission.JOIN),
        (QUIET, Admission.ALONE),
        (QUIET + 5, Admission.ALONE),
    ):
        gate = StormGate()
        assert [gate.admit(number, NOW) for number in range(FEW + 1)][-1] is Admission.BEGIN
        assert gate.admit(99, NOW + gap) is expected


@pytest.mark.parametrize(
    ("gap", "suspects", "known", "news"),
    [
        (LONG_GAP, (), (), True),
        (LONG_GAP - 1, (), (), False),
        (1.0, ("a",), (), True),
        (1.0, ("a",), ("a", "b"), False),
        (1.0, ("a", "c"), ("a", "b"), True),
        (LONG_GAP, ("a",), ("a",), True),
    ],
)
def test_a_further_unclean_end_is_reported_after_a_long_gap_or_with_a_new_suspect(
    gap: float, suspects: tuple[str, ...], known: tuple[str, ...], *, news: bool
) -> None:
    facts = AlertData(trouble=IncidentKind.UNCLEAN_END.value, suspects=known)
    one = incident(kind=IncidentKind.UNCLEAN_END, task=None, facts=facts_to_json(facts))
    found = AlertData(unclean_end=True, off_for=gap, suspects=suspects)
    decision = decide(SETTINGS, one, found, NOW + 60, 2)
    assert (decision.notify is NotificationKind.TROUBLE) is news
    assert decision.incident is not None
    assert (decision.incident.notified_at == NOW + 60) is news
    assert decision.incident.failures == 4


def test_a_recovery_says_how_long_it_lasted_and_keeps_the_text_of_a_checker_alone() -> None:
    facts = facts_to_json(AlertData(text="what it said"))
    for kind in IncidentKind:
        found = recovery_facts(incident(kind=kind, facts=facts), NOW + 90)
        assert (found.text == "what it said") is (kind is IncidentKind.CHECKER)
        assert (found.lasted, found.failing_since) == (90, NOW)
    assert recovery_facts(incident(), NOW + 90, since=NOW - 10).lasted == 100


def test_at_most_twenty_lines_of_what_waits_are_kept() -> None:
    trouble = Trouble(kind=TroubleKind.DEPENDENCY, subject="x", waiting=tuple(map(str, range(30))))
    facts = trouble_facts(trouble)
    assert facts.lines == tuple(map(str, range(20)))
    assert facts.count == 30
