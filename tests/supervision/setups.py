"""Setups and checkers of the tests of resources. They note what happens, in order, in the file `NOTES`."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from dozor import Context

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("setup", default="")


def note(text: str) -> None:
    """One line."""
    with Path(os.environ["NOTES"]).open("a") as file:
        file.write(f"{text}\n")


@asynccontextmanager
async def shared() -> AsyncIterator[dict[str, str]]:
    """For the runner: a task group, which must be left in the task that entered it, and a variable."""
    token = VARIABLE.set("shared")
    async with asyncio.TaskGroup() as group:
        background = group.create_task(asyncio.Event().wait())
        note(f"open shared {os.getpid()}")
        yield {"name": "shared"}
        background.cancel()
    VARIABLE.reset(token)
    note("close shared")


@asynccontextmanager
async def own(resources: dict[str, str]) -> AsyncIterator[dict[str, str]]:
    """For a task: takes the runner's."""
    note("open own")
    yield {"name": f"own of {resources['name']}"}
    note("close own")


@asynccontextmanager
async def alone(databases: Any) -> AsyncIterator[str]:
    """For a task, with a database."""
    value = await databases["shop"].fetchval("SELECT current_database()")
    note(f"open alone {value}")
    yield value
    note("close alone")


@asynccontextmanager
async def refused() -> AsyncIterator[None]:
    """Cannot be opened before the file ALLOWED exists."""
    note("try")
    if not Path(os.environ["NOTES"]).with_name("ALLOWED").exists():
        raise ConnectionRefusedError("the vault is closed")
    yield


@asynccontextmanager
async def exits() -> AsyncIterator[None]:
    """Ends the process, if it can."""
    if os.environ["NOTES"]:
        raise SystemExit(3)
    yield


@asynccontextmanager
async def hangs() -> AsyncIterator[None]:
    """Is never open."""
    await asyncio.Event().wait()
    yield


@asynccontextmanager
async def bad_end() -> AsyncIterator[str]:
    """Fails while it is closed."""
    yield "good"
    raise RuntimeError("cannot close the till")


@contextmanager
def plain() -> Iterator[None]:
    """No async context manager."""
    yield


async def undecorated() -> AsyncIterator[None]:
    """No context manager at all."""
    yield


async def coroutine() -> None:
    """Returns no context manager."""


@asynccontextmanager
async def wants(config: str) -> AsyncIterator[None]:
    """Would get no value for its parameter."""
    yield


async def look(ctx: Context) -> None:
    """What the run is given."""
    note(f"run {ctx.resources['name']}")


def look_in_thread(ctx: Context) -> None:
    """As `look`."""
    note(f"run {ctx.resources['name']}")


async def nothing() -> None:
    """Needs no context."""
    note("run nothing")


async def ask(ctx: Context) -> None:
    """Uses the named database."""
    shop = ctx.databases["shop"]
    row = await shop.fetchrow("SELECT current_database() AS name, '{}'::jsonb AS document")
    note(f"{row['name']} {row['document']!r} {sorted(ctx.databases)}")


async def ask_unknown(ctx: Context) -> None:
    """Names a database that is not there."""
    await ctx.databases["shopp"].fetchval("SELECT 1")


def ask_in_thread(ctx: Context) -> None:
    """A pool belongs to the loop."""
    asyncio.run(ctx.databases["shop"].fetchval("SELECT 1"))
