"""Rows to be written."""

from __future__ import annotations

from typing import Any

from dozor.storage.journal import Journal
from dozor.storage.tables import tasks
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.notifications import NotificationRow
from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.tasks import TaskDeclaration, TaskRow

NOW = 1764000060.0


def task(name: str = "a", failures: int = 0, state: str = "waiting") -> TaskRow:
    return TaskRow(
        name=name,
        state=state,
        consecutive_failures=failures,
        runs_total=failures,
        failures_total=failures,
        last_started_at=NOW,
        last_success_at=None,
        last_duration=0.1,
        failing_since=NOW,
        last_failed_at=NOW,
        last_error_type="E",
        last_error_text="text",
        last_error_where="a.py:1 in f",
        next_run_at=None,
        running_since=None,
        state_by=None,
    )


def incident(number: int, **more: Any) -> IncidentRow:
    fields: dict[str, Any] = {
        "id": number,
        "task": "a",
        "kind": "repeated_errors",
        "severity": "warning",
        "state": "open",
        "fingerprint": "E a.py",
        "summary": "E: text",
        "failures": 3,
        "opened_at": NOW,
        "updated_at": NOW,
        **more,
    }
    return IncidentRow(**fields)


def note(key: str, **more: Any) -> NotificationRow:
    fields: dict[str, Any] = {
        "kind": "checker",
        "severity": "warning",
        "created_at": NOW,
        "payload": {"text": key},
        "task": "a",
        **more,
    }
    return NotificationRow(key=key, **fields)


def run(number: int) -> RunRow:
    return RunRow(
        id=f"1-{number}",
        task="a",
        started_at=NOW,
        finished_at=NOW + 1,
        outcome="failed",
        seconds=1.0,
        seconds_max=1.0,
    )


async def declare(journal: Journal, *names: str) -> None:
    """Tasks that the journal may write states of."""
    declarations = [
        TaskDeclaration(name=name, description="", schedule="", max_consecutive_failures=5) for name in names
    ]
    await tasks.declare(journal.connection, declarations)
