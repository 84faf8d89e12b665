"""What may not happen in a cluster, found in what its replicas wrote. Pure.

Times are CLOCK_MONOTONIC in seconds, of one machine.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from statistics import median

BY_COMMAND = "by_command"
"""Names of the tasks that run only by command, after their first start, begin so."""
DONE = "done"
"""Result of a command that was carried out."""
UNCONFIRMED = "unconfirmed"
"""Result of a command whose runner was lost before its result was written."""
LOST = "lost"
"""Outcome of a run by command whose runner was lost: whether it ran is not known, and people are told so."""
MOST_CONFLICTS = 2
"""Answers 409 of the Bot API that one take-over may cost."""


@dataclass(frozen=True, slots=True)
class Run:
    """`ended` None: it never wrote its end, and its process lived to the end of the campaign.

    `due`: seconds since the epoch. `cut`: its end is that of its process.
    """

    task: str
    id: str
    pid: int
    began: float
    ended: float | None
    due: float
    epoch: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that changed a table which only the leader writes.

    `epoch`: of the fence that its transaction passed, None: it passed none. `lease`: who led at that moment.
    """

    table: str
    epoch: int | None
    lease: int


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which a task failed again and again. `told`, `over`: messages with its word, of each kind.

    `flapping`: its incident counted as flapping, of which one message tells for all times of failures.
    """

    word: str
    told: int
    over: int
    flapping: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """`state`, `result`, `outcome` (of its run): as they stand in the end."""

    id: int
    state: str
    result: str | None
    task: str = ""
    outcome: str | None = None

    @property
    def runs(self) -> range:
        """How many runs it may have started."""
        if self.result == DONE:
            return range(2) if self.outcome == LOST else range(1, 2)
        return range(2) if self.result == UNCONFIRMED else range(1)


class Passing(Enum):
    """How leadership passed on."""

    LOSS = "take-over"
    HAND_OVER = "hand-over"
    """The former leader was asked to stop (SIGTERM) and resigned."""
    UNRESIGNED = "SIGTERM without a database"
    """The former leader was asked to stop and could not resign: the next one waits for its lease to end."""
    DATABASE = "after a fault of the database"
    """Nobody could lead for a while. Counted from when the database answered again."""
    WORKER = "runs of a lost worker begun elsewhere"
    """Leadership stayed where it was."""


HAND_OVER_SECONDS = 1.0
"""From SIGTERM to the first run of the next leader, at most."""
BEYOND_LEASE_SECONDS = 1.0
"""From any other fault to the first run of the next leader, at most, beyond the lease."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """Leadership passed on. `seconds`: from the fault to the first run of the next leader; None: never.

    Of a worker: to the first run of each task elsewhere.
    """

    fault: str
    seconds: float | None
    conflicts: int
    passing: Passing


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything of one campaign."""

    runs: Sequence[Run]
    writes: Sequence[Write]
    spells: Sequence[Spell]
    commands: Sequence[Command]
    takeovers: Sequence[Takeover]
    lease: float = 3.0
    """Seconds."""
    slack: float = 0.0
    """Seconds by which take-overs may be later on a machine that others use as well."""


def read_runs(lines: Iterable[str], deaths: Mapping[int, float]) -> list[Run]:
    """The runs of the file that checkers append to.

    `deaths`: when each process that has died was found dead.
    """
    begun: dict[tuple[int, str, str], Run] = {}
    for line in lines:
        kind, task, number, pid, at, due, epoch = line.split()
        key = (int(pid), task, number)
        if kind == "begin":
            begun[key] = Run(
                task=task,
                id=number,
                pid=int(pid),
                began=int(at) / 1e9,
                ended=None,
                due=float(due),
                epoch=int(epoch),
            )
        elif kind == "end":
            run = begun[key]
            begun[key] = _ended(run, int(at) / 1e9, cut=False)
    return [
        _ended(run, deaths[run.pid], cut=True) if run.ended is None and run.pid in deaths else run
        for run in begun.values()
    ]


def _ended(run: Run, at: float, *, cut: bool) -> Run:
    return Run(run.task, run.id, run.pid, run.began, at, run.due, run.epoch, cut)


def overlaps(runs: Iterable[Run]) -> list[str]:
    """Two runs of one task at the same time."""
    found = []
    for task, those in _by_task(runs).items():
        latest: Run | None = None
        for run in sorted(those, key=lambda run: run.began):
            if latest is not None and _both(latest, run):
                over = "" if latest.ended is None else f" by {1000 * (latest.ended - run.began):.0f} ms"
                found.append(f"{task}: run {run.id} overlaps run {latest.id}{over}")
            if latest is None or latest.ended is None or (run.ended or run.began) > latest.ended:
                latest = run
    return found


def _both(earlier: Run, later: Run) -> bool:
    """Were both in progress at one moment?"""
    if earlier.ended is None:
        return earlier.pid != later.pid
    return later.began < earlier.ended


def due_twice(runs: Iterable[Run]) -> list[str]:
    """A due time of a task for which two runs began."""
    counted = Counter((run.task, run.due) for run in runs)
    return [f"{task}: due {due:.3f} ran {n} times" for (task, due), n in counted.items() if n > 1]


