"""What the incident manager changes and sends, by what it commits. Without a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dozor.alerting.incidents import rules
from dozor.alerting.incidents.facts import recovery_facts, reminder_facts, storm_facts, window_of
from dozor.alerting.incidents.manager import MAX_CAUSES, STOP_TURN, IncidentManager
from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.planner import NotificationPlanner
from dozor.alerting.incidents.run_history import finished_runs
from dozor.alerting.incidents.startup import startup_report
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.incidents.storm_gate import AT_ONCE, FEW
from dozor.alerting.model.codec import facts_to_json, stored_facts
from dozor.alerting.model.incident import AlertSettings, Incident, IncidentState
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.silences import Silence, SilenceScope
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.config.values.schedules import Every
from dozor.storage.journal import Commit, Journal
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.notifications import NotificationRow
from dozor.storage.tables.runners import LastEnd, Registration
from dozor.supervision.core.events import Cancelled, Interrupted
from dozor.supervision.core.policy import Intensity, Policy
from dozor.supervision.core.state import FailureRecord, State, StopCause, TaskState
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.telemetry.metrics import RunMetrics
from dozor.supervision.telemetry.observer import EndedRun, Transition, Trouble, TroubleKind
from tests.alerting.story import NOW, ManualClock, Story, Tasks, failure
from tests.alerting.test_incident_limits import incident

NAME = "task"
HUNG = Trouble(kind=TroubleKind.HUNG, subject=NAME, task=NAME)


class CommitLog:
    """Takes the journal's place: keeps what is committed."""

    def __init__(self) -> None:
        self.registration = SimpleNamespace(runner_id=1)
        self.commits: list[Commit] = []

    def append(self, commit: Commit) -> None:
        self.commits.append(commit)

    @property
    def sent(self) -> list[NotificationRow]:
        return [note for commit in self.commits for note in commit.notifications]

    @property
    def kinds(self) -> list[str]:
        return [note.kind for note in self.sent]

    @property
    def written(self) -> list[IncidentRow]:
        return [row for commit in self.commits for row in commit.incidents]


class Setup:
    """An incident manager, one task, and what was committed."""

    def __init__(self, *opened: IncidentRow, policy: Policy | None = None, **options: Any) -> None:
        self.clock, self.log, self.tasks = ManualClock(), CommitLog(), Tasks()
        last = max((one.id for one in opened), default=0)
        self.manager = IncidentManager(
            cast(Journal, self.log), self.clock, {}, opened, last, RunMetrics(2), **options
        )
        self.story = self.task(NAME, policy)

    def task(self, name: str, policy: Policy | None = None) -> Story:
        story = Story(self.manager, self.clock, name, policy)
        self.tasks.all[name] = story.task
        return story

    def tick(self, seconds: float = 0.0) -> None:
        self.clock.at += seconds
        self.manager.tick(cast(Supervisor, self.tasks))

    def find(self, kind: IncidentKind, subject: str = NAME, task: str = NAME) -> Incident | None:
        return self.manager.store.find((task, kind.value, subject))


# -- failures


def test_another_cause_of_a_streak_is_an_incident_of_its_own_until_there_are_too_many() -> None:
    setup = Setup(policy=Policy(max_consecutive_failures=None))
    for number in range(MAX_CAUSES + 2):
        for _ in range(3):
            setup.story.fail(failure(where=f"check.py:{number} in check"))
    found = setup.manager.store.failures_of(NAME)
    assert [one.fingerprint.split()[1] for one in found] == [f"check.py:{n}" for n in range(MAX_CAUSES)]
    assert setup.log.kinds == ["repeated_errors"] * MAX_CAUSES


def test_a_stop_by_another_cause_is_reported_in_the_incident_that_is_open() -> None:
    setup = Setup()
    for _ in range(4):
        setup.story.fail()
    setup.story.fail(failure(where="other.py:1 in check"))
    [one] = setup.manager.open_incidents
    assert (one.kind, one.id) == (IncidentKind.CRITICAL_STOP, 1)


