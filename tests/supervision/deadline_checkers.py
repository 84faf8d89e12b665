"""What runs in a process of its own, for test_child_deadline.py."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path


async def hold_the_gil(path: str, seconds: int) -> None:
    """No thread of this process goes on meanwhile."""
    _say_who(path)
    ctypes.PyDLL(None).sleep(seconds)


async def wait(path: str) -> None:
    _say_who(path)
    await asyncio.sleep(600)


def _say_who(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
