"""Checkers that note what their runs are given. Copied beside a configuration."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dozor import Context

FOLDER = Path(__file__).parent


def note(name: str, text: str) -> None:
    """One line in the file `name`."""
    with (FOLDER / name).open("a") as file:
        file.write(f"{text}\n")


@asynccontextmanager
async def shared() -> AsyncIterator[str]:
    """The runner's."""
    yield "shared"
    note("closed", f"{os.getpid()} shared")


@asynccontextmanager
async def own(databases: Any, resources: str) -> AsyncIterator[str]:
    """A task's: takes the runner's and a named database."""
    yield f"own of {resources} in {await databases['shop'].fetchval('SELECT current_database()')}"
    note("closed", f"{os.getpid()} own")


async def check(ctx: Context) -> None:
    """Notes its process, the value of the setup, and what a named database answers."""
    answer = await ctx.databases["shop"].fetchval("SELECT 40 + 2")
    note(ctx.task, f"{os.getpid()}|{ctx.resources}|{answer}")


def check_in_thread(ctx: Context) -> None:
    note(ctx.task, f"{os.getpid()}|{ctx.resources}|{'shop' in ctx.databases}")
