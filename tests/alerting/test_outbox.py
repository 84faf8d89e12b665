"""A notification survives its way through the outbox."""

from __future__ import annotations

import json
from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from dozor.alerting.model.codec import from_claimed, to_row
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.config.values.incident_kinds import Severity
from dozor.storage.postgres.pool import Pool, connect
from dozor.storage.tables import notifications
from dozor.storage.tables.notifications import ClaimedNotification, NotificationRow
from tests.alerting.story import NOW

_VALUES = {
    "int | None": st.none() | st.integers(0, 2**31),
    "float | None": st.none() | st.floats(0, 4e9),
    "str | None": st.none() | st.text(min_size=1, max_size=50),
    "tuple[str, ...]": st.lists(st.text(min_size=1, max_size=10), max_size=3).map(tuple),
    "bool": st.booleans(),
    "tuple[tuple[str, int | None], ...]": st.lists(
        st.tuples(st.text(min_size=1, max_size=10), st.none() | st.integers(1, 2**52)), max_size=3
    ).map(tuple),
}
FACTS = st.builds(
    AlertData,
    **{field.name: _VALUES[str(field.type)] for field in fields(AlertData) if str(field.type) in _VALUES},
)


def note(**more: object) -> Notification:
    values: dict[str, object] = {
        "key": "1-1",
        "kind": NotificationKind.CHECKER,
        "severity": Severity.WARNING,
        "created_at": NOW,
        "task": "a",
        **more,
    }
    return Notification(**values)  # type: ignore[arg-type]


def claimed(row: NotificationRow, unknown: int = 0) -> ClaimedNotification:
    return ClaimedNotification(id=1, row=row, attempts=1, unknown_outcomes=unknown, shown_on=None)


@given(FACTS, st.sampled_from(NotificationKind), st.sampled_from(Severity))
def test_what_goes_in_comes_out(facts: AlertData, kind: NotificationKind, severity: Severity) -> None:
    owed = note(facts=facts, kind=kind, severity=severity, incident_id=3)
    row = to_row(owed)
    stored = replace(row, payload=json.loads(json.dumps(row.payload)))
    assert from_claimed(claimed(stored)) == owed


def test_an_unknown_outcome_makes_the_next_attempt_a_possible_duplicate() -> None:
    row = to_row(note())
    assert not from_claimed(claimed(row)).possible_duplicate
    assert from_claimed(claimed(row, unknown=1)).possible_duplicate


def test_a_row_of_another_version_is_still_readable() -> None:
    """A kind or a fact that this version does not know must not hold up all that is owed behind it."""
    row = replace(to_row(note(facts=AlertData(text="said"))), kind="from_the_future")
    row.payload["colour"] = "red"
    read = from_claimed(claimed(row))
    assert read.facts.text == "said"
    assert read.task == "a"


async def test_hostile_text_is_stored_and_comes_back_readable(pool: Pool, database: str) -> None:
    connection = await connect(database)
    for number, text in enumerate(["NUL \x00", "lone \ud800", "\u202egnp.exe", "😀" * 10, "x" * 1_000_000]):
        await notifications.enqueue(connection, [to_row(note(key=str(number), facts=AlertData(text=text)))])
    stored = await pool.fetch("SELECT payload ->> 'text' AS text FROM dozor.notifications ORDER BY id")
    assert [row["text"][:6] for row in stored] == [
        "NUL \ufffd",
        "lone \ufffd",
        "\u202egnp.e",
        "😀" * 6,
        "x" * 6,
    ]
    connection.terminate()
