"""Recovers the state of tasks that the previous runner left, and reports the time without a runner."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from loguru import logger

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.transport import Place
from dozor.alerting.incidents import startup as start
from dozor.alerting.model.notification import AlertData
from dozor.config import Config
from dozor.config.places import exposed, state_dir, unwritable
from dozor.config.sections.tasks import TaskConfig
from dozor.control.commands.started_runs import read_interrupted, record_lost, record_unconfirmed
from dozor.language import msg
from dozor.storage.journal import Commit, Journal
from dozor.storage.postgres.pool import Connection, Pool
from dozor.storage.spool import NAME as SPOOL
from dozor.storage.spool import Spool, SpoolState
from dozor.storage.tables import notifications, pool_runs, runners, runs, tasks
from dozor.storage.tables.pool_runs import PoolRunRow
from dozor.storage.tables.runs import RunRow
from dozor.storage.tables.tasks import TaskRow, declaration
from dozor.supervision.core.crash_loop import CrashVerdict, RunnerEnd, judge
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import Failure, State, TaskState
from dozor.supervision.supervisor import Supervisor
from dozor.supervision.tasks.persistence import after_interrupted_start, from_row, lost_run
from dozor.supervision.tasks.task import SupervisedTask

NO_CRASHES = CrashVerdict()
ENDS_READ = 20
"""Ends of earlier runners that are looked at: all that may count, and enough to say how many in a row."""
STOP_SECONDS = 5.0
"""How long a start waits for the stop of a task that ended the runner to be committed."""


@dataclass(frozen=True, slots=True)
class RecoveredState:
    """What the last runner left, by task: rows, the states to begin with, and the runs that it lost."""

    rows: Mapping[str, TaskRow]
    states: Mapping[str, TaskState]
    lost: tuple[RunRow, ...]
    on_workers: tuple[PoolRunRow, ...] = ()
    """Runs that workers have, or are to have: they are not lost."""
    crashes: CrashVerdict = NO_CRASHES
    """What the ends of the runners before this one imply for its tasks."""


async def read_recovered(
    connection: Connection,
    enabled: Iterable[TaskConfig],
    specs: Sequence[TaskSpec],
    generation: int,
    now: float,
    *,
    cluster: bool = False,
    clean: bool = False,
) -> RecoveredState:
    """Declare the tasks that are configured, and read what is known of them.

    `now`: seconds since the epoch. `clean`: the runner before this one has written everything down.
    """
    await tasks.declare(connection, [declaration(task) for task in enabled])
    rows = await tasks.load(connection, [spec.name for spec in specs])
    windows = {
        spec.name: spec.policy.max_failures.within for spec in specs if spec.policy.max_failures is not None
    }
    failed: dict[str, tuple[float, ...]] = {}
    if windows:
        failed = await runs.read_failures(connection, list(windows), now - max(windows.values()))
    on_workers: list[PoolRunRow] = []
    if cluster:
        await pool_runs.adopt(connection, generation)
        on_workers = await pool_runs.read_open(connection)
    going_on = {row.task for row in on_workers}
    runs_lost = (lost_run(row, generation, now) for row in rows.values() if row.name not in going_on)
    lost = tuple(run for run in runs_lost if run is not None)
    policies = {spec.name: spec.policy for spec in specs if spec.name not in going_on}
    begin_with = rows | await _settle_interrupted(connection, rows, policies, lost, now, clean=clean)
    return RecoveredState(
        rows=rows,
        states={name: from_row(row, failed.get(name, ())) for name, row in begin_with.items()},
        lost=lost,
        on_workers=tuple(on_workers),
        crashes=judge([_end(row) for row in await runners.read_last_ends(connection, generation, ENDS_READ)]),
    )


async def _settle_interrupted(
    connection: Connection,
    rows: Mapping[str, TaskRow],
    policies: Mapping[str, Policy],
    lost: Sequence[RunRow],
    now: float,
    *,
    clean: bool,
) -> dict[str, TaskRow]:
    """Runs that commands have started and that the last runner lost are not started again.

    Of a run that waited for the end of another one nobody knows whether it has begun, and the command is
    unconfirmed; after a `clean` end it has not, and the task is due.

    The rows of their tasks, written together with that outcome of the commands: whatever interrupts this
    start, the next one finds both or neither.
    """
    numbers: dict[str, int | None] = {}
    interrupted = [
        one
        for one in await read_interrupted(connection, list(policies))
        if one.task in rows and one.task in policies
    ]
    waited = [one for one in interrupted if (one.run_number or 0) > rows[one.task].runs_total]
    due = frozenset[str]()
    if clean:
        interrupted = [one for one in interrupted if one not in waited]
        waited, due = [], frozenset(one.task for one in waited)
    for one in interrupted:
        if one.task not in due:
            numbers[one.task] = max(numbers.get(one.task) or 0, one.run_number or 0) or None
    if not interrupted:
        return {}
    settled = {
        name: after_interrupted_start(rows[name], policies[name], number, now)
        for name, number in numbers.items()
    }
    async with connection.transaction():
        if settled:
            await tasks.write(connection, settled.values())
            await runs.add(connection, [run for run in lost if run.task in settled])
        await record_unconfirmed(connection, [one.command_id for one in waited])
        await record_lost(connection, [one.command_id for one in interrupted])
    return settled


def outage_file(config: Config) -> Path:
    """Where messages of an outage are kept. Says what is wrong with the places of files on the way."""
    for problem in exposed(config):
        logger.warning("{}", problem)
    folder = state_dir(config)
    reason = unwritable(folder)
    if reason is not None:
        logger.error(msg("log-state-unwritable", path=folder, reason=reason))
    # Where it was before there was a state directory.
    former = config.path.parent / config.database.data_dir.parent / SPOOL
    if reason is None and former != folder / SPOOL and former.exists() and not (folder / SPOOL).exists():
        with suppress(OSError):
            shutil.move(former, folder / SPOOL)
    return folder / SPOOL


def _end(row: runners.EndRow) -> RunnerEnd:
    in_flight = None if row.in_flight is None else frozenset(row.in_flight)
    return RunnerEnd(row.lived, row.clean, in_flight, tuple(row.suspects or ()))


async def act_on_crashes(supervisor: Supervisor, journal: Journal, verdict: CrashVerdict) -> None:
    """Stop the task that ended the runner, durably, and log which ones are suspects; before supervision."""
    culprit = None if verdict.culprit is None else supervisor.find(verdict.culprit)
    if culprit is not None and culprit.state.state not in (State.PAUSED, State.STOPPED):
        text = msg("log-ended-the-runner", ends=verdict.ends)
        supervisor.stop_task(culprit, Failure("RunnerEnded", text, where="", traceback="", fatal=True))
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await journal.flush()
    suspects = [name for name in verdict.suspects if supervisor.find(name) is not None]
    if suspects:
        names, seconds = ", ".join(suspects), f"{verdict.hold:.0f}"
        logger.warning(msg("log-crash-suspects", names=names, ends=verdict.ends, seconds=seconds))


async def replay_spool(journal: Journal, spool: Spool, direct_sends: DirectSends) -> tuple[str, ...]:
    """Write what the runner before this one could not; to be called before anything is read.

    What it had sent all the same is added to `direct_sends`. If another one led since, nothing is written,
    the file is set aside, and the messages that had been sent are returned, each in a few words.
    """
    kept = spool.read()
    if kept is None:
        return ()
    me = journal.registration.runner_id
    if not await runners.follows(journal.connection, kept.runner_id, me):
        spool.quarantine(msg("log-spool-of-another", runner_id=kept.runner_id))
        sent = kept.delivered.keys() | kept.elsewhere | kept.unknown
        return tuple(f"{row.task or 'Dozor'}: {row.kind}" for row in kept.notifications if row.key in sent)
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
    return ()


async def keep_unwritten(journal: Journal, spool: Spool, direct_sends: DirectSends) -> None:
    """Keep in the file what a leader that lost its lease could not write, for whoever leads next here."""
    unwritten = journal.unwritten
    if not (unwritten.tasks or unwritten.incidents or unwritten.notifications):
        return
    await spool.keep(
        SpoolState(
            runner_id=journal.registration.runner_id,
            tasks=unwritten.tasks,
            incidents=unwritten.incidents,
            notifications=unwritten.notifications,
            delivered=dict(direct_sends.delivered),
            elsewhere=frozenset(direct_sends.via_fallback),
            unknown=frozenset(direct_sends.unknown),
            place=None if direct_sends.place is None else astuple(direct_sends.place),
        )
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
        suspects=[name for name in left.crashes.suspects if name in {one.spec.name for one in supervised}],
        hold=left.crashes.hold,
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
