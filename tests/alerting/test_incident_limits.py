"""Rules of incidents at their limits, and the incidents of a task in order. Without a database."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from dozor.alerting.incidents import rules
from dozor.alerting.incidents.facts import recovery_facts, trouble_facts
from dozor.alerting.incidents.pipeline.dedup import dedup
from dozor.alerting.incidents.pipeline.stage import Candidate, Held
from dozor.alerting.incidents.rules import CHECKER_QUIET, STEADY, Decision, may_reopen
from dozor.alerting.incidents.startup import LONG_GAP, decide, report_severity, stable_again
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.incidents.storm_gate import FEW, QUIET, Admission, StormGate
from dozor.alerting.model.codec import facts_to_json
from dozor.alerting.model.decisions import Because, NotifyReason
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentState
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.storage.tables.incidents import IncidentRow
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


def test_a_stored_incident_of_a_newer_version_is_left_and_the_others_are_read() -> None:
    names = [field.name for field in fields(IncidentRow)]
    row = IncidentRow(**{name: getattr(incident(3), name) for name in names})
    store = IncidentStore([replace(row, id=2, kind="of_a_newer_version"), row], 9)
    assert [one.id for one in store.open()] == [3]
    assert store.next_id == 10


def test_an_acknowledgement_holds_for_eight_hours_unless_it_says_otherwise() -> None:
    for found, hours in (
        (rules.acknowledge(incident(), "cli:ann", NOW), 8),
        (rules.acknowledge(incident(), "cli:ann", NOW, 3600.0), 1),
    ):
        assert found.incident is not None
        assert found.incident.ack_expires_at == NOW + hours * 3600


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
        (LONG_GAP + 5, (), (), True),
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


def test_six_incidents_within_ten_seconds_have_messages_of_their_own_and_the_seventh_begins_a_storm() -> None:
    gate = StormGate()
    assert [gate.admit(number, NOW + number) for number in range(7)] == [
        *[Admission.ALONE] * 6,
        Admission.BEGIN,
    ]
    assert gate.waiting == (3, 4, 5)
    later = StormGate()
    assert [later.admit(number, NOW) for number in range(6)] == [Admission.ALONE] * 6
    assert later.admit(6, NOW + 10) is Admission.ALONE


def test_an_incident_that_is_forgotten_is_found_no_more_and_a_later_one_of_its_cause_still_is() -> None:
    store = IncidentStore([], 0)
    old = incident(1, state=IncidentState.RESOLVED, resolved_at=NOW - 10, fingerprint="x")
    store.put(old)
    store.put(replace(old, id=2, resolved_at=NOW + 10))
    store.put(incident(3, state=IncidentState.RESOLVED, resolved_at=NOW - 10, task=None))
    store.put(incident(4, fingerprint="open"))
    store.forget(NOW)
    assert [number for number in range(1, 5) if store.by_id(number) is not None] == [2, 4]
    found = store.find(old.key)
    assert found is not None
    assert found.id == 2
    assert [one.id for one in store.failures_of("task")] == [4]
    store.forget(NOW + 11)
    assert store.find(old.key) is None
    assert [one.id for one in store.open()] == [4]


@pytest.mark.parametrize("kind", [IncidentKind.CHECKER, IncidentKind.OVERDUE, IncidentKind.LATE_RENEWAL])
def test_a_trouble_that_returns_counts_from_one_and_is_reported_until_it_flaps(kind: IncidentKind) -> None:
    one: Incident | None = None
    told = []
    for round_ in range(5):
        at = NOW + 100 * round_
        decision = rules.on_trouble(SETTINGS, one, kind, "task", "x", f"text {round_}", at, 9)
        assert decision.incident is not None
        assert (decision.incident.id, decision.incident.failures) == (9, 1)
        assert (decision.incident.summary, decision.incident.occurrences) == (f"text {round_}", round_ + 1)
        told.append(decision.notify)
        again = rules.on_trouble(SETTINGS, decision.incident, kind, "task", "x", "more", at + 1, 9)
        assert again.incident is not None
        assert (again.notify, again.because, again.incident.failures) == (None, Because.OPEN, 2)
        one = replace(again.incident, state=IncidentState.RESOLVED, resolved_at=at + 50, calm_since=None)
    assert told[0] is told[1] is not None
    assert told[2:] == [NotificationKind.FLAPPING, None, None]


def test_the_report_of_a_runner_that_has_stayed_up_keeps_what_is_still_true() -> None:
    facts = AlertData(
        stopped_tasks=("a",), paused_tasks=("b",), suspects=("c",), open_before=3, owed_before=4, starts=2
    )
    one = incident(kind=IncidentKind.UNCLEAN_END, task=None, facts=facts_to_json(facts))
    found = stable_again(one, [], NOW + 700)
    assert (found.lasted, found.stopped_tasks, found.paused_tasks, found.suspects) == (700, (), (), ())
    assert (found.open_before, found.owed_before, found.starts) == (0, 0, 2)


@pytest.mark.parametrize(
    ("gap", "severity"),
    [(None, Severity.INFO), (59.9, Severity.INFO), (60.0, Severity.WARNING), (61.0, Severity.WARNING)],
)
def test_a_clean_start_is_a_warning_after_a_minute_without_a_runner(
    gap: float | None, severity: Severity
) -> None:
    assert report_severity(AlertData(off_for=gap, starts=1)) is severity


RESOLVED = {"state": IncidentState.RESOLVED, "resolved_at": NOW}


@pytest.mark.parametrize(
    ("before", "after", "kind", "because", "expected"),
    [
        # It returns and people were never notified of it: one message, however often it has flapped.
        (RESOLVED, {"told": False}, None, Because.FLAPPING, NotificationKind.FLAPPING),
        (RESOLVED, {"silenced_by": 7}, None, Because.FLAPPING, NotificationKind.FLAPPING),
        (RESOLVED, {}, None, Because.FLAPPING, NotifyReason.COUNTED),
        ({}, {"told": False}, None, Because.OPEN, NotifyReason.COUNTED),
        (RESOLVED, {"told": False, **RESOLVED}, None, Because.LAPSED, NotifyReason.COUNTED),
        (None, {"told": False}, NotificationKind.CHECKER, None, NotificationKind.CHECKER),
        (RESOLVED, {}, NotificationKind.TROUBLE, None, NotificationKind.TROUBLE),
        # It ends: reported if people were notified of it, else by the digest of its storm, or not at all.
        ({}, RESOLVED, NotificationKind.RECOVERED, None, NotificationKind.RECOVERED),
        ({"told": False}, RESOLVED, NotificationKind.RECOVERED, None, NotifyReason.COUNTED),
        ({"told": False}, {**RESOLVED, "storm": 5}, NotificationKind.RECOVERED, None, NotifyReason.GROUPED),
        ({}, {**RESOLVED, "storm": 5}, None, Because.CALMING, NotifyReason.COUNTED),
        ({}, {"storm": 5}, None, Because.OPEN, NotifyReason.COUNTED),
    ],
)
def test_what_people_know_already_is_counted_and_what_they_do_not_is_reported(
    before: dict[str, object] | None,
    after: dict[str, object],
    kind: NotificationKind | None,
    because: Because | None,
    expected: NotificationKind | NotifyReason,
) -> None:
    previous = None if before is None else incident(**before)  # type: ignore[arg-type]
    candidate = Candidate(
        incident=incident(**after),  # type: ignore[arg-type]
        previous=previous,
        kind=kind,
        because=because,
        now=NOW,
    )
    found = dedup(candidate)
    if isinstance(found, Held):
        assert found.decision is not None
        assert found.decision.reason is expected
    else:
        assert found.kind is expected
