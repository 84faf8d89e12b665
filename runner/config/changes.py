"""What differs between two configurations. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runner.config.models import Config
from runner.config.tasks import TaskConfig


@dataclass(frozen=True, slots=True)
class Changes:
    """`kept_back`: sections that differ and need a new start of the runner."""

    added: tuple[TaskConfig, ...] = ()
    changed: tuple[TaskConfig, ...] = ()
    removed: tuple[str, ...] = ()
    kept_back: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.kept_back)


_NOT_COMPARED = frozenset(("path", "tasks"))


def compare(old: Config, new: Config) -> Changes:
    """Tasks that are disabled count as not there."""
    before = {task.name: task for task in old.tasks if task.enabled}
    after = {task.name: task for task in new.tasks if task.enabled}
    return Changes(
        added=tuple(task for name, task in after.items() if name not in before),
        changed=tuple(task for name, task in after.items() if name in before and before[name] != task),
        removed=tuple(name for name in before if name not in after),
        kept_back=tuple(
            name
            for name in Config.model_fields
            if name not in _NOT_COMPARED and getattr(old, name) != getattr(new, name)
        ),
    )