def test_a_failure_below_the_threshold_leaves_a_resolved_incident_of_its_cause_as_it_is() -> None:
    setup = Setup()
    for _ in range(3):
        setup.story.fail()
    setup.story.succeed()
    [before] = [one for one in map(setup.manager.store.by_id, [1]) if one is not None]
    rows = len(setup.log.written)
    setup.story.fail()
    assert setup.manager.store.by_id(1) is before
    assert len(setup.log.written) == rows


def test_a_streak_with_two_causes_has_one_message_about_its_end() -> None:
    setup = Setup(policy=Policy(max_consecutive_failures=None))
    for where in ("a.py:1 in check", "b.py:1 in check"):
        for _ in range(3):
            setup.story.fail(failure(where=where))
    setup.story.succeed()
    assert setup.log.kinds == ["repeated_errors", "repeated_errors", "recovered"]
    assert not setup.manager.open_incidents


def test_the_row_of_a_cancelled_run_has_no_error_of_an_earlier_run_and_that_of_an_interrupted_one_has() -> (
    None
):
    setup = Setup()
    setup.story.fail(failure("refused"))
    state, task = setup.story.task.state, setup.story.task
    run = EndedRun(2, NOW, 2)
    for event, text in ((Cancelled(), None), (Interrupted(failure("refused")), "refused")):
        [row] = finished_runs(Transition(task, state, event, NOW + 90, run), 1)
        assert (row.outcome, row.error_text, row.seconds) == ("cancelled", text, 90.0)
        assert (row.error_type is None) is (row.traceback is None) is (text is None)


# -- alerts of checkers


@pytest.mark.parametrize(
    ("severity", "opened"), [(Severity.INFO, 0), (Severity.WARNING, 1), (Severity.CRITICAL, 1)]
)
def test_an_alert_of_a_checker_opens_an_incident_unless_it_only_informs(
    severity: Severity, opened: int
) -> None:
    setup = Setup()
    setup.manager.checker_alert(setup.story.task, "off by 3", severity.value)
    assert len(setup.manager.open_incidents) == opened
    assert [(note.kind, note.severity) for note in setup.log.sent] == [("checker", severity.value)]


# -- troubles


@pytest.mark.parametrize(
    ("kind", "seconds", "began"),
    [
        (TroubleKind.HUNG, 40.0, NOW - 40),
        (TroubleKind.HUNG, None, NOW),
        (TroubleKind.HUNG, -40.0, NOW),
        (TroubleKind.BACKLOG, 40.0, NOW),  # the age of an item
    ],
)
def test_a_trouble_began_when_it_began_and_not_when_it_was_noticed(
    kind: TroubleKind, seconds: float | None, began: float
) -> None:
    setup = Setup()
    setup.manager.raised(Trouble(kind=kind, subject=NAME, task=NAME, seconds=seconds))
    [note] = setup.log.sent
    assert note.payload["failing_since"] == began


def test_a_trouble_that_is_raised_again_keeps_its_beginning() -> None:
    setup = Setup()
    setup.manager.raised(replace(HUNG, seconds=40.0))
    setup.clock.at += 500
    setup.manager.raised(replace(HUNG, seconds=1.0))
    found = setup.find(IncidentKind.HUNG)
    assert found is not None
    assert (found.failures, stored_facts(found).failing_since) == (2, NOW - 40)


def test_only_the_open_incident_of_a_trouble_that_is_over_is_resolved() -> None:
    setup = Setup()
    setup.manager.cleared(HUNG)
    assert setup.log.commits == []
    setup.manager.raised(HUNG)
    setup.manager.raised(replace(HUNG, kind=TroubleKind.OVERDUE))
    setup.manager.cleared(HUNG)
    assert [one.kind for one in setup.manager.open_incidents] == [IncidentKind.OVERDUE]
    commits = len(setup.log.commits)
    setup.manager.cleared(HUNG)
    assert len(setup.log.commits) == commits
    assert setup.log.kinds == ["trouble", "trouble", "recovered"]