def begun_twice(runs: Iterable[Run]) -> list[str]:
    """A run that began in two processes: two workers had claimed it."""
    pids: dict[str, set[int]] = defaultdict(set)
    for run in runs:
        pids[f"{run.task}: run {run.id}"].add(run.pid)
    return [f"{name} began in {len(found)} processes" for name, found in pids.items() if len(found) > 1]


def written_after_the_end(writes: Iterable[Write]) -> list[str]:
    """A leader's statement that passed no fence, or whose epoch was over."""
    found = Counter(
        f"{write.table}: written by epoch {write.epoch} while {write.lease} led"
        for write in writes
        if write.epoch != write.lease
    )
    return [f"{text} ({n} times)" for text, n in found.items()]


def alerts_lost(spells: Iterable[Spell]) -> list[str]:
    """A time of failures of which no message tells, or whose end none tells.

    What counts as flapping is told once, with the first word of it; its incident must end all the same.
    """
    return [
        f"{spell.word}: {'its end was never told' if spell.told or spell.flapping else 'never told'}"
        for spell in spells
        if (spell.told == 0 and not spell.flapping) or spell.over == 0
    ]


def commands_wrong(commands: Sequence[Command], runs: Iterable[Run]) -> list[str]:
    """A command that was not answered; and tasks with other runs than their commands have started.

    A command starts one run; one whose answer says that this is not known, at most one. Their
    schedule starts none.
    """
    waiting = [
        f"command {one.id}: {one.state}" for one in commands if one.result is None or one.state == "pending"
    ]
    begun = Counter(
        task for task, _ in {(run.task, run.id) for run in runs if run.task.startswith(BY_COMMAND)}
    )
    allowed: dict[str, list[range]] = defaultdict(list)
    for one in commands:
        allowed[one.task].append(one.runs)
    wrong = []
    for task in sorted(begun.keys() | set(filter(_by_command, allowed))):
        few = sum(one[0] for one in allowed[task])
        many = sum(one[-1] for one in allowed[task])
        found = begun[task]
        if not few <= found <= many:
            wrong.append(f"{task}: {found} runs by {len(allowed[task])} commands, {few} to {many} allowed")
    return [*waiting, *wrong]


def _by_command(task: str) -> bool:
    return task.startswith(BY_COMMAND)


def unconfirmed(commands: Iterable[Command]) -> int:
    """Of how many commands it is not known whether their run began."""
    return sum(len(one.runs) > 1 for one in commands)


def conflicts(takeovers: Iterable[Takeover]) -> list[str]:
    """A take-over in which Telegram answered 409 too often."""
    return [
        f"{one.fault}: {one.conflicts} answers 409" for one in takeovers if one.conflicts > MOST_CONFLICTS
    ]


def late(takeovers: Iterable[Takeover], lease: float, slack: float) -> list[str]:
    """A take-over that took longer than it may. `lease`, `slack`: seconds."""
    limits = {
        Passing.LOSS: lease + BEYOND_LEASE_SECONDS,
        Passing.HAND_OVER: HAND_OVER_SECONDS,
        Passing.UNRESIGNED: lease + BEYOND_LEASE_SECONDS,
        Passing.DATABASE: lease + BEYOND_LEASE_SECONDS,
    }
    return [
        f"{one.fault}: {one.seconds:.2f} s to the next run, {limits[one.passing]:g} s allowed"
        for one in takeovers
        if one.passing in limits and (one.seconds or 0.0) > limits[one.passing] + slack
    ]


def never_taken_over(takeovers: Iterable[Takeover]) -> list[str]:
    """A fault after which nothing ran any more."""
    return [f"{one.fault}: no run afterwards" for one in takeovers if one.seconds is None]


def problems(evidence: Evidence) -> list[str]:
    """All that is wrong; empty: nothing is."""
    return [
        *overlaps(evidence.runs),
        *due_twice(evidence.runs),
        *begun_twice(evidence.runs),
        *written_after_the_end(evidence.writes),
        *alerts_lost(evidence.spells),
        *commands_wrong(evidence.commands, evidence.runs),
        *conflicts(evidence.takeovers),
        *never_taken_over(evidence.takeovers),
        *late(evidence.takeovers, evidence.lease, evidence.slack),
    ]


def figures(takeovers: Sequence[Takeover]) -> str:
    """Worst and median in seconds, and how many, of each kind of passing."""
    parts = []
    for passing in Passing:
        took = [one.seconds for one in takeovers if one.passing is passing and one.seconds is not None]
        if took:
            parts.append(
                f"{passing.value} worst {max(took):.2f} s, median {median(took):.2f} s ({len(took)})"
            )
    return "; ".join(parts) or "no take-over"


def longest_pause(runs: Iterable[Run]) -> float:
    """Seconds in which nothing began, the longest."""
    begins = sorted(run.began for run in runs)
    return max((later - earlier for earlier, later in pairwise(begins)), default=0.0)


def _by_task(runs: Iterable[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.task].append(run)
    return found
