"""The series of each task, as text: ten thousand tasks are a quarter of a million lines.

Text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/), written by hand:
prometheus-client would make an object of every line. Each piece takes some milliseconds at most, so that
whoever sends it can give the loop its turn in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dozor.supervision.core.state import State
from dozor.supervision.tasks.task import SupervisedTask
from dozor.supervision.telemetry.metrics import RUN_BOUNDS, Histogram
from dozor.web.health import overdue_by
from dozor.web.sources import Sources

PIECE = 100
"""Tasks in one piece."""

_T = "\0"
"""Where the label of the task goes in a template."""


def escape(value: str) -> str:
    """A label's value, between its quotes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


class TaskMetrics:
    """Made once; `pieces()` at every scrape."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._families: tuple[tuple[str, str, str, Callable[[SupervisedTask, str, float], str]], ...] = (
            ("dozor_task_runs_total", "counter", "Runs by outcome since the runner began.", self._runs),
            ("dozor_task_run_seconds", "histogram", "How long runs took.", self._run_seconds),
            ("dozor_task_state", "gauge", "1 for the state the task is in, 0 for the others.", _state),
            ("dozor_task_consecutive_failures", "gauge", "The failure streak.", _streak),
            (
                "dozor_task_last_success_timestamp_seconds",
                "gauge",
                "When a run last succeeded; absent: never.",
                _last_success,
            ),
            (
                "dozor_task_overdue_seconds",
                "gauge",
                "Time beyond overdue_after without a success.",
                self._overdue,
            ),
            (
                "dozor_task_critical_stops_total",
                "counter",
                "Critical stops since the runner began.",
                self._stops,
            ),
            (
                "dozor_task_recovery_seconds",
                "histogram",
                "From first failure to next success.",
                self._recovery,
            ),
            ("dozor_task_backlog_items", "gauge", "Items not yet processed, as the checker says.", _backlog),
            (
                "dozor_task_backlog_oldest_timestamp_seconds",
                "gauge",
                "When the oldest unprocessed item became due.",
                _backlog_oldest,
            ),
        )

    def pieces(self) -> Iterator[str]:
        """The whole text, in pieces."""
        now = self._sources.clock.now()
        tasks = self._sources.supervisor.tasks
        labels = [f'task="{escape(task.spec.name)}"' for task in tasks]
        for name, kind, about, lines in self._families:
            yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
            for start in range(0, len(tasks), PIECE):
                end = start + PIECE
                yield "".join(
                    lines(task, label, now)
                    for task, label in zip(tasks[start:end], labels[start:end], strict=True)
                )

    def _runs(self, task: SupervisedTask, label: str, now: float) -> str:
        runs = self._sources.measures.runs(task.index)
        return "".join(
            f'dozor_task_runs_total{{{label},outcome="{outcome.value}"}} {count}\n'
            for outcome, count in runs.items()
        )

    def _run_seconds(self, task: SupervisedTask, label: str, now: float) -> str:
        counts, seconds = self._sources.measures.run_seconds(task.index)
        return _RUN_SECONDS.replace(_T, label) % (*counts, seconds, counts[-1])

    def _recovery(self, task: SupervisedTask, label: str, now: float) -> str:
        recovery = self._sources.measures.recoveries.get(task.index)
        return "" if recovery is None else histogram("dozor_task_recovery_seconds", label, recovery)

    def _overdue(self, task: SupervisedTask, label: str, now: float) -> str:
        late = overdue_by(task, now)
        return "" if late is None else f"dozor_task_overdue_seconds{{{label}}} {late!r}\n"

    def _stops(self, task: SupervisedTask, label: str, now: float) -> str:
        stops = self._sources.measures.critical_stops(task.index)
        return f"dozor_task_critical_stops_total{{{label}}} {stops}\n"


def histogram(name: str, label: str, values: Histogram) -> str:
    """All lines of one histogram. `label` may be empty."""
    template = _histogram_template(name, values.bounds).replace(_T, label)
    counts = values.cumulative()
    return template % (*counts, values.sum, counts[-1])


def _histogram_template(name: str, bounds: Sequence[float]) -> str:
    """With places for the counts up to each bound, the sum, and the count."""
    edges = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    lines = [f'{name}_bucket{{{_T},le="{edge}"}} %d\n' for edge in edges]
    return "".join([*lines, f"{name}_sum{{{_T}}} %r\n", f"{name}_count{{{_T}}} %d\n"])


_RUN_SECONDS = _histogram_template("dozor_task_run_seconds", RUN_BOUNDS)
_STATES = {
    state: "".join(
        f'dozor_task_state{{{_T},state="{other.value}"}} {int(other is state)}\n' for other in State
    )
    for state in State
}


def _state(task: SupervisedTask, label: str, now: float) -> str:
    return _STATES[task.state.state].replace(_T, label)


def _streak(task: SupervisedTask, label: str, now: float) -> str:
    return f"dozor_task_consecutive_failures{{{label}}} {task.state.failures}\n"


def _last_success(task: SupervisedTask, label: str, now: float) -> str:
    at = task.state.succeeded_at
    return "" if at is None else f"dozor_task_last_success_timestamp_seconds{{{label}}} {at!r}\n"


def _backlog(task: SupervisedTask, label: str, now: float) -> str:
    return "" if task.backlog is None else f"dozor_task_backlog_items{{{label}}} {task.backlog[0]}\n"


def _backlog_oldest(task: SupervisedTask, label: str, now: float) -> str:
    oldest = None if task.backlog is None else task.backlog[1]
    if oldest is None:
        return ""
    return f"dozor_task_backlog_oldest_timestamp_seconds{{{label}}} {oldest.timestamp()!r}\n"