@pytest.mark.parametrize(
    ("kind", "stopped", "seconds", "reported"),
    [
        (TroubleKind.HUNG, True, 0.0, False),
        (TroubleKind.HUNG, True, STOP_TURN - 0.1, False),
        (TroubleKind.HUNG, True, STOP_TURN, True),
        (TroubleKind.HUNG, False, 0.0, True),
        (TroubleKind.OVERDUE, True, 0.0, True),
        (TroubleKind.BACKLOG, True, 0.0, True),
    ],
)
def test_a_run_that_hung_and_ended_by_the_stop_of_its_task_has_no_message_of_its_own_end(
    kind: TroubleKind, seconds: float, *, stopped: bool, reported: bool
) -> None:
    setup = Setup(policy=Policy(max_consecutive_failures=4))
    for _ in range(3):
        setup.story.fail()
    trouble = replace(HUNG, kind=kind)
    setup.manager.raised(trouble)
    if stopped:
        setup.story.fail()
    setup.clock.at += seconds
    setup.manager.cleared(trouble)
    found = setup.find(IncidentKind(kind.value))
    assert found is not None
    assert not found.is_open
    assert ("recovered" in setup.log.kinds) is reported


# -- by the clock


def test_what_a_checker_did_not_repeat_is_closed_as_lapsed_and_what_flapped_as_recovered() -> None:
    flapping = incident(2, IncidentKind.OVERDUE, calm_since=NOW, occurrences=4, fingerprint=NAME)
    setup = Setup(incident(1, IncidentKind.CHECKER), flapping)
    setup.tasks.all["task"] = setup.story.task
    setup.tick(3600.0)
    assert setup.manager.open_incidents == ()
    ended = {row.id: AlertData(**row.facts).ended for row in setup.log.written}
    assert ended == {1: "lapsed", 2: None}
    assert [(note.kind, note.incident_id) for note in setup.log.sent] == [("recovered", 2)]


def test_levels_are_called_one_after_the_other_and_none_twice() -> None:
    levels = (Level(300.0, "oncall"), Level(600.0, "second"), Level(900.0, "everybody"))
    stop = incident(1, IncidentKind.CRITICAL_STOP, severity=Severity.CRITICAL)
    setup = Setup(stop, levels=levels)
    for _ in range(20):
        setup.tick(100.0)
    called = [note.payload["level"] for note in setup.log.sent if note.kind == "escalation"]
    assert called == [1, 2, 3]


@pytest.mark.parametrize("kind", [IncidentKind.CRITICAL_STOP, IncidentKind.STORM])
def test_an_escalation_says_what_the_incident_is_about_and_of_a_storm_how_many(kind: IncidentKind) -> None:
    facts = facts_to_json(AlertData(error_text="refused", count=99))
    task = None if kind is IncidentKind.STORM else NAME
    setup = Setup(
        incident(1, kind, severity=Severity.CRITICAL, task=task, facts=facts),
        levels=(Level(300.0, "oncall"),),
    )
    setup.tick(300.0)
    [note] = [note for note in setup.log.sent if note.kind == "escalation"]
    if kind is IncidentKind.STORM:
        assert (note.payload["count"], "error_text" in note.payload) == (3, False)
    else:
        assert (note.payload["count"], note.payload["error_text"]) == (99, "refused")


def test_the_end_of_a_silence_names_twenty_tasks_and_counts_all_of_them() -> None:
    silence = Silence(
        id=7,
        scope=SilenceScope.ALL,
        target="",
        reason="deploy",
        created_by="telegram:111",
        created_at=NOW,
        ends_at=NOW + 60,
    )
    broken = [incident(number, task=f"task_{number:02}", silenced_by=7) for number in range(1, 26)]
    setup = Setup(*broken, silences=[silence])
    setup.tick(61.0)
    [note] = [note for note in setup.log.sent if note.kind == "silence_over"]
    assert note.payload["lines"] == tuple(f"task_{number:02}" for number in range(1, 21))
    assert (note.payload["count"], note.payload["text"]) == (25, "deploy")


# -- facts


@pytest.mark.parametrize("kind", IncidentKind)
def test_a_reminder_repeats_what_is_known_and_only_of_a_storm_its_count(kind: IncidentKind) -> None:
    one = incident(kind=kind, task=None, facts=facts_to_json(AlertData(text="known")))
    expected = AlertData(text="known", failing_since=NOW)
    assert reminder_facts(None, one, NOW + 60) == (
        storm_facts(one) if kind is IncidentKind.STORM else expected
    )


