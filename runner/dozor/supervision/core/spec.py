"""The specification of a supervised task: the function to call, and its policy."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from dozor.config.imports.checkers import isolation_of
from dozor.config.imports.signatures import takes_context
from dozor.config.sections.tasks import (
    Isolation,
    Misfire,
    OnHang,
    PoolPlacement,
    Requirement,
    RetryEvery,
    TaskConfig,
)
from dozor.supervision.core.policy import Intensity, Policy, RestartDelay

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
    reference: str = ""
    """ "module:function", by which another process finds it."""
    max_memory: int | None = None
    """Bytes its own process may hold."""
    max_runs: int | None = None
    """Runs after which its own process is replaced."""
    on_hang: OnHang = OnHang.ABANDON
    pool: str | None = None
    """The pool of workers that runs it. None: the leader runs it."""
    env: tuple[str, ...] = ()
    """Withheld variables that its own process gets all the same."""
    setup: str = ""
    """ "module:function" of an async context manager that is opened before the first run; "" for none."""
    unusable: str = ""
    """Why its own process cannot be started, found before the start; a restart by a person tries again."""


def from_config(
    task: TaskConfig, function: Checker, *, unusable: str = "", on_worker: bool = False
) -> TaskSpec:
    """The specification of a configured task. One that is `unusable` runs, and fails, at the start.

    `on_worker`: for a worker, which times the runs of its pools; a leader only waits for their ends.
    """
    delay, window = task.restart_delay, task.max_failures
    pool = task.placement.name if isinstance(task.placement, PoolPlacement) and not on_worker else None
    return TaskSpec(
        name=task.name,
        function=function,
        isolation=isolation_of(function, task.isolation),
        takes_context=takes_context(function),
        args=task.args or NO_ARGS,
        description=task.description,
        reference=task.run,
        max_memory=task.max_memory,
        max_runs=task.max_runs,
        on_hang=task.on_hang,
        pool=pool,
        env=task.env,
        setup=task.setup or "",
        unusable=unusable,
        policy=Policy(
            schedule=task.schedule,
            restart_delay=RestartDelay(delay.initial, delay.factor, delay.max, delay.jitter),
            max_consecutive_failures=task.max_consecutive_failures,
            stable_after=task.stable_after,
            timeout=task.timeout if pool is None else None,
            skip_missed=task.misfire is Misfire.SKIP,
            stop_retry_every=task.on_critical.seconds if isinstance(task.on_critical, RetryEvery) else None,
            requires_database=Requirement.DATABASE in task.requires,
            requires=frozenset(task.requires) - {Requirement.DATABASE.value},
            max_failures=None if window is None else Intensity(window.count, window.within),
            heartbeat_timeout=task.heartbeat_timeout if pool is None else None,
            overdue_after=task.overdue_after,
            offset=offset(task.name, task.start_jitter),
            run_at_start=task.run_at_start or bool(unusable),
        ),
    )


def with_unusable(specs: Iterable[TaskSpec], unusable: Mapping[str, str]) -> list[TaskSpec]:
    """`specs`, of which those named by `unusable` run, and fail, at the start."""
    return [
        replace(spec, unusable=unusable[spec.name], policy=replace(spec.policy, run_at_start=True))
        if spec.name in unusable
        else spec
        for spec in specs
    ]


def offset(name: str, jitter: float | None) -> float:
    """A task's own place between 0 and `jitter` (seconds): the same in every process, so no tick moves."""
    return 0.0 if jitter is None else jitter * zlib.crc32(name.encode()) / 2**32
