"""One task of the configuration."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator

from dozor.config.sections.alerts import Severities
from dozor.config.sections.base import (
    Count,
    Duration,
    Kind,
    Number,
    Section,
    SetupReference,
    Size,
    Text,
    Timezone,
)
from dozor.config.sections.cluster import parse_pool
from dozor.config.values import fields
from dozor.config.values.choices import Isolation as Isolation
from dozor.config.values.choices import Misfire as Misfire
from dozor.config.values.choices import OnHang as OnHang
from dozor.config.values.choices import Requirement as Requirement
from dozor.config.values.durations import format_duration, parse_positive
from dozor.config.values.schedules import Continuous as Continuous
from dozor.config.values.schedules import Cron as Cron
from dozor.config.values.schedules import Every as Every
from dozor.config.values.schedules import Schedule as Schedule
from dozor.config.values.schedules import schedule_of as schedule_of
from dozor.language import msg

DEFAULT_POOL = "default"
"""The pool of `placement: pool`."""


class TaskAlerts(Section):
    """Overrides of `alerts` for one task. What is not given is taken from there."""

    repeated_errors: Count | None = None
    """Consecutive failures that raise the first alert."""

    remind_every: Duration | None = None
    """Time to the first reminder of an open incident."""

    severity: Severities = Field(default_factory=dict)
    """The severity of kinds of incidents of this task, where it is not the default."""

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Itself: nobody changes it, and pydantic would copy the default for every task."""
        return self


def _whole_count(value: object) -> int:
    count = fields.parse_whole(value, msg("config-not-whole-ten", value="{value}"))
    if not 2 <= count <= 1000:
        raise ValueError(msg("config-window-count", value="{value}"))
    return count


def _longest_wait(values: dict[str, Any]) -> float:
    initial: float = values.get("initial", 0.0)
    return initial if values.get("factor", 1.0) == 1.0 else max(initial, 3600.0)


