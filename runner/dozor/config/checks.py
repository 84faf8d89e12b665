"""Rules about more than one key. They read the values as written, so that one mistake hides no other."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dozor.config.sections.supervision import names_in
from dozor.config.sections.tasks import Isolation, PoolPlacement, TaskConfig
from dozor.config.source.problems import Place, Problem
from dozor.config.values.durations import format_duration
from dozor.config.values.fields import nearest
from dozor.config.values.requirements import DATABASE
from dozor.config.values.schedules import Every
from dozor.config.values.sizes import format_size
from dozor.language import msg

LARGEST_ARGUMENTS = 4_000_000
"""Bytes of a task's `args` as they are sent to its process with each start."""

_TRUE = frozenset(("true", "yes", "on", "1", "y", "t"))
"""What pydantic takes for true."""


def check_sections(values: Mapping[str, Any]) -> Iterator[Problem]:
    telegram = values.get("telegram")
    if isinstance(telegram, dict) and telegram.get("token") and telegram.get("chat") in (None, ""):
        yield Problem(
            msg("config-token-without-chat"),
            ("telegram", "chat"),
        )
    if isinstance(telegram, dict) and telegram.get("commands") is False and telegram.get("webhook"):
        yield Problem(msg("config-webhook-without-commands"), ("telegram", "webhook"))
    database = values.get("database")
    if isinstance(database, dict) and "url" in database and database["url"] in (None, ""):
        # An unset variable must not move production to an empty database on the local disk.
        yield Problem(msg("config-database-url-empty"), ("database", "url"))
    if isinstance(database, dict):
        yield from _check_pooling(database, clustered=clustered(values))
    if clustered(values):
        url = database.get("url", "embedded") if isinstance(database, dict) else "embedded"
        if isinstance(url, str) and url.strip() == "embedded":
            yield Problem(msg("config-cluster-embedded"), ("cluster", "enabled"))


def clustered(values: Mapping[str, Any]) -> bool:
    """Whether the file, as written, enables a cluster."""
    cluster = values.get("cluster")
    enabled = cluster.get("enabled") if isinstance(cluster, dict) else False
    return enabled is True or (isinstance(enabled, str) and enabled.strip().lower() in _TRUE)


def _check_pooling(database: Mapping[str, Any], *, clustered: bool) -> Iterator[Problem]:
    direct = database.get("direct_url") not in (None, "")
    if database.get("pooling") != "transaction":
        if direct:
            yield Problem(msg("config-direct-without-pooling"), ("database", "direct_url"))
        return
    url = database.get("url", "embedded")
    if isinstance(url, str) and url.strip() == "embedded":
        yield Problem(msg("config-pooling-embedded"), ("database", "pooling"))
    elif not direct and not clustered:
        yield Problem(msg("config-pooling-without-session"), ("database", "pooling"))


def check_defaults(defaults: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _one_schedule(defaults, ("defaults",))


def check_task(own: Mapping[str, Any], defaults: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    """`own`: the keys the task itself holds."""
    yield from _one_schedule(own, place)
    if own.get("timezone") is None:
        return
    inherits_cron = "every" not in own and "cron" not in own and defaults.get("cron") is not None
    if own.get("cron") is None and not inherits_cron:
        yield Problem(msg("config-timezone-without-cron"), (*place, "timezone"))


def check_requirements(written: object, dependencies: object, place: Place) -> Iterator[Problem]:
    """`written`: a task's `requires`; `dependencies`: the section."""
    known = [DATABASE, *dependencies] if isinstance(dependencies, dict) else [DATABASE]
    for number, name in enumerate(names_in(written)):
        if name not in known:
            hint = nearest(name, known) or msg("config-known-dependencies", known=", ".join(known))
            yield Problem(
                msg("config-not-known-here", name=repr(name), hint=hint), (*place, "requires", number)
            )


def check_process(task: TaskConfig, place: Place, inherited: frozenset[str]) -> Iterator[Problem]:
    """Keys that mean something in a process of its own only, and arguments too large to be sent to one.

    `inherited`: keys that come from `defaults`, where they are for the tasks that have a process.
    """
    if task.isolation is not Isolation.PROCESS:
        for key, value in (("max_memory", task.max_memory), ("max_runs", task.max_runs), ("env", task.env)):
            if value not in (None, ()) and key not in inherited:
                yield Problem(msg("config-needs-process"), (*place, key))
        return
    size = len(pickle.dumps(task.args))
    if size > LARGEST_ARGUMENTS:
        where: Place = ("defaults",) if "args" in inherited else place
        text = msg(
            "config-args-too-large", size=format_size(round(size, -5)), most=format_size(LARGEST_ARGUMENTS)
        )
        yield Problem(text, (*where, "args"))


def check_placements(tasks: Iterable[TaskConfig | None], values: Mapping[str, Any]) -> Iterator[Problem]:
    """A pool has workers only in a cluster."""
    if clustered(values):
        return
    defaults = values.get("defaults")
    for task in tasks:
        if task is not None and isinstance(task.placement, PoolPlacement):
            raw = values.get("tasks")
            own = raw.get(task.name) if isinstance(raw, dict) else None
            inherited = isinstance(defaults, dict) and not (isinstance(own, dict) and "placement" in own)
            where: Place = ("defaults",) if inherited else ("tasks", task.name)
            yield Problem(msg("config-placement-without-cluster"), (*where, "placement"))
            if inherited:
                return


def check_timing(task: TaskConfig, place: Place, inherited: frozenset[str]) -> Iterator[Problem]:
    """`inherited`: keys that come from `defaults`."""
    match task.schedule:
        case Every(seconds) if task.overdue_after is not None and task.overdue_after <= seconds:
            limit, every = format_duration(task.overdue_after), format_duration(seconds)
            where: Place = ("defaults",) if "overdue_after" in inherited else place
            yield Problem(
                msg("config-always-overdue", limit=limit, every=every, name=task.name),
                (*where, "overdue_after"),
            )
        case _:
            pass


def _one_schedule(values: Mapping[str, Any], place: Place) -> Iterator[Problem]:
    if values.get("every") is not None and values.get("cron") is not None:
        yield Problem(msg("config-every-and-cron"), (*place, "cron"))
