"""What incidents record and keep: reasons, marks, facts, who is called next. Without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from dozor.alerting.incidents import decisions, rules
from dozor.alerting.incidents.facts import failure_facts, fingerprint_of, reminder_facts, trouble_facts
from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.pipeline.dedup import dedup
from dozor.alerting.incidents.pipeline.inhibit import Inhibit
from dozor.alerting.incidents.pipeline.stage import Candidate, Held
from dozor.alerting.incidents.rules import STEADY, Decision
from dozor.alerting.incidents.run_history import finished_runs
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.model.codec import facts_to_json, stored_facts
from dozor.alerting.model.decisions import Because
from dozor.alerting.model.full_text import ATTACHABLE
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentState
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.alerting.policy.silences import Silence, SilenceScope
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.storage.postgres.checker_pool import Holder
from dozor.supervision.core.events import Failed
from dozor.supervision.core.state import FailureRecord, State, TaskState
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.observer import EndedRun, Transition, Trouble, TroubleKind
from tests.alerting.story import NOW, failure
from tests.alerting.test_incident_changes import HUNG, NAME, Plan, Setup, of_everything
from tests.alerting.test_incident_limits import incident

SETTINGS = AlertSettings()
RESOLVED: dict[str, Any] = {"state": IncidentState.RESOLVED, "resolved_at": NOW}
ACKNOWLEDGED: dict[str, Any] = {
    "state": IncidentState.ACKNOWLEDGED,
    "acknowledged_by": "cli:ann",
    "acknowledged_at": NOW,
    "ack_expires_at": NOW + 3600,
}


def reasons(one: Incident | None) -> list[str]:
    assert one is not None
    return [entry["reason"] for entry in one.decisions or ()]


# -- failures


@pytest.mark.parametrize(
    ("limit", "failures", "times"), [(3, 3, 2), (3, 10, 2), (2, 2, 1), (1, 1, None), (1, 5, None), (9, 5, 4)]
)
def test_the_failures_before_the_first_message_are_recorded_as_counted(
    limit: int, failures: int, times: int | None
) -> None:
    for since in (NOW - 60, None):
        state = TaskState(failures=failures, failure_record=FailureRecord(failing_since=since))
        found = decisions.below_threshold(incident(), AlertSettings(repeated_errors=limit), state, NOW)
        expected = {"at": since or NOW, "reason": "counted", "because": "threshold"}
        if times is None:
            assert found.decisions is None
        else:
            [entry] = found.decisions or []
            assert {name: entry[name] for name in expected} == expected
            assert entry.get("times", 1) == times


def test_only_the_first_incident_of_a_streak_records_the_failures_before_it() -> None:
    setup = Setup()
    for where in ("a", "a", "a", "b"):
        setup.story.fail(failure(where=f"{where}.py:1 in check"))
    assert [reasons(setup.manager.find_incident(number)) for number in (1, 2)] == [
        ["counted", "queued"],
        ["queued"],
    ]
    assert len({note.key for note in setup.log.sent}) == 2


def test_causes_beyond_the_limit_are_counted_in_the_worst_incident() -> None:
    opened = [incident(number) for number in range(1, 5)]
    setup = Setup(*opened, incident(5, IncidentKind.CRITICAL_STOP, severity=Severity.CRITICAL))
    for _ in range(4):
        setup.story.fail(failure(where="new.py:1 in check"))
    summaries = {one.id: one.summary for one in setup.manager.open_incidents}
    assert summaries == {1: "", 2: "", 3: "", 4: "", 5: "ConnectionError: timed out"}


def test_a_failure_is_counted_in_the_incident_of_its_cause_if_that_is_open() -> None:
    setup = Setup(*(incident(number) for number in range(1, 5)))
    for _ in range(3):
        setup.story.fail(failure(where="new.py:1 in check"))
    setup.story.fail(failure(where="new.py:1 in check"))
    assert {one.id: one.failures for one in setup.manager.open_incidents}[5] == 4


def test_the_end_of_a_cause_that_nobody_was_told_of_is_said_by_the_message_about_the_other() -> None:
    setup = Setup(incident(1, told=False), incident(2))
    state = TaskState(State.BACKOFF, failures=3, failure_record=FailureRecord(failing_since=NOW - 60))
    setup.story.task.state = state
    setup.story.succeed()
    assert [(note.kind, note.incident_id) for note in setup.log.sent] == [("recovered", 2)]
    last = (setup.manager.store.by_id(1) or incident()).decisions or []
    assert last[-1]["because"] == "same_end"


@pytest.mark.parametrize("state", [State.PAUSED, State.HELD])
def test_failures_of_a_task_that_a_person_or_a_dependency_has_halted_open_nothing(state: State) -> None:
    after = TaskState(state, failures=9, failure_record=FailureRecord(failure=failure()))
    assert rules.on_failure(SETTINGS, None, TaskState(), after, NOW, 1, NAME) == Decision(None)


def test_settings_of_a_task_are_used_for_its_incidents_and_can_be_replaced() -> None:
    setup = Setup()
    setup.manager.use_settings({NAME: AlertSettings(repeated_errors=1)})
    setup.story.fail()
    assert setup.log.kinds == ["repeated_errors"]
    assert setup.manager.settings(None) == setup.manager.settings("another") == SETTINGS


def test_a_restart_is_named_by_the_message_about_the_end() -> None:
    setup = Setup()
    for _ in range(3):
        setup.story.fail()
    setup.story.restart("telegram:5")
    setup.story.succeed()
    assert setup.log.sent[-1].payload["by"] == "telegram:5"


def test_the_row_of_a_failed_run_has_its_error_and_its_length() -> None:
    setup = Setup()
    setup.story.fail(failure("refused"))
    task = setup.story.task
    [row] = finished_runs(Transition(task, task.state, Failed(failure()), 2500.0, EndedRun(2, 1000.0, 2)), 1)
    assert (row.outcome, row.error_text, row.seconds) == ("failed", "refused", 1500.0)


# -- facts


def test_facts_of_a_failing_task_are_those_of_its_streak_and_of_another_kind_those_that_are_stored() -> None:
    setup = Setup()
    setup.story.fail(failure("refused"))
    task = setup.story.task
    assert failure_facts(task, incident()).error_text == "refused"
    other = incident(kind=IncidentKind.OVERDUE, facts=facts_to_json(AlertData(text="late")))
    assert failure_facts(task, other) == AlertData(text="late", task_state="backoff")
    task.backlog = 7, None
    assert reminder_facts(task, other, NOW).count is None


@pytest.mark.parametrize(("length", "attached"), [(10, False), (9000, True)])
def test_an_error_that_does_not_fit_into_a_message_is_attached(length: int, *, attached: bool) -> None:
    setup = Setup()
    setup.story.fail(failure("x" * length))
    whole = failure_facts(setup.story.task, incident()).whole
    assert (whole is not None) is attached
    assert whole is None or whole.startswith("Traceback (most recent call last):")


def test_at_most_twenty_holders_of_a_pool_are_named() -> None:
    holders = tuple(Holder(f"task_{number}", f"1-{number}", NOW) for number in range(30))
    found = trouble_facts(replace(HUNG, holders=holders)).holders
    assert [one[0] for one in found] == [f"task_{number}" for number in range(20)]


def test_the_innermost_eight_places_of_a_stack_are_kept() -> None:
    chain = tuple(f"{number}" for number in range(20))
    assert trouble_facts(replace(HUNG, chain=chain)).chain == chain[12:]
    assert trouble_facts(replace(HUNG, chain=chain[:3])).chain == chain[:3]


def test_a_cause_is_the_first_line_of_a_text_without_numbers_and_bounded() -> None:
    assert fingerprint_of("wallet 17 is off by 3\nmore") == "wallet # is off by #"
    assert fingerprint_of("x" * 900) == "x" * 200


# -- troubles


@pytest.mark.parametrize("kind", TroubleKind)
def test_only_a_dependency_explains_the_failures_of_the_tasks_that_need_it(kind: TroubleKind) -> None:
    setup = Setup()
    stories = {name: setup.task(name) for name in ("first", "a", "b", "c")}
    trouble = Trouble(kind=kind, subject="node", explains=("first", "a"), waiting=("b",))
    setup.manager.raised(trouble)
    for _ in range(3):
        stories["first"].fail(after=0.0)
    del stories["first"]
    setup.manager.changed(replace(trouble, explains=("b",), waiting=("c",)))
    for story in stories.values():
        for _ in range(3):
            story.fail(after=0.0)
    told = {note.task for note in setup.log.sent if note.kind == "repeated_errors"}
    assert told == ({"a"} if kind is TroubleKind.DEPENDENCY else {"first", "a", "b", "c"})
    setup.manager.cleared(trouble)
    setup.tick(1.0)
    told = {note.task for note in setup.log.sent if note.kind == "repeated_errors"}
    assert told == {"first", "a", "b", "c"}


def test_a_trouble_that_goes_on_corrects_its_own_incident_while_that_is_open() -> None:
    setup = Setup()
    setup.manager.changed(HUNG)
    assert setup.log.commits == []
    setup.manager.raised(HUNG)
    setup.clock.at += 5
    setup.manager.changed(replace(HUNG, reason="still there"))
    found = setup.find(IncidentKind.HUNG)
    assert found is not None
    assert (found.updated_at, stored_facts(found).text) == (NOW + 5, "still there")
    setup.manager.cleared(HUNG)
    commits = len(setup.log.commits)
    setup.manager.changed(HUNG)
    assert len(setup.log.commits) == commits


def test_a_run_that_hung_long_after_a_stop_ended_by_itself() -> None:
    stop = incident(1, IncidentKind.CRITICAL_STOP, severity=Severity.CRITICAL)
    setup = Setup(stop)
    setup.clock.at += 500
    setup.manager.raised(HUNG)
    setup.manager.cleared(HUNG)
    assert setup.log.kinds == ["trouble", "recovered"]


# -- by the clock


def test_what_ends_in_a_round_does_not_keep_the_others_from_it() -> None:
    member = incident(1, IncidentKind.OVERDUE, storm=2, calm_since=NOW - 600)
    storm = incident(2, IncidentKind.STORM, task=None, failures=1)
    taken = incident(3, **ACKNOWLEDGED)
    setup = Setup(member, storm, taken, incident(4, task="removed"), incident(5, **ACKNOWLEDGED))
    setup.tick(3600.0)
    assert [one.id for one in setup.manager.open_incidents] == [3, 4, 5]
    reminded = [note for note in setup.log.sent if note.kind == "reminder"]
    assert [(note.incident_id, note.payload["acknowledged_by"]) for note in reminded] == [
        (3, "cli:ann"),
        (5, "cli:ann"),
    ]


def test_an_end_without_a_message_is_written_as_well() -> None:
    setup = Setup(incident(1, IncidentKind.CHECKER))
    setup.tick(3600.0)
    assert [(row.id, row.state) for row in setup.log.written] == [(1, "resolved")]
    assert setup.log.sent == []


@pytest.mark.parametrize(("state", "kinds"), [(State.PAUSED, []), (State.BACKOFF, ["reminder"])])
def test_a_paused_task_is_not_reminded_of(state: State, kinds: list[str]) -> None:
    setup = Setup(incident(1))
    setup.story.task.state = TaskState(state)
    setup.tick(1800.0)
    assert setup.log.kinds == kinds


def test_a_reminder_of_what_nobody_has_taken_names_nobody() -> None:
    setup = Setup(incident(1))
    setup.tick(1800.0)
    [note] = setup.log.sent
    assert (note.kind, "acknowledged_by" in note.payload) == ("reminder", False)


@pytest.mark.parametrize(("within", "kept"), [(600.0, 3600.0), (7200.0, 7200.0)])
def test_a_resolved_incident_is_kept_for_an_hour_or_as_long_as_it_may_reopen(
    within: float, kept: float
) -> None:
    setup = Setup()
    setup.manager.use_settings({NAME: AlertSettings(reopen_within=within)})
    setup.manager.store.put(incident(1, **RESOLVED))
    setup.tick(kept)
    assert setup.manager.store.by_id(1) is not None
    setup.tick(1.0)
    assert setup.manager.store.by_id(1) is None


@pytest.mark.parametrize(("dependency", "told"), [({}, 0), (RESOLVED, 1)])
def test_what_a_dependency_explained_is_reported_when_that_is_up_again(
    dependency: dict[str, Any], told: int
) -> None:
    setup = Setup()
    setup.manager.store.put(incident(2, IncidentKind.DEPENDENCY, task=None, **dependency))
    setup.manager.store.put(incident(1, told=False, explained_by=2))
    setup.tick(1.0)
    assert setup.log.kinds == ["repeated_errors"] * told


def test_an_unclean_end_ends_with_what_is_still_true_of_its_report() -> None:
    facts = facts_to_json(AlertData(starts=3, suspects=("a",)))
    setup = Setup(incident(1, IncidentKind.UNCLEAN_END, task=None, facts=facts))
    setup.tick(STEADY)
    [note] = setup.log.sent
    assert (note.kind, note.payload["starts"], "suspects" in note.payload) == ("recovered", 3, False)


def of_incident(number: int, target: int) -> Silence:
    whole = of_everything(number)
    return replace(whole, scope=SilenceScope.INCIDENT, target=str(target), ends_at=None)


def test_a_silence_ends_at_its_time_or_with_its_incident_and_frees_what_it_held_alone() -> None:
    """Numbers beyond those that Python keeps one object for."""
    first, second, third = int("1000"), int("1001"), int("1002")
    held = [
        incident(1, silenced_by=int("1000"), told=False),
        incident(2, silenced_by=second, told=False, task="b"),
        incident(3, task="c"),
        incident(4, silenced_by=third, told=False, task="d"),
    ]
    silences = [
        replace(of_everything(first), scope=SilenceScope.TASK, target=NAME, ends_at=NOW + 60),
        replace(of_everything(second), scope=SilenceScope.TASK, target="b", ends_at=NOW + 7200),
        of_incident(third, 4),
    ]
    setup = Setup(*held, silences=silences)
    setup.tasks.all |= {name: setup.task(name).task for name in ("b", "c", "d")}
    setup.tick(59.0)
    assert set(setup.manager.silences) == {first, second, third}
    setup.tick(1.0)
    assert set(setup.manager.silences) == {second, third}
    assert [(note.kind, note.task) for note in setup.log.sent if note.task] == [("repeated_errors", NAME)]
    closed = rules.resolve(held[3], NOW + 60)
    setup.manager.commit(setup.manager.apply(closed))
    setup.tick(1.0)
    assert set(setup.manager.silences) == {second}


def test_the_incidents_of_tasks_that_are_gone_are_resolved_without_a_message_and_no_others() -> None:
    setup = Setup(incident(1, task="removed"), incident(2), incident(3, task=None))
    setup.manager.resolve_removed_tasks(cast(Supervisor, setup.tasks))
    assert [one.id for one in setup.manager.open_incidents] == [2, 3]
    assert setup.log.kinds == []


# -- escalation


@pytest.mark.parametrize("level_since", [NOW + 100, None])
def test_a_call_says_who_is_called_next_and_when(level_since: float | None) -> None:
    people = {name: Person(name=name) for name in ("ann", "bob")}
    facts = facts_to_json(AlertData(failing_since=NOW - 30, count=9))
    one = incident(
        1, IncidentKind.TELEGRAM, task=None, severity=Severity.CRITICAL, level_since=level_since, facts=facts
    )
    setup = Setup(one, levels=(Level(300.0, "ann"), Level(600.0, "bob")), oncall=OnCall(people))
    setup.tick(400.0)
    setup.tick(400.0)
    first, second = [note.payload for note in setup.log.sent if note.kind == "escalation"]
    assert (first["mention"], first["next_called"]) == ("ann", "bob")
    assert first["next_call_at"] == (level_since or NOW) + 600
    assert (first["failing_since"], first["count"]) == (NOW - 30, 9)
    assert second["mention"] == "bob"
    assert not {"next_called", "next_call_at"} & set(second)


def test_a_call_without_known_people_names_nobody_and_counts_from_the_opening() -> None:
    one = incident(1, IncidentKind.CRITICAL_STOP, severity=Severity.CRITICAL)
    setup = Setup(one, levels=(Level(300.0, "ann"), Level(600.0, "bob")))
    setup.tick(300.0)
    [note] = [note for note in setup.log.sent if note.kind == "escalation"]
    assert note.payload["failing_since"] == NOW
    assert "next_called" not in note.payload


# -- messages


@pytest.mark.parametrize("severity", Severity)
def test_quiet_hours_silence_all_but_critical_messages(severity: Severity) -> None:
    factory = NotificationFactory(lambda: "1-1", quiet_at=lambda now: now == NOW)
    for now, quiet in ((NOW, severity is not Severity.CRITICAL), (NOW + 1, False)):
        [note] = factory.broadcast(NotificationKind.TROUBLE, severity, AlertData(), now)
        assert bool(note.facts.quiet) is quiet
        one = decisions.queued(incident(), [note], now)
        assert reasons(one) == ["quiet_hours" if quiet else "queued"]


def test_only_messages_about_failures_have_the_whole_error_as_a_file() -> None:
    factory = NotificationFactory(lambda: "1-1")
    for kind in NotificationKind:
        [note] = factory.broadcast(kind, Severity.INFO, AlertData(whole="traceback"), NOW)
        assert (note.facts.whole == "traceback") is (kind in ATTACHABLE)
        assert not note.facts.quiet
    assert NotificationKind.CRITICAL_STOP in ATTACHABLE
    assert NotificationKind.RECOVERED not in ATTACHABLE


def test_each_destination_of_a_message_has_a_key_of_its_own() -> None:
    factory = NotificationFactory(lambda: "1-7", routes=lambda task, severity: ("", "ops", "boss"))
    notes = factory.broadcast(NotificationKind.TROUBLE, Severity.INFO, AlertData(), NOW)
    assert [note.key for note in notes] == ["1-7", "1-7@ops", "1-7@boss"]


def test_a_mute_is_recorded_with_whose_silence_it_is() -> None:
    plan = Plan(of_everything(7))
    plan.fire(1)
    [entry] = plan.by_id(1).decisions or []
    assert (entry["what"], entry["by"], entry["ends_at"]) == ("all", "telegram:111", NOW + 3600)


@pytest.mark.parametrize("because", [Because.LAPSED, Because.STOPPED, Because.OPEN, Because.FLAPPING])
def test_an_end_without_a_message_is_recorded_as_one(because: Because) -> None:
    ended = because in {Because.LAPSED, Because.STOPPED}
    one = incident(**RESOLVED) if ended else incident()
    found = dedup(Candidate(incident=one, previous=incident(), kind=None, because=because, now=NOW))
    assert isinstance(found, Held)
    assert found.decision is not None
    assert (found.decision.kind == NotificationKind.RECOVERED) is ended


def test_a_change_of_an_acknowledged_incident_is_not_recorded_as_held() -> None:
    plan = Plan()
    taken = incident(1, **ACKNOWLEDGED)
    plan.store.put(taken)
    plan.put(Decision(replace(taken, updated_at=NOW + 5)))
    assert plan.by_id(1).decisions is None


@pytest.mark.parametrize("storm_open", [True, False])
def test_the_message_about_an_end_says_whether_a_storm_goes_on(*, storm_open: bool) -> None:
    plan = Plan()
    plan.store.put(incident(5, IncidentKind.STORM, task=None, failures=2, **({} if storm_open else RESOLVED)))
    member = incident(1, storm=5)
    plan.store.put(member)
    found = plan.planner.plan_notifications(
        Decision(replace(member, notified_at=NOW), NotificationKind.REPEATED_ERRORS), AlertData(), NOW
    )
    assert not any(note.facts.in_storm for note in found.notifications)
    plan.store.put(member)
    found = plan.planner.plan_notifications(rules.resolve(member, NOW), AlertData(), NOW)
    [note] = [one for one in found.notifications if one.incident_id == 1]
    assert bool(note.facts.in_storm) is storm_open


def test_after_a_silence_people_are_told_of_what_they_never_heard_of_unless_a_storm_shows_it() -> None:
    for storm, kinds in ((None, ["repeated_errors"]), (5, [])):
        plan = Plan()
        muted = incident(1, silenced_by=7, told=False, storm=storm)
        plan.store.put(muted)
        changes = plan.planner.notify_after_unmute(muted, NOW + 60)
        assert [note.kind.value for note in changes.notifications] == kinds


@pytest.mark.parametrize(
    ("known", "known_open", "listed", "expected"),
    [
        (None, False, False, None),
        (None, False, True, 3),
        (2, True, False, 2),  # marked by the previous runner
        (2, False, False, None),
        (2, False, True, 3),
        (3, True, True, 3),
    ],
)
def test_an_incident_is_explained_by_an_open_dependency_of_its_task(
    known: int | None, expected: int | None, *, known_open: bool, listed: bool
) -> None:
    store = IncidentStore([], 0)
    store.put(incident(2, IncidentKind.DEPENDENCY, task=None, **({} if known_open else RESOLVED)))
    store.put(incident(3, IncidentKind.DEPENDENCY, task=None))
    inhibit = Inhibit(store)
    if listed:
        inhibit.explain(3, [NAME])
    one = incident(1, explained_by=known)
    assert inhibit.inhibitor_of(one) == expected
    assert inhibit.released(one) is (known is not None and expected is None)
    assert inhibit.inhibitor_of(replace(one, task=None)) is None
