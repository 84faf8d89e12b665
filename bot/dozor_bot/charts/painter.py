"""Draws pictures in another process, one at a time: its memory is freed, and the loop does not wait."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from dozor.errors import DozorError
from dozor.language import msg

TIME_LIMIT = 40.0
"""Seconds; a first start on a slow machine builds a cache of fonts."""
SCRIPT = Path(__file__).with_name("draw.py")
ERROR_LENGTH = 300
_one_at_a_time = asyncio.Semaphore(1)


class ChartError(DozorError):
    """No picture came about; the message says why."""


async def paint(chart: dict[str, Any]) -> bytes:
    """The picture as PNG. Raises ChartError."""
    async with _one_at_a_time:
        # Isolated: what lies in the current folder is none of its business.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(SCRIPT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(TIME_LIMIT):
                picture, errors = await process.communicate(json.dumps(chart).encode())
        except TimeoutError:
            raise ChartError(msg("error-no-picture", seconds=f"{TIME_LIMIT:g}")) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode != 0:
        said = errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise ChartError(msg("error-picture-failed", reason=said[:ERROR_LENGTH]))
    return picture
