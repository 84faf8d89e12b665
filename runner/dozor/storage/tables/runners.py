"""Table `dozor.runners`: the runners of this database, and the lock that allows one at a time."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass

from loguru import logger

from dozor.errors import RunnerBusyError
from dozor.language import msg
from dozor.storage.postgres.pool import Connection

LOCK_KEY = 0x646F7A6F72  # "dozor"
START_WINDOW = 600.0
"""Seconds within which starts are counted: a runner that starts again and again."""

TRY_LOCK_SQL = "SELECT pg_try_advisory_lock($1)"

HOLDER_SQL = """
SELECT a.pid AS backend, r.id, r.host, r.pid, r.started_at, r.version
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN dozor.runners r ON a.application_name = 'dozor runner ' || r.id
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::int8 << 32) + l.objid::int8 = $1 AND a.application_name <> $2
"""

END_STALE_SQL = """
UPDATE dozor.runners SET ended_at = seen_at, clean = false WHERE ended_at IS NULL
"""

REGISTER_SQL = """
INSERT INTO dozor.runners (host, pid, version, started_at, seen_at) VALUES ($1, $2, $3, now(), now())
RETURNING id
"""

# Of the newest runner that supervised (it wrote something); were all since then ended by themselves?
LAST_END_SQL = """
WITH last AS (
    SELECT id, ended_at FROM dozor.runners ORDER BY seen_at > started_at DESC, id DESC LIMIT 1)
SELECT extract(epoch FROM last.ended_at)::float8 AS at,
       extract(epoch FROM now() - last.ended_at)::float8 AS ago,
       (SELECT bool_and(coalesce(r.clean, false)) FROM dozor.runners r WHERE r.id >= last.id) AS clean
FROM last
"""

# The same two for a leader, whose row is there before these are asked.
END_STALE_BEFORE_SQL = END_STALE_SQL + "AND id < $1"
LAST_END_BEFORE_SQL = LAST_END_SQL.replace("runners ORDER", "runners WHERE id < $1 ORDER").replace(
    "r.id >= last.id)", "r.id >= last.id AND r.id < $1)"
)

STARTS_SQL = "SELECT count(*) FROM dozor.runners WHERE started_at > now() - make_interval(secs => $1)"

# The session's few statements find their rows by key: a plan for any arguments is as good as one for each.
ADOPT_SESSION_SQL = """
SELECT set_config('application_name', 'dozor runner ' || $1::text, false),
       set_config('plan_cache_mode', 'force_generic_plan', false)
"""

SEEN_SQL = "UPDATE dozor.runners SET seen_at = now() WHERE id = $1"

# No run has ended a runner that writes this itself, even if it could not go on.
END_SQL = """
UPDATE dozor.runners SET ended_at = now(), seen_at = now(), clean = $2, in_flight = NULL, suspects = NULL
WHERE id = $1
"""

IN_FLIGHT_SQL = "UPDATE dozor.runners SET in_flight = $2::text[], suspects = $3::text[] WHERE id = $1"

LAST_ENDS_SQL = """
SELECT extract(epoch FROM coalesce(ended_at, seen_at) - started_at)::float8 AS lived,
       coalesce(clean, false) AS clean, in_flight, suspects
FROM dozor.runners WHERE id < $1 ORDER BY id DESC LIMIT $2
"""

# No runner that could write has supervised between the two.
FOLLOWS_SQL = """
SELECT EXISTS (SELECT 1 FROM dozor.runners WHERE id = $1) AND NOT EXISTS (
    SELECT 1 FROM dozor.runners WHERE id > $1 AND id < $2 AND seen_at > started_at)
"""

SUCCESSOR_SQL = "SELECT max(id) FROM dozor.runners WHERE id > $1"

# The last one that supervised stays, however old: the next start reports it.
PRUNE_RUNNERS_SQL = """
DELETE FROM dozor.runners WHERE id IN (
    SELECT id FROM dozor.runners
    WHERE ended_at < now() - make_interval(days => $1)
      AND id < (SELECT coalesce(max(id), 0) FROM dozor.runners WHERE seen_at > started_at)
    LIMIT 10000)
"""

TERMINATE_SQL = "SELECT pg_terminate_backend($1)"


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds the lock. `runner_id` None: it never registered. `backend`: its server process.

    `version`: of its program, None if it never registered.
    """

    backend: int
    runner_id: int | None
    host: str | None
    pid: int | None
    version: str | None = None

    def __str__(self) -> str:
        if self.runner_id is None:
            return msg("log-holder-session", backend=self.backend)
        return msg("log-holder-runner", runner=self.runner_id, pid=self.pid, host=self.host)


@dataclass(frozen=True, slots=True)
class LastEnd:
    """How the watch before this one ended.

    `at`: seconds since the epoch; of one that was cut off, its last sign of life. `ago`: seconds from then to
    the registration of this one, by the database's clock.
    """

    at: float
    ago: float
    clean: bool


