"""Converts the ending of a run to a failure, with its stack if it exceeded its time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from dozor.language import msg
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.state import Failure
from dozor.supervision.runs.failures.failure import describe
from dozor.supervision.runs.failures.stacks import in_one_line, users_own
from dozor.supervision.runs.run import Run, StopReason


def failure_of(
    run: Run, error: BaseException | None, policy: Policy, redact: Callable[[str], str]
) -> tuple[BaseException, Failure]:
    """The exception to log, and the failure to keep. `error`: what the run raised, if anything."""
    match run.reason:
        case StopReason.TIMED_OUT:
            return _too_long(run, error, msg("log-over-timeout", seconds=f"{policy.timeout:g}"), redact)
        case StopReason.SILENT:
            limit = policy.heartbeat_timeout
            return _too_long(run, error, msg("log-no-heartbeat", seconds=f"{limit:g}"), redact)
        case StopReason.ASKED | None:
            assert error is not None
            return error, describe(error, redact)
        case _:
            assert_never(run.reason)


def _too_long(
    run: Run, error: BaseException | None, text: str, redact: Callable[[str], str]
) -> tuple[BaseException, Failure]:
    chain = run.hung_at
    if chain:
        text = msg("log-it-was-at", text=text, chain=in_one_line(chain))
    late = TimeoutError(text)
    late.__cause__ = error
    raised = late.with_traceback(error.__traceback__ if error is not None else None)
    failure = describe(raised, redact, timed_out=True)
    if chain:
        lines = "\n  ".join(chain)
        failure = replace(
            failure,
            where=redact(users_own(chain) or chain[-1]),
            traceback=f"{failure.traceback}\n{msg('log-where-it-was')}\n  {redact(lines)}\n",
        )
    return raised, failure
