"""What differs between two configurations. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dozor.config.sections.config import Config, TelegramConfig
from dozor.config.sections.tasks import TaskConfig


@dataclass(frozen=True, slots=True)
class Changes:
    """`kept_back`: sections that differ and need a new start of the runner."""

    added: tuple[TaskConfig, ...] = ()
    changed: tuple[TaskConfig, ...] = ()
    removed: tuple[str, ...] = ()
    people: bool = False
    """A person has got, lost or changed a role."""
    kept_back: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.people or self.kept_back)

    @property
    def lines(self) -> tuple[str, ...]:
        """One for each task, with a sign of what has happened to it."""
        return (
            *(f"+ {task.name}" for task in self.added),
            *(f"~ {task.name}" for task in self.changed),
            *(f"− {name}" for name in self.removed),
        )


PEOPLE = ("admins", "operators", "viewers")
_NOT_COMPARED = frozenset(("path", "tasks"))


def compare(old: Config, new: Config) -> Changes:
    """Tasks that are disabled count as not there."""
    before = {task.name: task for task in old.tasks if task.enabled}
    after = {task.name: task for task in new.tasks if task.enabled}
    return Changes(
        added=tuple(task for name, task in after.items() if name not in before),
        changed=tuple(task for name, task in after.items() if name in before and before[name] != task),
        removed=tuple(name for name in before if name not in after),
        people=any(getattr(old.telegram, role) != getattr(new.telegram, role) for role in PEOPLE),
        kept_back=tuple(
            name
            for name in Config.model_fields
            if name not in _NOT_COMPARED and _needs_a_start(name, old, new)
        ),
    )


def in_effect(old: Config, new: Config, changes: Changes) -> Config:
    """`new` as far as it applies without a new start: sections that need one stay as in `old`."""
    kept = {name: getattr(old, name) for name in changes.kept_back}
    if "telegram" in kept:
        kept["telegram"] = with_people(old.telegram, new.telegram)
    return new.model_copy(update=kept)


def with_people(telegram: TelegramConfig, people: TelegramConfig) -> TelegramConfig:
    """`telegram` with the roles of `people`."""
    return telegram.model_copy(update={role: getattr(people, role) for role in PEOPLE})


def _needs_a_start(name: str, old: Config, new: Config) -> bool:
    if name == "telegram":
        return old.telegram != with_people(new.telegram, old.telegram)
    return bool(getattr(old, name) != getattr(new, name))