@dataclass(frozen=True, slots=True)
class Registration:
    """`before`: None if this is the first runner ever. `starts`: within `LATELY`, this one too."""

    runner_id: int
    before: LastEnd | None = None
    starts: int = 1


@dataclass(frozen=True, slots=True)
class RunsInFlight:
    """What is recorded of a runner whose predecessor ended uncleanly: tasks in a run, and suspects."""

    tasks: tuple[str, ...]
    suspects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndRow:
    """How an earlier runner ended. `lived` in seconds; `in_flight` None: not recorded."""

    lived: float
    clean: bool
    in_flight: list[str] | None
    suspects: list[str] | None


async def try_lock(connection: Connection) -> bool:
    """Take the lock for as long as this session lives; False if another session has it."""
    return bool(await connection.fetchval(TRY_LOCK_SQL, LOCK_KEY))


async def wait_for_lock(connection: Connection, said: list[str], *, wait: bool) -> None:
    """Take the lock of the session; with `wait` stay in line until its holder has ended.

    `said`: what was logged already, by this call and earlier ones. Raises RunnerBusyError without `wait`.
    """
    while not await try_lock(connection):
        holder = await read_holder(connection)
        if holder is None:
            continue  # it has just gone
        if not wait:
            raise RunnerBusyError(msg("error-runner-busy", holder=holder))
        text = msg("log-waiting-for-runner", holder=holder)
        if text not in said:
            logger.info("{}", text)
            said.append(text)
        await asyncio.sleep(0.5)


async def read_holder(connection: Connection, apart_from: str = "") -> LockHolder | None:
    """Who has the lock, None if nobody, or only sessions with the application name `apart_from`."""
    row = await connection.fetchrow(HOLDER_SQL, LOCK_KEY, apart_from)
    return (
        None
        if row is None
        else LockHolder(row["backend"], row["id"], row["host"], row["pid"], row["version"])
    )


async def register(connection: Connection, version: str) -> Registration:
    """A new generation. Call it with the lock held: whoever had not ended before, ended uncleanly."""
    async with connection.transaction():
        await connection.execute(END_STALE_SQL)
        last = await connection.fetchrow(LAST_END_SQL)
        runner_id: int = await connection.fetchval(REGISTER_SQL, socket.gethostname(), os.getpid(), version)
        starts: int = await connection.fetchval(STARTS_SQL, START_WINDOW)
    await adopt_session(connection, runner_id)
    before = None if last is None else LastEnd(last["at"], max(0.0, last["ago"]), last["clean"])
    return Registration(runner_id, before, starts)


async def register_leader(connection: Connection, epoch: int) -> Registration:
    """As `register`, of a leader whose row is there already: `epoch` is its id. On a fenced connection."""
    async with connection.transaction():
        await connection.execute(END_STALE_BEFORE_SQL, epoch)
        last = await connection.fetchrow(LAST_END_BEFORE_SQL, epoch)
        starts: int = await connection.fetchval(STARTS_SQL, START_WINDOW)
    before = None if last is None else LastEnd(last["at"], max(0.0, last["ago"]), last["clean"])
    return Registration(epoch, before, starts)


async def adopt_session(connection: Connection, runner_id: int) -> None:
    """So that others can find the session that holds the lock, and that its statements are planned once."""
    await connection.fetchval(ADOPT_SESSION_SQL, str(runner_id))


async def follows(connection: Connection, before: int, runner_id: int) -> bool:
    """Whether the last written data of runner `before` is the data of `runner_id`."""
    return bool(await connection.fetchval(FOLLOWS_SQL, before, runner_id))


async def read_successor(connection: Connection, runner_id: int) -> int | None:
    """The newest runner registered after this one, None if there is none."""
    found: int | None = await connection.fetchval(SUCCESSOR_SQL, runner_id)
    return found


async def end(connection: Connection, runner_id: int, *, clean: bool = True) -> None:
    """This runner has ended; `clean`: because it was requested, and not because it could not go on."""
    await connection.execute(END_SQL, runner_id, clean)


async def write_in_flight(connection: Connection, runner_id: int, runs: RunsInFlight) -> None:
    """Record which tasks are in a run now."""
    await connection.execute(IN_FLIGHT_SQL, runner_id, list(runs.tasks), list(runs.suspects))


async def read_last_ends(connection: Connection, runner_id: int, limit: int) -> list[EndRow]:
    """How the runners before this one ended, the newest first."""
    return [EndRow(**dict(row)) for row in await connection.fetch(LAST_ENDS_SQL, runner_id, limit)]


async def prune(connection: Connection, days: int) -> None:
    """Delete up to 10,000 that ended more than `days` ago."""
    await connection.execute(PRUNE_RUNNERS_SQL, days)


async def terminate(connection: Connection, backend: int) -> None:
    """End a session of our own that the server has not yet noticed to be gone."""
    await connection.execute(TERMINATE_SQL, backend)
