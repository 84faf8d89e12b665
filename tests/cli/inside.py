"""The command within the test's own process, for tests of what a command does and says."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from click.testing import CliRunner

from dozor.cli import cli
from dozor.cli.terminal.options import configuration_named
from dozor.language.process import from_file, language_in_use, use_language


async def run_inside(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """As `tests.preloaded.processes.run_beside`, in a thread, at a fifth of the CPU time.

    One at a time: standard streams and language of the whole process are the command's meanwhile. Raises what
    the command would end with a traceback for.
    """
    return await asyncio.to_thread(_run, [str(argument) for argument in arguments])


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    before = language_in_use()
    use_language(from_file(configuration_named(arguments), os.environ))
    try:
        done = CliRunner().invoke(cli, arguments, prog_name="dozor")
    finally:
        use_language(before)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(["dozor", *arguments], done.exit_code, done.stdout, done.stderr)
