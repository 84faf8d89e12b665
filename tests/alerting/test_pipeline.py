"""The notification pipeline: its stages in their order, each with the reason that it records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.planner import NotificationPlanner
from dozor.alerting.incidents.rules import Decision, Due
from dozor.alerting.incidents.store import IncidentChanges, IncidentStore
from dozor.alerting.incidents.storm_gate import FEW
from dozor.alerting.model.incident import Incident, IncidentState
from dozor.alerting.model.notification import AlertData, NotificationKind
from dozor.alerting.policy.silences import Silence, SilenceScope
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.supervision.core.state import State
from tests.alerting.story import NOW

FIRING = NotificationKind.REPEATED_ERRORS
EVERYTHING = Silence(
    id=7,
    scope=SilenceScope.ALL,
    target="",
    reason="deploy",
    created_by="telegram:111",
    created_at=NOW,
    ends_at=NOW + 3600,
)


class Plan:
    """A planner without a database."""

    def __init__(self, *silences: Silence) -> None:
        self.store = IncidentStore([], 0)
        self.silences = {one.id: one for one in silences}
        self.planner = NotificationPlanner(self.store, NotificationFactory(lambda: "1-1"), self.silences)

    def fire(self, number: int, kind: IncidentKind = IncidentKind.REPEATED_ERRORS) -> IncidentChanges:
        return self.planner.plan_notifications(Decision(incident(number, kind), FIRING), AlertData(), NOW)

    def hold(self, kind: NotificationKind, task: State | None = None, **marks: Any) -> str | None:
        """The reason that holds a reminder or an escalation of incident 1; None: it is sent."""
        one = replace(incident(1), **marks)
        self.store.put(one)
        held = self.planner.hold_due(Decision(one, kind, due=Due(NOW, one)), task, NOW + 1)
        return None if held is None else str((held.incidents[1].decisions or [])[-1]["reason"])


def incident(number: int, kind: IncidentKind = IncidentKind.REPEATED_ERRORS) -> Incident:
    return Incident(
        id=number,
        task=f"task_{number}",
        kind=kind,
        severity=Severity.CRITICAL,
        state=IncidentState.OPEN,
        fingerprint=str(number),
        summary="x",
        failures=3,
        opened_at=NOW,
        updated_at=NOW,
        notified_at=NOW,
    )


def last(plan: Plan, number: int) -> tuple[str, object]:
    found = plan.store.by_id(number)
    assert found is not None
    assert found.decisions
    return found.decisions[-1]["reason"], found.decisions[-1].get("ref")


def test_inhibition_comes_before_a_silence_and_a_silence_before_a_storm() -> None:
    plan = Plan(EVERYTHING)
    plan.store.put(replace(incident(100, IncidentKind.DEPENDENCY), task=None))
    plan.planner.inhibit.explain(100, ["task_1"])
    for number in range(1, FEW + 4):
        plan.fire(number)
    assert last(plan, 1) == ("inhibited", 100)
    assert {last(plan, number) for number in range(2, FEW + 4)} == {("muted", 7)}
    assert not any(one.kind is IncidentKind.STORM for one in plan.store.open())


def test_what_a_silence_holds_does_not_count_for_a_storm() -> None:
    plan = Plan(EVERYTHING)
    for number in range(1, FEW + 1):
        plan.fire(number)
    plan.silences.clear()
    assert len(plan.fire(FEW + 1).notifications) == 1
    assert last(plan, FEW + 1) == ("queued", None)


def test_what_is_no_news_is_neither_muted_nor_grouped_but_counted() -> None:
    plan = Plan(EVERYTHING)
    recovered = replace(incident(1), state=IncidentState.RESOLVED, resolved_at=NOW)
    plan.planner.plan_notifications(Decision(recovered, NotificationKind.RECOVERED), AlertData(), NOW)
    assert last(plan, 1) == ("counted", None)


def test_more_than_a_few_at_once_are_grouped() -> None:
    plan = Plan()
    for number in range(1, FEW + 1):
        plan.fire(number)
    changes = plan.fire(FEW + 1)
    [storm] = [one for one in changes.incidents.values() if one.kind is IncidentKind.STORM]
    assert last(plan, FEW + 1) == ("grouped", storm.id)
    assert {note.kind for note in changes.notifications} == {NotificationKind.STORM}


def test_a_mark_holds_reminders_and_escalations_alike_in_the_order_of_the_stages() -> None:
    for kind in (NotificationKind.REMINDER, NotificationKind.ESCALATION):
        marks: dict[str, Any] = {"state": IncidentState.ACKNOWLEDGED}
        assert Plan().hold(kind) is None
        assert Plan().hold(kind, **marks) == "acknowledged"
        assert Plan().hold(kind, **(marks := marks | {"storm": 9})) == "grouped"
        assert Plan().hold(kind, **(marks := marks | {"silenced_by": 7})) == "muted"
        plan = Plan()
        plan.store.put(incident(100, IncidentKind.DEPENDENCY))
        assert plan.hold(kind, **marks, explained_by=100) == "inhibited"


def test_a_paused_task_holds_reminders_but_no_escalation() -> None:
    assert Plan().hold(NotificationKind.REMINDER, State.PAUSED) == "paused"
    assert Plan().hold(NotificationKind.ESCALATION, State.PAUSED) is None


def test_what_holds_a_message_that_is_due_is_recorded_once_until_the_next_is_due() -> None:
    plan = Plan()
    one = replace(incident(1), silenced_by=7)
    plan.store.put(one)
    counts = []
    for at in (NOW + 10, NOW + 11, NOW + 100):
        found = plan.store.by_id(1)
        assert found is not None
        due = Due(NOW + 5 if at < NOW + 100 else NOW + 100, found)
        held = plan.planner.hold_due(Decision(found, NotificationKind.REMINDER, due=due), None, at)
        assert held is not None
        counts.append(len(held.incidents))
    assert counts == [1, 0, 1]
