"""A supervised checker: what to call, and by which rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from runner.config.imports import isolation_of
from runner.config.signatures import takes_context
from runner.config.tasks import Isolation, Misfire, Requirement, RetryEvery, TaskConfig
from runner.supervision.policy import Policy, RestartDelay

Checker = Callable[..., Any]
"""`async def f()`, `async def f(ctx)`, or a plain function of either form."""

NO_ARGS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """`name` is unique within a supervisor."""

    name: str
    function: Checker
    policy: Policy = field(default_factory=Policy)
    isolation: Isolation = Isolation.INLINE
    """`inline` for coroutine functions, `thread` for plain ones."""
    takes_context: bool = False
    args: Mapping[str, Any] = field(default_factory=lambda: NO_ARGS)
    description: str = ""


def from_config(task: TaskConfig, function: Checker) -> TaskSpec:
    """The specification of a configured task."""
    delay = task.restart_delay
    return TaskSpec(
        name=task.name,
        function=function,
        isolation=isolation_of(function, task.isolation),
        takes_context=takes_context(function),
        args=task.args or NO_ARGS,
        description=task.description,
        policy=Policy(
            schedule=task.schedule,
            restart_delay=RestartDelay(delay.initial, delay.factor, delay.max, delay.jitter),
            max_consecutive_failures=task.max_consecutive_failures,
            stable_after=task.stable_after,
            timeout=task.timeout,
            skip_missed=task.misfire is Misfire.SKIP,
            stop_retry_every=task.on_critical.seconds if isinstance(task.on_critical, RetryEvery) else None,
            requires_database=Requirement.DATABASE in task.requires,
        ),
    )