def test_a_reminder_of_a_backlog_says_how_old_its_oldest_item_is_now() -> None:
    task = Setup().story.task
    one = incident(kind=IncidentKind.BACKLOG)
    task.backlog = 7, datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=100)
    assert reminder_facts(task, one, NOW + 60).lasted == pytest.approx(160.0)
    task.backlog = 7, datetime.fromtimestamp(1000.0, UTC)
    assert reminder_facts(task, one, 2500.0).lasted == 1500.0
    task.backlog = 8, None
    found = reminder_facts(task, one, NOW + 60)
    assert (found.count, found.lasted) == (8, None)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cause", StopCause)
def test_only_a_stop_by_too_many_failures_within_a_time_names_that_limit(
    state: State, cause: StopCause
) -> None:
    task = Setup(policy=Policy(max_failures=Intensity(4, 600.0))).story.task
    task.state = TaskState(state, failure_record=FailureRecord(stopped_by=cause))
    limited = state is State.STOPPED and cause is StopCause.INTENSITY
    assert window_of(task) == ("4 / 10m" if limited else None)


def test_the_end_of_a_trouble_of_the_runner_names_what_it_was_about() -> None:
    one = incident(kind=IncidentKind.DEPENDENCY, fingerprint="node", task=None)
    assert recovery_facts(one, NOW).subject == "node"
    assert recovery_facts(one, NOW).trouble == "dependency"
    found = recovery_facts(replace(one, task=NAME), NOW)
    assert (found.subject, found.trouble) == (None, None)


def test_runs_missed_since_the_last_runner_are_counted() -> None:
    task = Setup(policy=Policy(schedule=Every(60.0))).story.task
    task.state = TaskState(State.WAITING, NOW - 600, NOW - 600)
    registration = Registration(1, LastEnd(at=NOW - 600, ago=600.0, clean=True))
    found = startup_report(registration, [task], {NAME: task.row()}, lost=(), pending=0, now=NOW)
    assert (found.missed_runs, found.missed_tasks) == (10, 1)


# -- rules


def test_the_summary_of_a_trouble_that_returns_is_bounded() -> None:
    over = incident(kind=IncidentKind.OVERDUE, state=IncidentState.RESOLVED, resolved_at=NOW)
    found = rules.on_trouble(AlertSettings(), over, over.kind, NAME, "1", "x" * 900, NOW, 9).incident
    assert found is not None
    assert (found.id, len(found.summary)) == (1, 500)


@pytest.mark.parametrize("kind", [IncidentKind.UNCLEAN_END, IncidentKind.OVERDUE])
@pytest.mark.parametrize("occurrences", [1, 2, 3, 4])
def test_reminders_count_from_the_last_message_that_people_got(kind: IncidentKind, occurrences: int) -> None:
    """The third time is reported, later ones are not; of some kinds reminders go on meanwhile."""
    over = incident(kind=kind, state=IncidentState.RESOLVED, resolved_at=NOW, occurrences=occurrences)
    found = rules.on_trouble(
        AlertSettings(flapping_after=3), over, kind, NAME, "1", "x", NOW + 60, 9
    ).incident
    assert found is not None
    unreported = kind is IncidentKind.UNCLEAN_END and found.occurrences > 3
    assert found.notified_at == (NOW if unreported else NOW + 60)


# -- marks and storms


class Plan:
    """A planner with its store."""

    def __init__(self, *silences: Silence) -> None:
        self.store = IncidentStore([], 0)
        self.planner = NotificationPlanner(
            self.store, NotificationFactory(lambda: "1-1"), {one.id: one for one in silences}
        )
        self.kinds: list[NotificationKind] = []

    def fire(self, number: int, at: float = NOW, **more: Any) -> Incident:
        one = incident(number, task=f"task_{number}", **more)
        self.put(rules.Decision(one, NotificationKind.REPEATED_ERRORS), at)
        return self.by_id(number)

    def put(self, decision: rules.Decision, at: float = NOW) -> None:
        changes = self.planner.plan_notifications(decision, AlertData(), at)
        self.kinds += [note.kind for note in changes.notifications]

    def by_id(self, number: int) -> Incident:
        found = self.store.by_id(number)
        assert found is not None
        return found

    def end(self, number: int, at: float = NOW + 1) -> None:
        self.put(rules.resolve(self.by_id(number), at), at)

    def storm(self) -> Incident:
        [found] = [one for one in self.store.open() if one.kind is IncidentKind.STORM]
        return found


