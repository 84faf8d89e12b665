"""The write buffer: unwritten changes while the database is away or busy, merged, in order, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace

from dozor.storage.tables.command_results import CommandResultRow
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.notifications import NotificationRow
from dozor.storage.tables.pool_runs import PoolChanges
from dozor.storage.tables.runners import RunsInFlight
from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.silences import OverrideRow, SilenceRow
from dozor.storage.tables.tasks import CheckpointRow, TaskRow

MAX_WAITING_RUNS = 20_000
MAX_WAITING_NOTIFICATIONS = 20_000
MAX_WAITING_INCIDENTS = 20_000
MAX_WAITING_FILES = 200
"""Messages that wait together with their whole texts; those after them keep only what a message shows."""
FEW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What must be written together or not at all."""

    tasks: tuple[TaskRow, ...] = ()
    runs: tuple[RunRow, ...] = ()
    incidents: tuple[IncidentRow, ...] = ()
    notifications: tuple[NotificationRow, ...] = ()
    answers: tuple[CommandResultRow, ...] = ()
    silences: tuple[SilenceRow, ...] = ()
    overrides: tuple[OverrideRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What healthy runs have changed since the last one."""

    hot: Sequence[CheckpointRow] = ()
    full: Sequence[TaskRow] = ()
    runs: Sequence[RunRow] = ()
    more: bool = False
    """More has changed than fits into one."""
    in_flight: RunsInFlight | None = None
    """Which tasks are in a run; None: as recorded before."""
    pool: PoolChanges | None = None
    """Runs to be queued for workers, and ends of such runs that these states contain."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What did not fit into memory while the database was away."""

    runs: int = 0
    notifications: int = 0
    incidents: int = 0
    """Resolved ones that the history will not show."""

    def __bool__(self) -> bool:
        return bool(self.runs or self.notifications or self.incidents)

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(
            self.runs + other.runs,
            self.notifications + other.notifications,
            self.incidents + other.incidents,
        )


@dataclass(slots=True)
class WriteBuffer:
    """Not yet written; merged: of a task or an incident only the latest matters."""

    tasks: dict[str, TaskRow] = field(default_factory=dict)
    runs: deque[RunRow] = field(default_factory=deque)
    incidents: dict[int, IncidentRow] = field(default_factory=dict)
    notifications: deque[NotificationRow] = field(default_factory=deque)
    answers: list[CommandResultRow] = field(default_factory=list)
    silences: dict[int, SilenceRow] = field(default_factory=dict)
    overrides: dict[int, OverrideRow] = field(default_factory=dict)
    dropped: Dropped = Dropped()
    _loss: tuple[Dropped, Commit] = (Dropped(), Commit())
    """The alert about it: again whenever more has been lost, and at least once."""

    @property
    def owed(self) -> list[NotificationRow]:
        """Messages to be written, with the alert about an overflow."""
        return [*self.notifications, *self._loss[1].notifications]

    @property
    def urgent(self) -> bool:
        """A few changes with an urgent message, and nothing that needs more statements."""
        others = self.answers or self.silences or self.overrides or self._loss[1].notifications
        few = len(self.runs) <= FEW and len(self.tasks) <= FEW and len(self.incidents) <= FEW
        return 0 < len(self.notifications) <= FEW and few and not others

    def report_overflow(self, on_dropped: Callable[[Dropped], Commit]) -> None:
        if self.dropped != self._loss[0]:
            self._loss = (self.dropped, on_dropped(self.dropped))

    def add(self, commit: Commit) -> None:
        for task in commit.tasks:
            self.tasks[task.name] = task
        for incident in commit.incidents:
            self.incidents[incident.id] = incident
        self.runs.extend(commit.runs)
        full = len(self.notifications) >= MAX_WAITING_FILES
        self.notifications.extend(map(_without_file, commit.notifications) if full else commit.notifications)
        self.answers.extend(commit.answers)
        self.silences.update((silence.id, silence) for silence in commit.silences)
        self.overrides.update((override.id, override) for override in commit.overrides)
        self._bound()

    def merge(self, newer: WriteBuffer) -> None:
        """Take over what came after."""
        self.tasks.update(newer.tasks)
        self.incidents.update(newer.incidents)
        self.runs.extend(newer.runs)
        self.notifications.extend(newer.notifications)
        self.answers.extend(newer.answers)
        self.silences.update(newer.silences)
        self.overrides.update(newer.overrides)
        self.dropped += newer.dropped
        self._bound()

    def _bound(self) -> None:
        lost_runs = lost_notifications = lost_incidents = 0
        while len(self.runs) > MAX_WAITING_RUNS:
            self.runs.popleft()
            lost_runs += 1
        while len(self.notifications) > MAX_WAITING_NOTIFICATIONS:
            self.notifications.popleft()
            lost_notifications += 1
        if (over := len(self.incidents) - MAX_WAITING_INCIDENTS) > 0:
            over += MAX_WAITING_INCIDENTS // 10  # seldom, and many at once: the search is not free
            resolved = [number for number, row in self.incidents.items() if row.resolved_at is not None]
            for number in resolved[:over]:
                del self.incidents[number]
                lost_incidents += 1
        if lost_runs or lost_notifications or lost_incidents:
            self.dropped += Dropped(lost_runs, lost_notifications, lost_incidents)

    def __len__(self) -> int:
        asked = len(self.answers) + len(self.silences) + len(self.overrides)
        return len(self.tasks) + len(self.incidents) + len(self.runs) + len(self.notifications) + asked


def without(checkpoint: Checkpoint, tasks: Container[str]) -> Checkpoint:
    """Leave out the tasks of which something newer is to be written."""
    if not checkpoint.hot and not checkpoint.full:
        return checkpoint
    return replace(
        checkpoint,
        hot=[row for row in checkpoint.hot if row[0] not in tasks],
        full=[row for row in checkpoint.full if row.name not in tasks],
    )


def newer(older: Checkpoint, later: Checkpoint) -> Checkpoint:
    """Both: the newer state of a task winning; histories bounded as everything that waits."""
    in_flight = older.in_flight if later.in_flight is None else later.in_flight
    pool = later.pool if older.pool is None else older.pool + (later.pool or PoolChanges())
    if not older.hot and not older.full and not older.runs:
        if later.in_flight is in_flight and later.pool is pool:
            return later
        return replace(later, in_flight=in_flight, pool=pool)
    hot = {row[0]: row for row in older.hot}
    full = {row.name: row for row in older.full}
    for name in {row.name for row in later.full}:
        hot.pop(name, None)
    hot.update((row[0], row) for row in later.hot)
    full.update((row.name, row) for row in later.full)
    history = [*older.runs, *later.runs][-MAX_WAITING_RUNS:]
    return Checkpoint(list(hot.values()), list(full.values()), history, later.more, in_flight, pool)


def _without_file(row: NotificationRow) -> NotificationRow:
    if "whole" not in row.payload:
        return row
    return replace(row, payload={name: value for name, value in row.payload.items() if name != "whole"})
