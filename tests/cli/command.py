"""The command as a process of its own: a runner inside the test writes to the same standard error."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ran:
    """`output`: standard output and error, as text."""

    exit_code: int
    stdout: str
    output: str


async def dozor(*arguments: str) -> Ran:
    """Run `dozor ARGUMENTS` to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dozor", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), out.decode() + err.decode())
