"""`dozor.alerting.model.copies.replace` does what `dataclasses.replace` does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dozor.alerting.incidents.pipeline.stage import Candidate
from dozor.alerting.model.copies import replace
from dozor.alerting.model.incident import Incident, IncidentState
from dozor.alerting.model.notification import AlertData
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.storage.write_buffer import Commit

INCIDENT = Incident(
    id=7,
    task="presale_checker",
    kind=IncidentKind.REPEATED_ERRORS,
    severity=Severity.WARNING,
    state=IncidentState.OPEN,
    fingerprint="ValueError",
    summary="ValueError: no price",
    failures=3,
    opened_at=1.0,
    updated_at=2.0,
    notified_at=1.0,
    facts={"failures": 3},
)


@pytest.mark.parametrize(
    ("instance", "changes"),
    [
        (INCIDENT, {"failures": 4, "updated_at": 3.0, "facts": {}}),
        (AlertData(failures=3, lines=("a",)), {"text": "late", "whole": None}),
        (Candidate(incident=INCIDENT, previous=None, kind=None, now=1.0), {"due": True}),
        (Commit(), {"incidents": (INCIDENT,)}),
        (INCIDENT, {}),
    ],
    ids=["incident", "facts", "candidate", "commit", "no change"],
)
def test_a_copy_has_the_changes_and_everything_else(instance: Any, changes: dict[str, Any]) -> None:
    before = dataclasses.asdict(instance)
    copy: Any = replace(instance, **changes)
    assert copy == dataclasses.replace(instance, **changes)
    assert type(copy) is type(instance)
    assert copy is not instance
    assert dataclasses.asdict(instance) == before


def test_a_name_that_is_no_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Incident has no field 'fialures'"):
        replace(INCIDENT, fialures=4)  # type: ignore[call-arg]
