"""Log lines about tasks: of these a runner writes thousands a second when many tasks fail.

They are lines of loguru. Where Dozor's own JSON handler is the only one that would get them, they are handed
to it without the rest of what loguru does, which takes more than half of the time; the line is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple

from loguru import logger

Entry = dict[str, Any]
"""Of a loguru record what the JSON handler reads: time, level, message, name, extra and exception."""


class Raised(NamedTuple):
    """An exception as in a record of loguru."""

    type: type[BaseException]
    value: BaseException
    traceback: TracebackType | None


class DirectHandler:
    """`handler`: the id of Dozor's JSON handler in loguru; `write` is given what it reads of a record."""

    def __init__(self, handler: Callable[[], int], write: Callable[[Entry], None]) -> None:
        self._handler = handler
        self._write = write

    def take(self, level: str, module: str, task: str, text: str, error: BaseException | None) -> bool:
        """Write the line; False: loguru has to, since somebody else would see it, or it failed here."""
        # loguru has no public way to ask for its handlers.
        core: Any = getattr(logger, "_core", None)
        if core is None or core.patcher is not None or core.extra or [*core.handlers] != [self._handler()]:
            return False
        found = logger.level(level)
        if found.no < core.min_level:
            return True
        entry = {
            "time": datetime.now().astimezone(),
            "level": found,
            "message": text,
            "name": module,
            "extra": {"task": task},
            "exception": None if error is None else Raised(type(error), error, error.__traceback__),
        }
        try:
            self._write(entry)
        except Exception:  # noqa: BLE001 -- the border: loguru writes the line, or what is wrong with it
            return False
        return True


class TaskLines:
    """Of a process: `direct` is there once its log is JSON, and written to by Dozor alone."""

    def __init__(self) -> None:
        self.direct: DirectHandler | None = None

    def write(self, level: str, task: str, text: str, error: BaseException | None = None) -> None:
        """A line about `task`, with the traceback of `error`."""
        if self.direct is None or not self.direct.take(level, __name__, task, text, error):
            logger.opt(exception=error).bind(task=task).log(level, "{}", text)


TASK_LINES = TaskLines()
