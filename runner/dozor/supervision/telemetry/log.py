"""The log lines of supervision. The Russian ones are those of the source document, to the letter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from dozor.config.values.durations import format_duration
from dozor.exceptions import bounded, line_of, text_of
from dozor.language import msg
from dozor.language.names import Language
from dozor.supervision.core.policy import Intensity
from dozor.supervision.core.state import StopCause, TaskState
from dozor.task_lines import TASK_LINES

_write = TASK_LINES.write


@dataclass(frozen=True, slots=True)
class _Lines:
    starting: str
    failed: str
    failed_unlimited: str
    restarting: str
    stopped: str
    stopped_at_once: str
    stopped_by_window: str
    cancelled: str


_RU = _Lines(
    starting="Запуск фоновой задачи: {name}",
    failed="Ошибка в фоновой задаче {name} (попытка {failures}/{limit}): {text}",
    failed_unlimited="Ошибка в фоновой задаче {name} (попытка {failures}): {text}",
    restarting="Перезапуск задачи {name} через {delay} секунд...",
    stopped="Фоновая задача {name} остановлена после {failures} последовательных ошибок",
    stopped_at_once="Фоновая задача {name} остановлена: повтор не поможет ({text})",
    stopped_by_window="Фоновая задача {name} остановлена: ошибок за {within}: {count}",
    cancelled="Фоновая задача {name} отменена",
)
_EN = _Lines(
    starting="Starting background task: {name}",
    failed="Error in background task {name} (attempt {failures}/{limit}): {text}",
    failed_unlimited="Error in background task {name} (attempt {failures}): {text}",
    restarting="Restarting task {name} in {delay} seconds...",
    stopped="Background task {name} stopped after {failures} consecutive errors",
    stopped_at_once="Background task {name} stopped: trying again cannot help ({text})",
    stopped_by_window="Background task {name} stopped: {count} errors within {within}",
    cancelled="Background task {name} cancelled",
)


class SupervisionLog:
    """Writes one line for each thing that happens to a task. `redact` is the border for secrets."""

    __slots__ = ("_lines", "_redact")

    def __init__(self, language: Language = Language.RU, redact: Callable[[str], str] = str) -> None:
        self._lines = _RU if language is Language.RU else _EN
        self._redact = redact

    def starting(self, name: str) -> None:
        _write("INFO", name, self._lines.starting.format(name=name))

    def failed(self, name: str, failures: int, limit: int | None, error: BaseException) -> None:
        """The error's traceback goes with the line; a text of more than `dozor.exceptions.TEXT` is cut."""
        template = self._lines.failed if limit is not None else self._lines.failed_unlimited
        text = text_of(error, redact=self._redact)
        line = template.format(name=name, failures=failures, limit=limit, text=text)
        _write("ERROR", name, line, bounded(error, self._redact))

    def ended_with(self, name: str, error: BaseException | None) -> None:
        """A run that was asked to end raised `error`, which is no failure."""
        if error is not None:
            what = line_of(error, self._redact)
            _write("INFO", name, msg("log-ended-raised", name=name, error=what))

    def restarting(self, name: str, delay: float) -> None:
        """`delay` in seconds."""
        _write("INFO", name, self._lines.restarting.format(name=name, delay=_plain(delay)))

    def stopped(self, name: str, failures: int) -> None:
        _write("CRITICAL", name, self._lines.stopped.format(name=name, failures=failures))

    def stopped_at_once(self, name: str, text: str) -> None:
        _write("CRITICAL", name, self._lines.stopped_at_once.format(name=name, text=text))

    def stopped_by_window(self, name: str, count: int, within: float) -> None:
        """`within` in seconds."""
        line = self._lines.stopped_by_window.format(name=name, count=count, within=format_duration(within))
        _write("CRITICAL", name, line)

    def critical_stop(self, name: str, task: TaskState, window: Intensity | None) -> None:
        """The line with the reason."""
        match task.failure_record.stopped_by:
            case StopCause.FATAL:
                self.stopped_at_once(
                    name,
                    "" if task.failure_record.failure is None else task.failure_record.failure.error_text,
                )
            case StopCause.INTENSITY if window is not None:
                self.stopped_by_window(name, window.count, window.within)
            case StopCause.INTENSITY | StopCause.CONSECUTIVE | None:
                self.stopped(name, task.failures)
            case _:
                assert_never(task.failure_record.stopped_by)

    def cancelled(self, name: str) -> None:
        _write("INFO", name, self._lines.cancelled.format(name=name))


def _plain(seconds: float) -> str:
    """60.0 as "60", 0.5 as "0.5"."""
    return str(int(seconds)) if seconds == int(seconds) else str(round(seconds, 3))
