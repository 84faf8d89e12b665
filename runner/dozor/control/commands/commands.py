"""The command queue. Bot, command line and page insert a row; the runner executes it.

A command expires: one that nobody took in time is never carried out hours later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dozor.control.commands.actor import Actor
from dozor.storage.postgres.pool import Connection, Pool
from dozor.supervision.core.state import State

__all__ = [
    "AlertCommand",
    "CommandName",
    "CommandReason",
    "CommandResult",
    "PendingCommand",
    "claim",
    "submit",
    "wait",
]


class CommandName(StrEnum):
    """The commands about tasks."""

    RESTART = "restart"
    PAUSE = "pause"
    RESUME = "resume"
    RUN_NOW = "run-now"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`state` is the task's state after the command, None if there is none.

    `run_number`: the task's how-manieth run the command has started, None if it started none.
    """

    reason: CommandReason
    state: State | None = None
    run_number: int | None = None

    @property
    def ok(self) -> bool:
        return self.reason in (CommandReason.DONE, CommandReason.ALREADY)


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """A command as the runner takes it. `expired` by the database's clock.

    `claimed_by`: the runner (in a cluster the epoch) that has claimed it and may have begun to carry it out.
    """

    id: int
    name: CommandName | AlertCommand | RunnerCommand
    task: str
    actor: str
    expired: bool
    args: dict[str, Any] = field(default_factory=dict)
    claimed_by: int | None = None


COMMANDS_CHANNEL = "dozor_commands"
RESULTS_CHANNEL = "dozor_command_results"
FIRST_POLL = 0.01
"""Seconds from submitting a command to the second look for its result."""

SUBMIT_SQL = """
INSERT INTO dozor.commands (name, task, actor, place, expires_at, args)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5), $6)
RETURNING id
"""

NOTIFY_COMMANDS_SQL = "SELECT pg_notify('dozor_commands', '')"

RESULT_SQL = """
SELECT c.state, c.result, c.run_number, t.state AS task_state
FROM dozor.commands c LEFT JOIN dozor.tasks t ON t.name = c.task
WHERE c.id = $1
"""

# While a command is pending, its result holds the claim: "claimed:17".
PENDING_SQL = """
SELECT id, name, task, args, actor, expires_at < now() AS expired,
       CASE WHEN result LIKE 'claimed:%' THEN split_part(result, ':', 2)::int8 END AS claimed_by
FROM dozor.commands WHERE state = 'pending' ORDER BY id LIMIT 100
"""

# Repeated with the same runner it returns the same rows, so a claim whose commit had an unknown outcome is
# read back by claiming again.
CLAIM_SQL = """
UPDATE dozor.commands SET result = 'claimed:' || $2::int8
WHERE id = ANY($1::int8[]) AND state = 'pending' AND expires_at >= now()
  AND (result IS NULL OR result = 'claimed:' || $2::int8)
RETURNING id
"""

# One that is claimed cannot be withdrawn: its run may have begun.
WITHDRAW_SQL = """
UPDATE dozor.commands SET state = 'expired', finished_at = now(), result = $2
WHERE id = $1 AND state = 'pending' AND result IS NULL
RETURNING id
"""


async def submit(
    connection: Connection,
    name: CommandName | AlertCommand | RunnerCommand,
    task: str,
    actor: Actor,
    *,
    expires_in: float = 60.0,
    args: dict[str, Any] | None = None,
) -> int:
    """Write the command; its id. Call it inside a transaction of your own to bind it to other writes.

    `task` and `args` of alert commands: see `AlertCommand`.
    """
    command_id = await connection.fetchval(
        SUBMIT_SQL, name.value, task, str(actor), actor.place, expires_in, args or {}
    )
    await connection.execute(NOTIFY_COMMANDS_SQL)
    assert isinstance(command_id, int)
    return command_id


async def wait(pool: Pool, command_id: int, *, timeout: float = 10.0, poll: float = 0.05) -> CommandResult:
    """The result, or NO_RUNNER / TIMEOUT after `timeout` seconds.

    Without a runner the command is withdrawn, so that a later start does not carry it out. `poll`: the
    longest pause between two looks, in seconds; the first is shorter, since most commands take milliseconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    pause = min(FIRST_POLL, poll)
    while True:
        row = await pool.fetchrow(RESULT_SQL, command_id)
        if row is not None and row["state"] != "pending":
            task_state = State(row["task_state"]) if row["task_state"] else None
            return CommandResult(CommandReason(row["result"]), task_state, row["run_number"])
        if loop.time() >= deadline:
            break
        await asyncio.sleep(pause)
        pause = min(2 * pause, poll)
    withdrawn = await pool.fetchval(WITHDRAW_SQL, command_id, CommandReason.NO_RUNNER.value)
    return CommandResult(CommandReason.TIMEOUT if withdrawn is None else CommandReason.NO_RUNNER)


async def read_pending(connection: Connection) -> list[PendingCommand]:
    """Commands nobody has carried out yet, oldest first, at most 100."""
    rows = await connection.fetch(PENDING_SQL)
    return [
        PendingCommand(
            row["id"], name, row["task"], row["actor"], row["expired"], row["args"], row["claimed_by"]
        )
        for row in rows
        if (name := _name(row["name"])) is not None
    ]


async def claim(connection: Connection, command_ids: Sequence[int], runner_id: int) -> frozenset[int]:
    """Have no other runner carry these commands out; the ids of those that are `runner_id`'s from now on.

    The others were withdrawn, have expired or are claimed by another runner. In a cluster `connection` must
    be one of the leader, which passes the fence.
    """
    rows = await connection.fetch(CLAIM_SQL, list(command_ids), runner_id)
    return frozenset(row["id"] for row in rows)


def _name(text: str) -> CommandName | AlertCommand | RunnerCommand | None:
    """None: a command of a newer version, which nobody here can carry out."""
    for names in (CommandName, AlertCommand, RunnerCommand):
        if text in tuple(names):
            return names(text)
    return None


class AlertCommand(StrEnum):
    """The commands about alerts. The target is the command's `task`, the rest its `args`."""

    ACK = "ack"
    """Target: an incident's id. `seconds`: for how long, 8 h if not given."""
    UNACK = "unack"
    SILENCE = "silence"
    """Target: `all`, a task, `kind:overdue`, or `#17` (an incident). With `seconds` and `reason`.

    Of an incident without `seconds`: until it is over.
    """
    UNSILENCE = "unsilence"
    """Target: as it was silenced."""
    ONCALL = "oncall"
    """Target: a person, who takes over for `seconds` (none: until the end of the present shift)."""


class RunnerCommand(StrEnum):
    RELOAD = "reload"
    """Apply the configuration file as it is now."""


class CommandReason(StrEnum):
    """How it ended."""

    DONE = "done"
    ALREADY = "already"
    """Nothing to do: it is so already."""
    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_INCIDENT = "unknown_incident"
    """There is none with this id, or it is over."""
    UNKNOWN_PERSON = "unknown_person"
    INVALID = "invalid"
    """It makes no sense: no such kind, a silence without an end, no rotation."""
    DISABLED = "disabled"
    EXPIRED = "expired"
    NO_RUNNER = "no_runner"
    """No runner works on this database."""
    TIMEOUT = "timeout"
    """A runner is there and did not answer in time; the command may still be carried out."""
    UNCONFIRMED = "unconfirmed"
    """The runner that had claimed it ended before its answer was written: its run may have begun or not."""
