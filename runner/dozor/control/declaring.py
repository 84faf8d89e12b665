"""What the database is told of the configured tasks."""

from __future__ import annotations

from dozor.config.tasks import TaskConfig
from dozor.storage.tables.tasks import TaskDeclaration


def declaration(task: TaskConfig) -> TaskDeclaration:
    return TaskDeclaration(
        name=task.name,
        description=task.description,
        schedule=str(task.schedule),
        max_consecutive_failures=task.max_consecutive_failures,
    )
