"""One subject in a process of its own, which is ended when it overruns its deadline."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.suite.results import Subject

END_SECONDS = 60.0
"""How long an interrupted process may take to stop its servers and remove its files."""


def not_measured(name: str, reason: str) -> Subject:
    """The section of a subject without figures."""
    return Subject(name, (), (f"Not measured: {reason}.",))


def measured_within(name: str, command: Sequence[str], seconds: float) -> Subject:
    """What the process of `command` leaves in the file that is added to its arguments (`keep`).

    After `seconds` it is interrupted, as by Ctrl+C; then, and where it leaves nothing, the subject is
    `not_measured` with the reason. Its temporary files and what it has started are gone at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="dozor-b-"))
    try:
        left = folder / "subject"
        process = subprocess.Popen([*command, str(left)], env={**os.environ, "TMPDIR": str(folder)})
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            return not_measured(name, f"did not come to an end within {seconds:,.0f} s")
        except BaseException:  # Ctrl+C: the terminal has sent it to the other process as well
            _end(process)
            raise
        if not left.exists():
            return not_measured(name, f"its process ended with {code}")
        found: Subject = pickle.loads(left.read_bytes())
        return found
    finally:
        _kill_users_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def keep(subject: Subject, path: Path) -> None:
    """For `measured_within` in the parent process."""
    path.write_bytes(pickle.dumps(subject))


def allow_interrupt() -> None:
    """In a measuring process: take SIGINT even where the shell ignores it, as for a job in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def this_module(*arguments: str) -> list[str]:
    """`python -m benchmarks` with these arguments, by the interpreter of this process."""
    return [sys.executable, "-m", "benchmarks", *arguments]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _kill_users_of(folder: Path) -> None:
    """Processes with their temporary files in `folder` that have outlived the one that started them."""
    within = f"{folder}{os.sep}"
    for one in psutil.process_iter():
        with suppress(psutil.Error):
            paths = (one.environ().get("TMPDIR", ""), one.cwd(), *one.cmdline())
            if one.pid != os.getpid() and any(within in f"{path}{os.sep}" for path in paths):
                one.kill()
