"""What a new start finds: tasks as the last runner left them, and what is said of the time in between."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loguru import logger

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.transport import Place
from dozor.alerting.incidents import startup as start
from dozor.alerting.model.notification import AlertData
from dozor.config.tasks import TaskConfig
from dozor.language import msg
from dozor.storage.journal import Commit, Journal
from dozor.storage.postgres.pool import Connection, Pool
from dozor.storage.spool import Spool
from dozor.storage.tables import notifications, runners, runs, tasks
from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.tasks import TaskRow, declaration
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import State, TaskState
from dozor.supervision.tasks.persistence import from_row, lost_run
from dozor.supervision.tasks.task import SupervisedTask


@dataclass(frozen=True, slots=True)
class RecoveredState:
    """What the last runner left, by task: rows, the states to begin with, and the runs that it lost."""

    rows: Mapping[str, TaskRow]
    states: Mapping[str, TaskState]
    lost: tuple[RunRow, ...]


async def read_recovered(
    connection: Connection,
    enabled: Iterable[TaskConfig],
    specs: Sequence[TaskSpec],
    generation: int,
    now: float,
) -> RecoveredState:
    """Declare the tasks that are configured, and read what is known of them.

    `now`: seconds since the epoch.
    """
    await tasks.declare(connection, [declaration(task) for task in enabled])
    rows = await tasks.load(connection, [spec.name for spec in specs])
    windows = {
        spec.name: spec.policy.max_failures.within for spec in specs if spec.policy.max_failures is not None
    }
    failed: dict[str, tuple[float, ...]] = {}
    if windows:
        failed = await runs.read_failures(connection, list(windows), now - max(windows.values()))
    lost = (lost_run(row, generation, now) for row in rows.values())
    return RecoveredState(
        rows=rows,
        states={name: from_row(row, failed.get(name, ())) for name, row in rows.items()},
        lost=tuple(run for run in lost if run is not None),
    )


async def replay_spool(journal: Journal, spool: Spool, direct_sends: DirectSends) -> None:
    """Write what the runner before this one could not; to be called before anything is read.

    What it had sent all the same is added to `direct_sends`.
    """
    kept = spool.read()
    if kept is None:
        return
    me = journal.registration.runner_id
    if not await runners.follows(journal.connection, kept.runner_id, me):
        spool.quarantine(msg("log-spool-of-another", runner_id=kept.runner_id))
        return
    place = None if kept.place is None else Place(*kept.place)
    direct_sends.take_up(DirectSends(dict(kept.delivered), set(kept.elsewhere), set(kept.unknown), place))
    journal.append(Commit(tasks=kept.tasks, incidents=kept.incidents, notifications=kept.notifications))
    await journal.write()
    logger.warning(
        msg(
            "log-spool-replayed",
            runner=kept.runner_id,
            tasks=len(kept.tasks),
            incidents=len(kept.incidents),
            messages=len(kept.notifications),
        ),
    )


async def startup_report(
    journal: Journal, pool: Pool, supervised: Sequence[SupervisedTask], left: RecoveredState, now: float
) -> AlertData:
    """For the people on call; before anything of this start is written."""
    owed = await notifications.pending_by_destination(pool)
    return start.startup_report(
        journal.registration,
        supervised,
        left.rows,
        lost=(run.task for run in left.lost),
        pending=sum(count for _, count in owed.values()),
        now=now,
    )


def say_in_the_log(found: AlertData, supervised: Iterable[SupervisedTask]) -> None:
    """An unclean end, and what waits for a person."""
    if found.unclean_end:
        logger.warning(msg("log-cut-off", seconds=f"{found.off_for or 0.0:.0f}"))
    for task in supervised:
        match task.state.state:
            case State.STOPPED:
                logger.critical(
                    msg("log-still-stopped", name=task.spec.name, failures=task.state.failures),
                )
            case State.PAUSED:
                logger.warning(
                    msg("log-still-paused", name=task.spec.name, by=task.state.failure_record.last_actor),
                )
            case _:
                pass
