"""The checkers of a siege: each fails while the plan has its task as broken."""

from __future__ import annotations

from functools import cache

from dozor import Context
from tests.siege.haste import Haste
from tests.siege.truth import Truth

world: tuple[Haste, Truth] | None = None
"""Set before a runner's process is forked."""


async def check(ctx: Context) -> None:
    assert world is not None
    haste, truth = world
    found = truth.broken(ctx.task, haste.seconds())
    if found is not None:
        raise _error(found.error)(f"{ctx.task} is broken")


@cache
def _error(name: str) -> type[Exception]:
    return type(name, (Exception,), {})
