"""A supervised checker: what to call, and by which rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from runner.supervision.policy import Policy

Checker = Callable[..., Any]
"""`async def f()`, `async def f(ctx)`, or a plain function of either form."""

NO_ARGS: Mapping[str, Any] = MappingProxyType({})


class Isolation(StrEnum):
    """Where a run happens."""

    INLINE = "inline"
    """On the runner's loop: coroutine functions only."""
    THREAD = "thread"
    """In a thread of its own: plain functions only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """`name` is unique within a supervisor."""

    name: str
    function: Checker
    policy: Policy = field(default_factory=Policy)
    isolation: Isolation = Isolation.INLINE
    takes_context: bool = False
    args: Mapping[str, Any] = field(default_factory=lambda: NO_ARGS)
    description: str = ""
