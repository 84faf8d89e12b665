"""Executes queued commands: in order, each at most once, with its result in the transaction of its change.

A command that starts a run in this process is claimed first, in a committed transaction of its own (in a
cluster one that passes the fence), and carried out after that. So whenever the process or the database is
lost, no other runner starts that run again: it answers `unconfirmed`. A claim whose commit had an unknown
outcome is claimed again, which reads it back. Runs of a pool need no claim: they are queued in the
transaction of the command's result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

from loguru import logger

from dozor.clock import Clock
from dozor.control.commands.alert_handler import AlertCommandHandler
from dozor.control.commands.commands import (
    AlertCommand,
    CommandName,
    CommandReason,
    PendingCommand,
    RunnerCommand,
    claim,
    read_pending,
)
from dozor.control.commands.run_tracker import RunTracker
from dozor.language import msg
from dozor.storage.journal import Commit, Journal
from dozor.storage.postgres.fence import superseded
from dozor.storage.postgres.pool import Pool, unavailable
from dozor.storage.tables.command_results import CommandResultRow
from dozor.supervision.core.events import Pause, PersonEvent, Restart, Resume, RunNow
from dozor.supervision.supervisor import Supervisor

POLL_EVERY = 1.0
"""Seconds between looks at the table when nobody wakes the executor."""
_STARTS_A_RUN = frozenset((CommandName.RESTART, CommandName.RUN_NOW, CommandName.RESUME))


Reload = Callable[[str], Awaitable[CommandReason]]
"""Applies the configuration file, for whom."""


async def _cannot_reload(by: str) -> CommandReason:
    return CommandReason.INVALID


def _may_always() -> bool:
    return True


class CommandExecutor:
    """`wake` is called by LISTEN; the table is the truth.

    `may_act`: whether this process may start runs at this moment. While it may not, commands stay pending.
    """

    def __init__(
        self,
        pool: Pool,
        journal: Journal,
        supervisor: Supervisor,
        clock: Clock,
        disabled: frozenset[str],
        alerts: AlertCommandHandler | None = None,
        reload: Reload = _cannot_reload,
        may_act: Callable[[], bool] | None = None,
    ) -> None:
        self._alerts = alerts
        self._pool = pool
        self._journal = journal
        self._supervisor = supervisor
        self._clock = clock
        self._may_act = may_act or _may_always
        self._wake = asyncio.Event()
        self._carried_out: set[int] = set()
        self.disabled = disabled
        """Tasks that are configured and not enabled."""
        self._apply_configuration = reload
        self._reloading: set[asyncio.Task[None]] = set()
        self._followed = RunTracker(pool)
        self.last_progress_at = clock.now()
        """When the table was last read; seconds since the epoch."""

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Carry out commands for ever; while the database is away there are none."""
        while True:
            self._wake.clear()
            commands = await self._take()
            self.last_progress_at = self._clock.now()
            for command in commands:
                if self._supervisor.closing or not self._may_act():
                    break
                self._carried_out.add(command.id)
                self._carry_out(command)
            try:
                async with asyncio.timeout(POLL_EVERY):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _take(self) -> list[PendingCommand]:
        """What may be carried out now, oldest first; claimed where that is needed.

        Nothing while the database is away: what was claimed then is claimed again the next time.
        """
        if self._supervisor.closing or not self._may_act():
            return []
        try:
            async with self._pool.acquire(timeout=5.0) as connection:
                pending = await read_pending(connection)
                self._carried_out.intersection_update(command.id for command in pending)
                fresh = [command for command in pending if command.id not in self._carried_out]
                wanted = [command.id for command in fresh if self._needs_claim(command)]
                claimed = await claim(connection, wanted, self._runner_id) if wanted else frozenset[int]()
        except Exception as error:
            if not unavailable(error) and not superseded(error):
                raise
            return []
        return [command for command in fresh if command.id in claimed or command.id not in wanted]

    @property
    def _runner_id(self) -> int:
        return self._journal.registration.runner_id

    def _claimed_by_another(self, command: PendingCommand) -> bool:
        return command.claimed_by is not None and command.claimed_by != self._runner_id

    def _needs_claim(self, command: PendingCommand) -> bool:
        """Whether it may start a run in this process."""
        if command.expired or command.name not in _STARTS_A_RUN or self._claimed_by_another(command):
            return False
        task = self._supervisor.find(command.task)
        return task is not None and task.spec.pool is None

    def _carry_out(self, command: PendingCommand) -> None:
        """The change and its answer are appended in one turn of the loop, so they are one transaction."""
        if isinstance(command.name, RunnerCommand) and not command.expired:
            reloading = asyncio.get_running_loop().create_task(self._reload(command))
            self._reloading.add(reloading)
            reloading.add_done_callback(self._reloading.discard)
            return
        reason = self._decide(command)
        self._answer(command, reason)

    async def _reload(self, command: PendingCommand) -> None:
        self._answer(command, await self._apply_configuration(command.actor))

    def _answer(self, command: PendingCommand, reason: CommandReason) -> None:
        number = self._follow(command) if reason is CommandReason.DONE else None
        state = {CommandReason.EXPIRED: "expired", CommandReason.DONE: "done", CommandReason.ALREADY: "done"}
        self._journal.append(
            Commit(
                answers=(CommandResultRow(command.id, state.get(reason, "refused"), reason.value, number),)
            )
        )
        logger.info(
            msg(
                "log-command",
                command=command.name.value,
                task=command.task,
                actor=command.actor,
                result=reason.value,
            )
        )

    def _follow(self, command: PendingCommand) -> int | None:
        """Have the end of the run written down that the command has started; the run's number."""
        task = self._supervisor.find(command.task)
        if task is None or command.name not in (CommandName.RESTART, CommandName.RUN_NOW):
            return None
        return self._followed.follow(command.id, task)

    def _decide(self, command: PendingCommand) -> CommandReason:
        if self._claimed_by_another(command):
            return CommandReason.UNCONFIRMED
        if command.expired:
            return CommandReason.EXPIRED
        if isinstance(command.name, RunnerCommand):
            return CommandReason.INVALID
        if isinstance(command.name, AlertCommand):
            return self._about_alerts(command, command.name)
        if command.task in self.disabled:
            return CommandReason.DISABLED
        if self._supervisor.find(command.task) is None:
            return CommandReason.UNKNOWN_TASK
        changed = self._supervisor.command(command.task, _event(command.name, command.actor))
        return CommandReason.DONE if changed else CommandReason.ALREADY

    def _about_alerts(self, command: PendingCommand, name: AlertCommand) -> CommandReason:
        if self._alerts is None:
            return CommandReason.INVALID
        known = self._supervisor.find(command.task) is not None
        return self._alerts.execute(name, command.task, command.args, command.actor, known)


def _event(name: CommandName, by: str) -> PersonEvent:
    match name:
        case CommandName.RESTART:
            return Restart(by)
        case CommandName.PAUSE:
            return Pause(by)
        case CommandName.RESUME:
            return Resume(by)
        case CommandName.RUN_NOW:
            return RunNow(by)
        case _:
            assert_never(name)
