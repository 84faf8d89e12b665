"""The log of decisions: bounded, the same in Python and SQL, kept over restarts and beside older versions."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.alerting.model.decisions import (
    KEPT,
    Because,
    NotifyDecision,
    NotifyReason,
    from_json,
    record,
    to_json,
)
from dozor.cli.why import why as why_command
from dozor.errors import CommandRefusedError
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import incidents
from tests.alerting.chat import Post
from tests.alerting.stage import Stage
from tests.alerting.why import lines, reasons, why
from tests.cli.command import dozor


def entry(at: float, reason: NotifyReason = NotifyReason.PUT_OFF, **more: Any) -> NotifyDecision:
    return NotifyDecision(at=at, reason=reason, **more)


def logged(decisions: list[NotifyDecision]) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = []
    for decision in decisions:
        log = record(log, decision)
    return log


def test_a_full_log_keeps_the_first_and_the_last_and_counts_the_others() -> None:
    log = logged([entry(float(number), text=str(number)) for number in range(100)])
    assert len(log) == KEPT
    assert [one["at"] for one in log[:6]] == [0.0, 1.0, 2.0, 3.0, 4.0, 65.0]
    assert log[5]["skipped"] == 60
    assert sum(from_json(one).skipped + from_json(one).times for one in log) == 100


def test_the_same_again_is_counted_but_each_queued_message_has_an_entry() -> None:
    log = logged([entry(1.0), entry(2.0), entry(3.0), entry(4.0, text="other"), entry(5.0)])
    assert [(one["at"], one.get("times"), one.get("last_at")) for one in log] == [
        (1.0, 3, 3.0), (4.0, None, None), (5.0, None, None),
    ]  # fmt: skip
    assert len(logged([entry(1.0, NotifyReason.QUEUED), entry(2.0, NotifyReason.QUEUED)])) == 2


@given(
    st.builds(
        NotifyDecision,
        at=st.floats(0, 2e9),
        reason=st.sampled_from(NotifyReason).filter(lambda one: one not in ("waiting", "other")),
        because=st.none() | st.sampled_from(Because),
        kind=st.none() | st.text(),
        ref=st.none() | st.integers(0, 2**62),
        to=st.lists(st.text()).map(tuple),
        text=st.none() | st.text(),
    )
)
def test_a_decision_is_read_back_as_it_was(decision: NotifyDecision) -> None:
    assert from_json(json.loads(json.dumps(to_json(decision)))) == decision


def test_an_entry_of_a_newer_version_is_no_error() -> None:
    found = from_json({"at": 1.0, "reason": "teleported", "because": "moon", "colour": "red"})
    assert found == NotifyDecision(at=1.0, reason=NotifyReason.OTHER)


async def test_sql_keeps_a_log_as_python_does(pool: Pool) -> None:
    stored: list[dict[str, Any]] | None = None
    expected: list[dict[str, Any]] = []
    for number in range(120):
        decision = entry(float(number), text=str(number // (1 + number % 3)), transport="telegram")
        stored = await pool.fetchval("SELECT dozor.with_decision($1, $2)", stored, to_json(decision))
        expected = record(expected, decision)
        assert stored == expected
    assert await pool.fetchval("SELECT dozor.with_decision($1, NULL)", expected) == expected


async def test_decisions_survive_a_killed_runner_and_the_next_one_goes_on_with_them(stage: Stage) -> None:
    for _ in range(4):
        stage.story.fail()
    before = await reasons(stage)
    await stage.again(killed=True)
    assert await reasons(stage) == before
    stage.story.fail()
    assert await reasons(stage) == [*before[:3], "queued critical_stop", *before[3:], "waiting critical_stop"]


async def test_a_decision_is_written_in_the_transaction_of_its_message(stage: Stage) -> None:
    for _ in range(3):
        stage.story.fail()
    await stage.journal.write()
    written = await stage.pool.fetchrow(
        "SELECT i.xmin = n.xmin AS same, i.decisions -> -1 ->> 'reason' AS reason"
        " FROM dozor.incidents i JOIN dozor.notifications n ON n.incident_id = i.id"
    )
    assert tuple(written) == (True, "queued")


async def test_a_healthy_run_writes_no_decision(stage: Stage) -> None:
    for _ in range(20):
        stage.story.succeed()
    await stage.journal.write()
    assert await stage.pool.fetchval("SELECT count(*) FROM dozor.incidents") == 0


async def test_a_version_that_knows_no_decisions_does_not_wipe_them(stage: Stage) -> None:
    for _ in range(3):
        stage.story.fail()
    before = await reasons(stage)
    incident = stage.manager.find_incident(1)
    assert incident is not None
    await incidents.write(stage.journal.connection, [replace(incident, decisions=None)])
    assert await reasons(stage) == before


@pytest.mark.parametrize(
    ("state", "transport", "reason"),
    [
        ("pending", None, "waiting"),
        ("sending", None, "waiting"),
        ("delivered", "telegram", "sent"),
        ("delivered", "second channel", "fallback"),
        ("superseded", None, "superseded"),
        ("expired", None, "expired"),
        ("undeliverable", "console", "given_up"),
    ],
)
async def test_what_a_version_without_decisions_has_left_is_told_by_its_state(
    stage: Stage, state: str, transport: str | None, reason: str
) -> None:
    for _ in range(3):
        stage.story.fail()
    await stage.journal.write()
    await stage.pool.execute("UPDATE dozor.incidents SET decisions = NULL")
    await stage.pool.execute("UPDATE dozor.notifications SET state = $1, transport = $2", state, transport)
    assert await reasons(stage) == ["queued repeated_errors", f"{reason} repeated_errors"]


async def test_more_messages_than_are_read_are_counted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dozor.control.queries.why.MESSAGES", 2)
    for _ in range(5):
        stage.story.fail()
    stage.pass_time(10_000)
    total = len(await stage.told())
    assert total > 2
    assert (await why(stage)).left_out == total - 2


# -- the command


def configure(stage: Stage, folder: Path, language: str) -> str:
    path = folder / f"{language}.yaml"
    path.write_text(
        f"language: {language}\ntimezone: Europe/Moscow\n"
        f"database: {{url: '{stage.dsn}'}}\ntasks:\n  one: {{run: 'm:f'}}\n"
    )
    return str(path)


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("en", "Incident #1 · presale_checker · errors in a row"),
        ("ru", "Инцидент №1 · presale_checker · ошибки подряд"),
    ],
)
async def test_the_command_speaks_the_language_of_the_configuration(
    stage: Stage, tmp_path: Path, language: str, title: str
) -> None:
    post = Post(stage)
    for _ in range(3):
        stage.story.fail()
    await post.deliver(1.0)
    ran = await dozor("why", "#1", "-c", configure(stage, tmp_path, language))
    assert ran.exit_code == 0
    head, *rest = ran.stdout.splitlines()
    assert head == title
    in_utc = [line.split(" ", 1)[1] for line in await lines(stage, language)]
    assert [line.split(" ", 2)[2] for line in rest] == in_utc
    assert all("19:0" in line for line in rest), "16:02 UTC in the configured zone"


async def test_the_command_as_json(stage: Stage, tmp_path: Path) -> None:
    for _ in range(3):
        stage.story.fail()
    await stage.journal.write()
    ran = await dozor("why", "1", "--json", "-c", configure(stage, tmp_path, "en"))
    assert ran.exit_code == 0
    answer = json.loads(ran.stdout)
    assert {name: answer[name] for name in ("incident", "task", "kind", "state")} == {
        "incident": 1, "task": "presale_checker", "kind": "repeated_errors", "state": "open",
    }  # fmt: skip
    assert [one["reason"] for one in answer["decisions"]] == ["counted", "queued", "waiting"]
    assert answer["decisions"][1] == {
        "at": "2025-11-24T16:04:00.000Z", "reason": "queued", "kind": "repeated_errors", "to": [""],
    }  # fmt: skip


async def test_the_command_refuses_an_incident_that_there_is_not(stage: Stage, tmp_path: Path) -> None:
    for _ in range(3):
        stage.story.fail()
    await stage.journal.write()
    path = configure(stage, tmp_path, "en")
    ran = await dozor("why", "-c", path, "--", "-1")
    assert ran.exit_code == 1
    assert ran.stdout == ""
    assert ran.output.startswith("dozor: There is no incident -1. The last ones:")
    command = why_command.callback
    assert command is not None
    for wanted in ("2", "0", "nonsense", "9" * 30, "²"):
        with pytest.raises(CommandRefusedError, match=f"There is no incident {wanted}. The last ones:"):
            await asyncio.to_thread(command, Path(path), wanted, as_json=False)
