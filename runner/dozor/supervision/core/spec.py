"""The specification of a supervised task: the function to call, and its policy."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from dozor.config.imports.signatures import isolation_of, takes_context
from dozor.config.values.choices import Isolation, Misfire, OnHang, Requirement
from dozor.config.values.schedules import schedule_of
from dozor.supervision.core.policy import Intensity, Policy, RestartDelay

if TYPE_CHECKING:
    from dozor.config.sections.tasks import TaskConfig

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


def specs_of(tasks: Iterable[TaskConfig], checkers: Mapping[str, Checker]) -> list[TaskSpec]:
    """As `from_config` for each of `tasks`; a function that several of them name is examined once."""
    known: dict[tuple[int, Isolation | None], _Calling] = {}
    specs = []
    for task in tasks:
        function = checkers[task.name]
        key = id(function), task.isolation
        calling = known.get(key)
        if calling is None:
            calling = known[key] = _Calling.of(task, function)
        specs.append(_spec(task, function, calling))
    return specs


def from_config(
    task: TaskConfig, function: Checker, *, unusable: str = "", on_worker: bool = False
) -> TaskSpec:
    """The specification of a configured task. One that is `unusable` runs, and fails, at the start.

    `on_worker`: for a worker, which times the runs of its pools; a leader only waits for their ends.
    """
    return _spec(task, function, _Calling.of(task, function), unusable=unusable, on_worker=on_worker)


@dataclass(frozen=True, slots=True)
class _Calling:
    """How a function is called."""

    isolation: Isolation
    takes_context: bool

    @classmethod
    def of(cls, task: TaskConfig, function: Checker) -> _Calling:
        return cls(isolation_of(function, task.isolation), takes_context(function))


def _spec(
    task: TaskConfig,
    function: Checker,
    calling: _Calling,
    *,
    unusable: str = "",
    on_worker: bool = False,
) -> TaskSpec:
    # Here, since child processes import this module, and need no configuration.
    from dozor.config.sections.tasks import PoolPlacement, RetryEvery

    delay, window, critical = task.restart_delay, task.max_failures, task.on_critical
    pool = task.placement.name if isinstance(task.placement, PoolPlacement) and not on_worker else None
    return TaskSpec(
        name=task.name,
        function=function,
        isolation=calling.isolation,
        takes_context=calling.takes_context,
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
        policy=_policy(
            task.every,
            task.cron,
            task.timezone,
            (delay.initial, delay.factor, delay.max, delay.jitter),
            task.max_consecutive_failures,
            task.stable_after,
            task.timeout if pool is None else None,
            task.misfire is Misfire.SKIP,
            critical.seconds if isinstance(critical, RetryEvery) else None,
            task.requires,
            None if window is None else (window.count, window.within),
            task.heartbeat_timeout if pool is None else None,
            task.overdue_after,
            offset(task.name, task.start_jitter),
            task.run_at_start or bool(unusable),
        ),
    )


@lru_cache(maxsize=1024)
def _policy(
    every: float | None,
    cron: str | None,
    timezone: ZoneInfo | None,
    delay: tuple[float, float, float, float],
    max_consecutive_failures: int | None,
    stable_after: float,
    timeout: float | None,
    skip_missed: bool,
    stop_retry_every: float | None,
    requires: tuple[str, ...],
    window: tuple[int, float] | None,
    heartbeat_timeout: float | None,
    overdue_after: float | None,
    offset: float,
    run_at_start: bool,
) -> Policy:
    """One value for all tasks with the same rules: to make one takes longer than to find it."""
    return Policy(
        schedule=schedule_of(every, cron, timezone),
        restart_delay=RestartDelay(*delay),
        max_consecutive_failures=max_consecutive_failures,
        stable_after=stable_after,
        timeout=timeout,
        skip_missed=skip_missed,
        stop_retry_every=stop_retry_every,
        requires_database=Requirement.DATABASE in requires,
        requires=frozenset(requires) - {Requirement.DATABASE.value},
        max_failures=None if window is None else Intensity(*window),
        heartbeat_timeout=heartbeat_timeout,
        overdue_after=overdue_after,
        offset=offset,
        run_at_start=run_at_start,
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
