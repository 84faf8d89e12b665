"""From a configuration file to what a runner needs of it: at once, or without holding up the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dozor.app.worker_config import pool_specs
from dozor.config import Config
from dozor.config.imports.checkers import (
    Checker,
    CheckerImportError,
    Loaded,
    examine_draft,
    load_with_checkers,
    modules_here,
    preload,
)
from dozor.config.loading import Draft, read_draft
from dozor.config.source.problems import Problem, as_error
from dozor.config.values.roles import Role
from dozor.language import msg
from dozor.language.process import from_file, language_for_now
from dozor.process.threads import in_own_thread
from dozor.redaction import Redactor
from dozor.supervision.core.spec import TaskSpec, specs_of

AT_ONCE = 8 * 1024
"""Bytes: a file up to this size is read in a few milliseconds. A line of a task has 40 or more."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A configuration with its tasks as supervision needs them. `assigned`: those that a worker may run.

    `unexamined`: `examine_apart` has to be called before anything is started.
    """

    config: Config
    specs: list[TaskSpec]
    assigned: list[TaskSpec]
    unexamined: bool


def opened(
    config: Config, checkers: dict[str, Checker], role: Role | None, *, unexamined: bool = False
) -> Opened:
    """`checkers`: the function of each enabled task by its name. `role`: of this process in a cluster."""
    specs = specs_of([task for task in config.tasks if task.enabled], checkers)
    works = config.cluster.enabled and role is not Role.LEADER
    return Opened(config, specs, pool_specs(config, checkers) if works else [], unexamined)


def is_small(path: Path) -> bool:
    """Whether an event loop may wait while the file is read. One that cannot be found is small."""
    try:
        return path.stat().st_size <= AT_ONCE
    except (OSError, ValueError):
        return True


def load_now(path: Path, redactor: Redactor, role: Role | None) -> Loaded:
    """Read the file and import the checkers. Raises ConfigError with every problem.

    `redactor` hides the secrets of the file afterwards. `role`: asked for, in a cluster only.
    """
    return _with_role(load_with_checkers(path, allow_hung=True, later=True, redactor=redactor), role)


async def open_in_background(path: Path, redactor: Redactor, role: Role | None) -> Opened:
    """As `load_now` and `opened`, in threads. Modules are imported on the loop, one in each turn of it."""
    with language_for_now(from_file(path, os.environ)):
        draft = await in_own_thread(read_draft, path, os.environ)
        raised: dict[str, CheckerImportError] = {}
        for module in modules_here(draft):
            error = preload(module, draft.path.parent)
            if error is not None:
                raised[module] = error
            await asyncio.sleep(0)
        return await in_own_thread(_examined, draft, redactor, raised, role)


def _examined(
    draft: Draft, redactor: Redactor, raised: Mapping[str, CheckerImportError], role: Role | None
) -> Opened:
    loaded = _with_role(examine_draft(draft, redactor, raised), role)
    return opened(loaded.config, loaded.checkers, role, unexamined=loaded.unexamined)


def _with_role(loaded: Loaded, role: Role | None) -> Loaded:
    config = loaded.config
    if role is not None and not config.cluster.enabled:
        problem = Problem(msg("config-role-without-cluster", role=role.value), ("cluster", "enabled"))
        raise as_error(config.source, config.lines, [problem])
    return loaded