class RestartDelay(Section):
    """Time between a failure and the next attempt: `initial × factor^(n-1)` after `n` failures, but not
    more than `max`.
    """

    initial: Duration
    """After the first failure."""

    factor: Annotated[Number, Field(ge=1, le=100), Kind("number, 1 to 100")] = 1.0
    """Growth from one failure to the next. 1: none."""

    max: Annotated[
        Duration,
        Kind("duration", default="`initial` if `factor` is 1, else `1h`, or `initial` if longer"),
    ] = Field(default_factory=_longest_wait)
    """The longest wait."""

    jitter: Annotated[Number, Field(ge=0, le=1), Kind("number, 0 to 1")] = 0.0
    """The share of the wait that is random, so that many tasks do not come back at once."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return value if isinstance(value, dict | cls) else {"initial": parse_positive(value)}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.initial:
            longest, first = format_duration(self.max), format_duration(self.initial)
            raise ValueError(msg("config-max-below-initial", longest=longest, first=first))
        return self


class FailureWindow(Section):
    """A limit beside the consecutive one: failing every other time never makes five in a row."""

    count: Annotated[int, BeforeValidator(_whole_count), Kind("whole number, 2 to 1000")]
    """Failures."""

    within: Duration
    """The time within which they are too many."""


class Stop(Section):
    """A critical stop waits for a person."""


class RetryEvery(Section):
    """A stopped task is tried again from time to time; success brings it back."""

    retry_every: Duration
    """Time between tries of a stopped task."""

    @property
    def seconds(self) -> float:
        return self.retry_every


class LeaderPlacement(Section):
    """The leader runs it."""


class PoolPlacement(Section):
    """Workers of a pool run it."""

    pool: Annotated[str, BeforeValidator(parse_pool), Kind("name of a pool")]
    """The name of the pool, one of `cluster.pools` of the workers that are to run it."""

    @property
    def name(self) -> str:
        return self.pool


def _placement(value: object) -> LeaderPlacement | PoolPlacement:
    match value:
        case LeaderPlacement() | PoolPlacement():
            return value
        case "leader":
            return LeaderPlacement()
        case "pool":
            return PoolPlacement(pool=DEFAULT_POOL)
        case dict():
            return PoolPlacement.model_validate(value)
        case _:
            raise ValueError(msg("config-placement", value="{value}"))


def _on_critical(value: object) -> Stop | RetryEvery:
    if isinstance(value, Stop | RetryEvery):
        return value
    if value == "stop":
        return Stop()
    if isinstance(value, dict):
        return RetryEvery.model_validate(value)
    raise ValueError(msg("config-on-critical", value="{value}"))


_MINUTE = RestartDelay(initial=60)


class TaskConfig(Section):
    """One supervised checker. The task's name is its key under `tasks`."""

    not_keys: ClassVar[frozenset[str]] = frozenset({"name"})

    name: Annotated[str, BeforeValidator(fields.parse_task_name)]
    """1 to 40 of A-Z, a-z, 0-9, `_`, `.` and `-`, not beginning with `-`."""

    run: Annotated[
        str, BeforeValidator(fields.parse_reference), Kind("`module:function` or `module:Class.method`")
    ]
    """What to call: `async def f()`, `async def f(ctx)`, or a plain `def` of either form.

    The folder of the config file is importable.
    """

    every: Duration | None = None
    """Run at a fixed rate. A run never overlaps itself; ticks missed meanwhile become one.

    Without `every` and `cron` the checker is continuous: meant never to return.
    """

    cron: (
        Annotated[
            str,
            BeforeValidator(fields.parse_cron),
            Kind("cron expression: 5 fields, or 6 with seconds in front"),
        ]
        | None
    ) = None
    """Run as cron would, in `timezone`. Instead of `every`."""

    timezone: Timezone | None = None
    """Of `cron`. Not given: the `timezone` of the whole file."""

    args: Annotated[
        dict[str, Any], BeforeValidator(lambda value: {} if value is None else value), Kind("mapping")
    ] = Field(default_factory=dict)
    """Keyword arguments the function is called with, besides `ctx`."""

    restart_delay: Annotated[RestartDelay, Kind("duration, or mapping, see below")] = Field(
        default_factory=lambda: _MINUTE
    )
    """Time between a failure and the next attempt. A continuous checker that returned waits as long."""

    max_consecutive_failures: Count | None = 5
    """Failures in a row after which the task is stopped and an alert is critical. null: never."""

    max_failures: FailureWindow | None = None
    """Failures within a time after which the task is stopped, in a row or not. null: no such limit."""

    stable_after: Duration = 300.0
    """Healthy running time after which the failure streak of a continuous checker is forgotten."""

    timeout: Duration | None = None
    """The longest a run may take; beyond it, it is cancelled and has failed. null: no limit."""

    heartbeat_timeout: Duration | None = None
    """The longest a run may go without `ctx.heartbeat()`; beyond it, it is cancelled and has failed."""

    on_hang: OnHang = OnHang.ABANDON
    """A run that ignores its cancellation: `abandon` raises an alert and never starts another one beside it,
    `exit` also ends the runner, for the service manager to restart.
    """

    overdue_after: Duration | None = None
    """Time without a success after which the task is overdue: an alert, and `/health/tasks` says 503."""

    misfire: Misfire = Misfire.RUN_ONCE
    """After an outage: `run_once` makes up for all missed ticks with one run, `skip` waits for the next."""

    run_at_start: bool = False
    """Run once when the runner starts, whatever the schedule says."""

    start_jitter: Annotated[Duration | None, Kind("duration")] = None
    """Delay each scheduled start by a fixed time of the task, between zero and this value."""

    isolation: Isolation | None = None
    """Where runs happen. Not given: `inline` (on the loop) for `async def`, `thread` for a plain `def`.

    `process`: in a process of its own, see docs/isolation.md.
    """

    max_memory: Size | None = None
    """With `isolation: process`: a process with more is replaced, a run that takes it there is ended."""

    max_runs: Count | None = None
    """With `isolation: process`: replace the process after this many runs."""

    placement: Annotated[
        LeaderPlacement | PoolPlacement,
        BeforeValidator(_placement),
        Kind("`leader`, `pool` or `{pool: gpu}`", default="`leader`"),
    ] = LeaderPlacement()
    """Who runs it: the leader, or a worker of a pool (`pool`: the pool `default`). A pool needs
    `cluster.enabled`, see docs/cluster.md.
    """

    env: Annotated[
        tuple[str, ...],
        BeforeValidator(fields.parse_variable_names),
        Kind("list of names of variables"),
    ] = ()
    """With `isolation: process`: variables that its process gets although they are withheld from it.

    Withheld are `BOT_TOKEN`, `DATABASE_URL`, what `telegram`, `database`, `databases`, `web`, `alerts`,
    `oncall` and `dependencies` refer to, and what arguments with secret names (`api_key`) refer to.
    """

    setup: SetupReference | None = None
    """An async context manager that is opened before the task's first run, and closed when the runner ends or
    the task is changed, removed or restarted by a person. Its value is `ctx.resources`. See
    [your database](databases.md#setup).
    """

    requires: Annotated[
        tuple[str, ...],
        BeforeValidator(lambda value: () if value is None else value),
        Kind("list of `database` and names of `dependencies`"),
    ] = ()
    """What must be up for the task to run. While it is down the task is held, and nothing has failed."""

    on_critical: Annotated[
        Stop | RetryEvery, BeforeValidator(_on_critical), Kind("`stop` or `{retry_every: 10m}`")
    ] = Stop()
    """After a critical stop: `stop` waits for a person, `retry_every` also tries again by itself."""

    alerts: TaskAlerts = TaskAlerts()
    """Overrides of the section `alerts` for this task."""

    enabled: bool = True
    """false: the task is not run, and its function is not imported."""

    description: Text = ""
    """A line for people, shown by `/status`."""

    @property
    def schedule(self) -> Schedule:
        """`every`, `cron` or neither, as one value."""
        return schedule_of(self.every, self.cron, self.timezone)


def _share_names() -> None:
    """Have CPython keep the names of fields once, for all tasks whose attributes are set one by one.

    It leaves less room for names with each instance (https://peps.python.org/pep-0412/), so the first one
    must have them all. Up to 30 names have room.
    """
    first = TaskConfig.__new__(TaskConfig)
    for name in TaskConfig.model_fields:
        object.__setattr__(first, name, None)


_share_names()
