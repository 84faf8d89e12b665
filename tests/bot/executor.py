"""Carries out commands on `dozor.tasks` alone: what a runner does, without checkers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from dozor.control.commands.commands import (
    COMMANDS_CHANNEL,
    AlertCommand,
    CommandName,
    CommandReason,
    PendingCommand,
    read_pending,
)
from dozor.control.commands.started_runs import StartedRun
from dozor.storage.postgres.pool import Connection, Pool
from dozor.supervision.core.state import State
from tests.waiting import stretched

FINISH_SQL = """
UPDATE dozor.commands SET state = CASE WHEN $2 IN ('done', 'already') THEN 'done' ELSE 'refused' END,
    finished_at = now(), result = $2, run_number = $3, run_outcome = $4, run_seconds = $5, run_error = $6
WHERE id = $1
"""
END_SILENCES_SQL = """
UPDATE dozor.silences s SET ended_at = now() WHERE s.ended_at IS NULL AND (
    s.target = $1 OR s.scope = $1
    OR s.target = (SELECT i.task FROM dozor.incidents i WHERE '#' || i.id = $1))
"""
INCIDENT_SQL = "SELECT state FROM dozor.incidents WHERE id = $1"
SET_SQL = """
UPDATE dozor.tasks SET state = $2, state_by = $3, consecutive_failures = 0, failing_since = NULL,
    running_since = CASE WHEN $2 = 'running' THEN now() END
WHERE name = $1
"""
ADD_SQL = """
INSERT INTO dozor.tasks (name, position, description, schedule, max_consecutive_failures, state,
    consecutive_failures, runs_total, failures_total, last_success_at, failing_since, last_failed_at,
    last_error_type, last_error_text, last_error_where, next_run_at, updated_at)
VALUES ($1, (SELECT count(*) FROM dozor.tasks), $2, 'every 60s', 5, $3, $4::int, 120, $4::int,
    now() - make_interval(secs => $5),
    CASE WHEN $4::int > 0 THEN now() - interval '12 min' END,
    CASE WHEN $4::int > 0 THEN now() - interval '10 min' END,
    CASE WHEN $4::int > 0 THEN 'ConnectionError' END, CASE WHEN $4::int > 0 THEN 'timed out' END,
    CASE WHEN $4::int > 0 THEN 'presales.py:41 in check_presales' END,
    CASE WHEN $3 IN ('waiting', 'backoff') THEN now() + interval '200 s' END, now())
"""
ALIVE_SQL = """
INSERT INTO dozor.runners (host, pid, version, started_at, seen_at)
VALUES ('test', 1, '0', now(), now() + interval '1 hour')
"""
_STATES = {
    CommandName.RESTART: State.RUNNING,
    CommandName.PAUSE: State.PAUSED,
    CommandName.RESUME: State.WAITING,
    CommandName.RUN_NOW: State.RUNNING,
}


class Executor:
    """`slow`: seconds before each command. `reason`: the answer to all, if set.

    `starts`: the run that restart and run-now start, as the database is told. `done`: what it did.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.slow = 0.0
        self.reason: CommandReason | None = None
        self.starts: StartedRun | None = None
        self.done: list[PendingCommand] = []

    async def alive(self) -> None:
        """A runner is at work, says the database."""
        await self._pool.execute(ALIVE_SQL)

    async def add(
        self, name: str, state: State, failures: int = 0, description: str = "", success_ago: float = 1200.0
    ) -> None:
        await self._pool.execute(ADD_SQL, name, description, state.value, failures, success_ago)

    async def add_all(self, names: Iterable[str]) -> None:
        for name in names:
            await self.add(name, State.WAITING)

    async def run(self) -> None:
        woken = asyncio.Event()

        def wake(*_: object) -> None:
            woken.set()

        # One connection for all its life: a pool resets what it gets back.
        async with self._pool.acquire() as connection:
            await connection.add_listener(COMMANDS_CHANNEL, wake)
            try:
                while True:
                    woken.clear()
                    for command in await read_pending(connection):
                        await asyncio.sleep(self.slow)
                        await self._carry_out(connection, command)
                        self.done.append(command)
                    await woken.wait()
            finally:
                await connection.remove_listener(COMMANDS_CHANNEL, wake)

    async def _carry_out(self, connection: Connection, command: PendingCommand) -> None:
        if isinstance(command.name, AlertCommand):
            await self._carry_out_alert(connection, command)
            return
        reason = self.reason or CommandReason.DONE
        async with connection.transaction():
            state = await connection.fetchval("SELECT state FROM dozor.tasks WHERE name = $1", command.task)
            if self.reason is None and state == State.PAUSED and command.name is CommandName.PAUSE:
                reason = CommandReason.ALREADY
            if reason is CommandReason.DONE and isinstance(command.name, CommandName):
                await connection.execute(SET_SQL, command.task, _STATES[command.name].value, command.actor)
            run = self.starts if reason is CommandReason.DONE else None
            starts = run is not None and command.name in (CommandName.RESTART, CommandName.RUN_NOW)
            told = (run.number, run.outcome, run.seconds, run.error) if run and starts else (None,) * 4
            await connection.execute(FINISH_SQL, command.id, reason.value, *told)

    async def _carry_out_alert(self, connection: Connection, command: PendingCommand) -> None:
        """Only taking on and the end of a silence are known here; everything else is done without effect."""
        reason = self.reason or CommandReason.DONE
        if command.name is AlertCommand.ACK and self.reason is None:
            state = await connection.fetchval(INCIDENT_SQL, int(command.task))
            reasons = {"open": CommandReason.DONE, "acknowledged": CommandReason.ALREADY}
            reason = reasons.get(state, CommandReason.UNKNOWN_INCIDENT)
        if command.name is AlertCommand.UNSILENCE and reason is CommandReason.DONE:
            await connection.execute(END_SILENCES_SQL, command.task)
        await connection.execute(FINISH_SQL, command.id, reason.value, *(None,) * 4)


async def until_true(pool: Pool | Connection, query: str, *, within: float = 10.0) -> None:
    """Returns once the query's first value is true."""
    async with asyncio.timeout(stretched(within)):
        while not await pool.fetchval(query):  # noqa: ASYNC110 -- the condition is the database's
            await asyncio.sleep(0.01)
