"""The command as a process of its own: a runner inside the test writes to the same standard error."""

from __future__ import annotations

from dataclasses import dataclass

from tests.preloaded.processes import run_beside


@dataclass(frozen=True, slots=True)
class Ran:
    """`output`: standard output and error, as text."""

    exit_code: int
    stdout: str
    output: str


async def dozor(*arguments: str) -> Ran:
    """Run `dozor ARGUMENTS` to its end."""
    done = await run_beside(*arguments)
    return Ran(done.returncode, done.stdout, done.stdout + done.stderr)
