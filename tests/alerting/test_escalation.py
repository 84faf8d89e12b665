"""When the next level of escalation is due, and whom it calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dozor.alerting.model.incident import Incident, IncidentState
from dozor.alerting.policy.escalation import DueLevel, Level, calls_for, due_level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.config.values.incident_kinds import IncidentKind, Severity

OPENED = 1_764_000_000.0
LEVELS = (Level(300.0, "oncall"), Level(600.0, "second"))
STOPPED = Incident(
    id=1,
    task="t",
    kind=IncidentKind.CRITICAL_STOP,
    severity=Severity.CRITICAL,
    state=IncidentState.OPEN,
    fingerprint="1",
    summary="x",
    failures=3,
    opened_at=OPENED,
    updated_at=OPENED,
    notified_at=OPENED,
)


def test_a_level_is_due_from_its_time_on() -> None:
    assert due_level(LEVELS, STOPPED, OPENED + 299.9) is None
    assert due_level(LEVELS, STOPPED, OPENED + 300.0) == DueLevel(LEVELS[0], OPENED + 300.0)
    assert due_level(LEVELS, STOPPED, OPENED + 9000.0) == DueLevel(LEVELS[0], OPENED + 300.0)


def test_the_next_level_counts_from_the_same_moment_and_after_the_last_there_is_none() -> None:
    second = replace(STOPPED, level=1)
    assert due_level(LEVELS, second, OPENED + 599.0) is None
    assert due_level(LEVELS, second, OPENED + 600.0) == DueLevel(LEVELS[1], OPENED + 600.0)
    for called in (2, 3):  # 3: a level was removed from the configuration meanwhile
        assert due_level(LEVELS, replace(STOPPED, level=called), OPENED + 9000.0) is None
    assert due_level((), STOPPED, OPENED + 9000.0) is None


def test_after_an_acknowledgement_has_expired_the_levels_count_from_its_end() -> None:
    again = replace(STOPPED, level_since=OPENED + 1000.0)
    assert due_level(LEVELS, again, OPENED + 1299.0) is None
    assert due_level(LEVELS, again, OPENED + 1300.0) == DueLevel(LEVELS[0], OPENED + 1300.0)


def test_an_incident_that_is_over_or_calm_calls_nobody() -> None:
    late = OPENED + 9000.0
    assert due_level(LEVELS, replace(STOPPED, state=IncidentState.RESOLVED), late) is None
    assert due_level(LEVELS, replace(STOPPED, calm_since=OPENED + 10.0), late) is None
    acknowledged = replace(STOPPED, state=IncidentState.ACKNOWLEDGED)
    assert due_level(LEVELS, acknowledged, late) is not None, "the pipeline holds it, and records why"


@pytest.mark.parametrize("least", list(Severity))
@pytest.mark.parametrize("severity", list(Severity))
def test_only_incidents_of_at_least_the_severity_are_escalated(severity: Severity, least: Severity) -> None:
    order = [Severity.INFO, Severity.WARNING, Severity.CRITICAL]
    due = due_level(LEVELS, replace(STOPPED, severity=severity), OPENED + 300.0, least)
    assert (due is not None) == (order.index(severity) >= order.index(least))


def test_without_a_least_severity_only_critical_incidents_are_escalated() -> None:
    assert due_level(LEVELS, replace(STOPPED, severity=Severity.WARNING), OPENED + 300.0) is None


def test_people_of_one_destination_are_called_in_one_message() -> None:
    people = {
        name: Person(name=name, destination=place) for name, place in (("a", "1"), ("b", "2"), ("c", "1"))
    }
    found = calls_for(Level(0.0, "everybody"), OnCall(people), (), OPENED)
    names = {call.destination: [person.name for person in call.people] for call in found}
    assert names == {"1": ["a", "c"], "2": ["b"], "": ["a", "b", "c"]}


@pytest.mark.parametrize("whom", ["somebody_removed", "oncall", "second"])
def test_a_level_that_names_nobody_known_calls_everybody(whom: str) -> None:
    """No rotation, or a person who was removed: a level calls somebody all the same."""
    people = {name: Person(name=name, destination=name) for name in ("a", "b")}
    found = calls_for(Level(0.0, whom), OnCall(people), (), OPENED)
    assert {call.destination for call in found} == {"a", "b"}