def of_everything(number: int) -> Silence:
    return Silence(
        id=number,
        scope=SilenceScope.ALL,
        target="",
        reason="",
        created_by="telegram:111",
        created_at=NOW,
        ends_at=NOW + 3600,
    )


def test_a_mute_is_recorded_when_it_begins_and_not_at_every_later_change() -> None:
    plan = Plan(of_everything(7))
    plan.fire(1)
    before = plan.by_id(1)
    assert [entry["reason"] for entry in before.decisions or ()] == ["muted"]
    plan.put(rules.Decision(replace(before, updated_at=NOW + 5)))
    assert plan.by_id(1).decisions == before.decisions
    told = incident(2, fingerprint="2")
    plan.store.put(told)
    plan.put(rules.Decision(replace(told, silenced_by=7)))
    assert [entry["reason"] for entry in plan.by_id(2).decisions or ()] == ["muted"]


@pytest.mark.parametrize(
    ("silences", "storm", "kinds"), [([], None, ["reminder"]), ([8], None, []), ([], 5, []), ([8], 5, [])]
)
def test_after_a_silence_people_are_reminded_unless_something_else_holds_the_incident(
    silences: list[int], storm: int | None, kinds: list[str]
) -> None:
    plan = Plan(*map(of_everything, silences))
    muted = incident(1, silenced_by=7, told=True, storm=storm)
    plan.store.put(muted)
    changes = plan.planner.notify_after_unmute(muted, NOW + 60)
    assert [note.kind.value for note in changes.notifications] == kinds
    assert plan.by_id(1).silenced_by == (8 if silences else None)
    recorded = {entry.get("kind") for entry in plan.by_id(1).decisions or ()}
    assert ("reminder" in recorded) is bool(kinds), "what was not due is not recorded as held"


def begin_storm(plan: Plan, more: int = 0, **of_all: Any) -> Incident:
    for number in range(1, FEW + 2):
        plan.fire(number, **of_all)
    storm = plan.storm()
    for number in range(storm.id + 1, storm.id + 1 + more):
        plan.fire(number, **of_all)
    return plan.storm()


def test_a_storm_counts_its_open_members_and_ends_with_the_last_one() -> None:
    plan = Plan()
    storm = begin_storm(plan, 3)
    members = [one for one in plan.store.open() if one.storm == storm.id]
    assert len(members) == storm.failures == FEW + 1 - AT_ONCE + 3
    for left, member in enumerate(reversed(members)):
        assert plan.by_id(storm.id).failures == len(members) - left
        plan.end(member.id)
    assert not plan.by_id(storm.id).is_open
    assert plan.kinds.count(NotificationKind.RECOVERED) == 1


def test_what_is_over_before_the_storm_begins_is_no_member_of_it() -> None:
    plan = Plan()
    for number in range(1, FEW + 1):
        plan.fire(number)
    plan.end(FEW)
    plan.fire(FEW + 1)
    assert plan.by_id(FEW).storm is None
    assert plan.storm().failures == FEW - AT_ONCE


def test_a_member_that_gets_messages_of_its_own_or_another_storm_leaves_the_storm() -> None:
    plan = Plan()
    storm = begin_storm(plan, 2)
    members = [one for one in plan.store.open() if one.storm == storm.id]
    plan.put(rules.Decision(replace(members[0], storm=None)))
    plan.store.put(replace(storm, id=500, fingerprint="500", failures=1))
    plan.put(rules.Decision(replace(members[1], storm=500)))
    assert (plan.by_id(storm.id).failures, plan.by_id(500).failures) == (len(members) - 2, 2)


def test_a_digest_is_sent_anew_for_the_first_critical_member_and_not_for_each() -> None:
    for severity, digests in ((Severity.WARNING, 2), (Severity.CRITICAL, 1)):
        plan = Plan()
        storm = begin_storm(plan, 2, severity=severity)
        for number in range(storm.id + 10, storm.id + 13):
            plan.fire(number, severity=Severity.CRITICAL)
        assert plan.storm().severity is Severity.CRITICAL
        assert plan.kinds.count(NotificationKind.STORM) == digests
