"""Words of states, outcomes and times, for the command line: short, one cell of a table each."""

from __future__ import annotations

from dozor.control.task_states import STATES
from dozor.language import msg
from dozor.supervision.core.state import RunOutcome, State

_OUTCOMES = {
    RunOutcome.SUCCEEDED: "cli-outcome-succeeded",
    RunOutcome.FAILED: "cli-outcome-failed",
    RunOutcome.TIMED_OUT: "cli-outcome-timed-out",
    RunOutcome.CANCELLED: "cli-outcome-cancelled",
    RunOutcome.LOST: "cli-outcome-lost",
}
_INCIDENT_STATES = {
    "open": "cli-incident-open",
    "acknowledged": "cli-incident-acknowledged",
    "resolved": "cli-incident-resolved",
}
_SEVERITIES = {
    "info": "cli-severity-info",
    "warning": "cli-severity-warning",
    "critical": "cli-severity-critical",
}


def state_word(state: State) -> str:
    return msg(STATES[state].cell)


def outcome_word(outcome: str) -> str:
    """`outcome` as the table of runs holds it."""
    return msg(_OUTCOMES[RunOutcome(outcome)])


def incident_words(state: str, severity: str) -> tuple[str, str]:
    """State and severity as the table of incidents holds them."""
    return msg(_INCIDENT_STATES[state]), msg(_SEVERITIES[severity])


def schedule_words(schedule: str) -> str:
    """A schedule as the table of tasks holds it: `every 60s`, `cron ...`, `continuous`."""
    if schedule.startswith("every "):
        return msg("cli-every", time=schedule.removeprefix("every "))
    return msg("cli-continuous") if schedule == "continuous" else schedule


def span(seconds: float) -> str:
    """The largest unit alone."""
    if seconds >= 86400:
        return msg("cli-unit-days", count=f"{seconds / 86400:.0f}")
    if seconds >= 3600:
        return msg("cli-unit-hours", count=f"{seconds / 3600:.0f}")
    if seconds >= 60:
        return msg("cli-unit-minutes", count=f"{seconds / 60:.0f}")
    return msg("cli-unit-seconds", count=f"{seconds:.0f}")


def ago(at: float | None, now: float) -> str:
    return msg("cli-never") if at is None else msg("cli-ago", time=span(max(0.0, now - at)))
