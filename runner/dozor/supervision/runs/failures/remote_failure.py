"""Failures of another process, carried over the pipe as text."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from dozor.language import msg
from dozor.supervision.core.state import Failure

LOST_CONNECTION = 76
"""EX_PROTOCOL of sysexits.h: exit code of a worker whose checker has closed the socket to the runner."""
UNKNOWN_STATUS = 255
"""Of asyncio, if somebody else has taken the exit status (`os.wait`); it can be a real exit code as well."""
_FAULT_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>[0-9]+) in (?P<name>\S+)')


class RemoteError(Exception):
    """What a checker raised in its own process."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error_text)
        self.failure = failure
        if failure.traceback:
            self.__cause__ = RemoteTracebackError(failure.traceback)


class RemoteTracebackError(Exception):
    """Only carries the other process's traceback into the log."""

    def __str__(self) -> str:
        return f'in its own process:\n"""\n{self.args[0]}"""'


class ProcessDiedError(RemoteError):
    """The process ended in the middle of a run."""


class WorkerLost(RemoteError):  # noqa: N818 -- the name that people see as the error's type
    """The worker that had the run sent no heartbeat for too long, or the run's row has vanished."""


class MemoryLimitError(RemoteError):
    """The process held more memory than `max_memory`."""


def to_frame(failure: Failure) -> dict[str, Any]:
    return asdict(failure)


def from_frame(values: dict[str, Any]) -> Failure:
    """Raises TypeError for what is no failure."""
    return Failure(**values)


def process_died_error(
    returncode: int, output: Sequence[str], *, starting: bool, lost: bool = False
) -> ProcessDiedError:
    """`returncode` as of `subprocess`: negative for a signal. `output`: the last lines it wrote. `lost`: it
    had closed its connection to the runner, which then killed it."""
    when = msg("log-while-starting") if starting else msg("log-while-running")
    text = msg("log-process-died", how=msg("log-ended-lost") if lost else how_it_ended(returncode), when=when)
    where = _where(output)
    tail = "\n".join(output[-40:])
    return ProcessDiedError(Failure("ProcessDiedError", text, where, f"{text}\n{tail}\n"))


def import_error(text: str, *, fatal: bool) -> RemoteError:
    """The checker's module cannot be imported."""
    return RemoteError(Failure("CheckerImportError", text.partition("\n")[0], "", text, fatal=fatal))


def worker_lost(worker: str | None, silent_for: float) -> WorkerLost:
    """`silent_for`: seconds without a heartbeat after which the leader gave the run up."""
    text = msg("log-worker-lost", worker=worker or "?", seconds=f"{silent_for:g}")
    return WorkerLost(Failure("WorkerLost", text, "", text))


def memory_limit_error(used: int, limit: int) -> MemoryLimitError:
    """Bytes."""
    text = msg("log-process-memory", used=megabytes(used), most=megabytes(limit))
    return MemoryLimitError(Failure("MemoryLimitError", text, "", text))


def how_it_ended(returncode: int) -> str:
    """ "killed by SIGSEGV", "ended by os._exit or sys.exit with code 3"."""
    if returncode == LOST_CONNECTION:
        return msg("log-ended-lost-code", code=returncode)
    if returncode == UNKNOWN_STATUS:
        return msg("log-ended-unknown", code=returncode)
    if returncode >= 0:
        return msg("log-ended-with-code", code=returncode)
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = msg("log-signal-number", number=-returncode)
    hint = f" {msg('log-not-by-the-runner')}" if -returncode == signal.SIGKILL else ""
    return msg("log-killed-by", name=name, hint=hint)


def megabytes(size: int) -> str:
    return msg("log-megabytes", size=f"{size / 1_000_000:.0f}")


def redacted(failure: Failure, redact: Any) -> Failure:
    """A failure that has come from outside, through the border for secrets."""
    return replace(
        failure,
        error_type=redact(failure.error_type),
        error_text=redact(failure.error_text),
        where=redact(failure.where),
        traceback=redact(failure.traceback),
    )


def _where(output: Sequence[str]) -> str:
    """The innermost frame in what `faulthandler` wrote of the thread at fault: most recent call first."""
    start = next((number for number, line in enumerate(output) if line.startswith("Current thread")), 0)
    for line in output[start:]:
        match = _FAULT_FRAME.match(line)
        if match is not None and "/lib/python" not in match["path"]:
            return f"{match['path'].rpartition('/')[2]}:{match['line']} in {match['name']}"
    return ""
