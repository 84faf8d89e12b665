"""A campaign: faults one after the other against three replicas, until each has been overcome."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import asyncpg

from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE, QUEUE
from dozor.storage.postgres.pool import Pool, create_pool, of_database
from tests.bot.botapi.server import BotApi
from tests.cluster.chaos import judge
from tests.cluster.chaos.faults import OF_DATABASE, OF_WORKER, TAKES_LEADERSHIP, Fault
from tests.cluster.chaos.judge import Command, Evidence, Passing, Run, Spell, Takeover, Write
from tests.cluster.chaos.proxy import Link, LinkState
from tests.cluster.chaos.replicas import COMMANDED, LEASE, SICK, Replica, write_config
from tests.cluster.chaos.run_file import RunFile
from tests.pgbouncer import PgBouncer
from tests.server import PostgresControl
from tests.system.telegram import ADMIN, TOKEN

HELD = LEASE + 2.0
"""Seconds for which a fault lasts that does not end by itself."""
LOOK_EVERY = 0.02
"""Seconds between two looks for a condition."""
OUTLASTS = 0.3
"""Seconds of runs of the next leader beside one that is stopped."""
MENDED = 60.0
"""Seconds within which the cluster is whole again after a fault; beyond it the campaign stops."""
DRAINED = 60.0
"""Seconds in which the last messages leave."""

# Each statement that changes a table which only the leader writes is noted, with who led at that moment.
WITNESS_SQL = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.writes (id bigserial PRIMARY KEY, name text NOT NULL, epoch bigint, lease bigint NOT NULL);
CREATE FUNCTION chaos.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.writes (name, epoch, lease)
    SELECT TG_TABLE_NAME, nullif(current_setting('dozor.epoch', true), '')::bigint, epoch FROM dozor.lease;
    RETURN NULL;
END
$$;
CREATE TABLE chaos.resigned (epoch bigint NOT NULL);
CREATE FUNCTION chaos.resign() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos.resigned (epoch) VALUES (NEW.epoch);
    RETURN NULL;
END
$$;
CREATE TRIGGER chaos AFTER UPDATE ON dozor.lease FOR EACH ROW
    WHEN (NEW.expires_at = '-infinity') EXECUTE FUNCTION chaos.resign();
"""
WATCHED = ("tasks", "runs", "incidents", "notifications", "destinations")
LEADER_SQL = """
SELECT epoch, pid, renewals, expires_at > clock_timestamp() AS valid FROM dozor.lease
"""
RESIGNED_SQL = "SELECT count(*) FROM chaos.resigned WHERE epoch = $1"
ROLES_SQL = """
SELECT pid, role FROM dozor.replicas
WHERE seen_at > clock_timestamp() - make_interval(secs => 2 * beats_every)
"""
IN_TRANSACTION_SQL = """
SELECT count(*) FROM pg_stat_activity
WHERE state LIKE 'idle in transaction%' AND application_name LIKE 'dozor%'
"""
END_SESSIONS_SQL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
SPELL_SQL = """
SELECT count(*) FILTER (WHERE i.resolved_at IS NOT NULL) AS count,
       coalesce(bool_or(i.occurrences >= 3), false) AS flapping
FROM dozor.incidents i WHERE i::text LIKE '%' || $1 || '%'
"""

Found = TypeVar("Found")


@dataclass(slots=True)
class _Before:
    """The cluster at the moment of a fault."""

    at: float
    epoch: int
    renewals: int
    struck: Replica
    """The leader, or the worker that the fault befalls."""
    calls: int
    pid: int = 0
    """Of `struck` before the fault."""


@dataclass(slots=True)
class Outcome:
    """What came of a campaign. `unmended`: why it stopped early; empty: it did not."""

    evidence: Evidence
    faults: list[Fault] = field(default_factory=list)
    unmended: str = ""


def _passing(fault: Fault, *, resigned: bool) -> Passing:
    """`resigned`: the leader of before gave the lease back."""
    if fault in OF_WORKER:
        return Passing.WORKER
    if fault in OF_DATABASE:
        return Passing.DATABASE
    if fault not in (Fault.TERM, Fault.TERM_CUT):
        return Passing.LOSS
    return Passing.HAND_OVER if resigned else Passing.UNRESIGNED


class Campaign:
    """In `folder`, which holds everything afterwards. `timer` False: replicas without the kernel timer.

    `slack`: seconds added to the limits of take-overs, four times that to `MENDED`.
    `place`: with a short path; in its `pg` may be a data directory. Without it a new folder is made.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        *,
        timer: bool = True,
        slack: float = 0.0,
        place: Path | None = None,
    ) -> None:
        self._folder = folder
        self._place = place
        self._say = say
        self._timer = timer
        self._slack = slack
        self._mended_within = MENDED + 4 * slack
        self._replicas: list[Replica] = []
        self._workers: list[Replica] = []
        self._takeovers: list[Takeover] = []
        self._words: list[str] = []
        self._file = RunFile(folder / "runs")
        self._asked = 0
        self._done: list[Fault] = []
        self._control: PostgresControl
        self._pool: Pool
        self._api: BotApi

    async def run(self, faults: list[Fault], *, limit: float) -> Outcome:
        """One fault after the other, for at most `limit` seconds; then everything is ended and judged."""
        unmended = ""
        async with AsyncExitStack() as stack:
            await self._set_up(stack)
            until = time.monotonic() + limit
            try:
                await self._mended()
                for number, fault in enumerate(faults):
                    if time.monotonic() > until:
                        break
                    await self._suffer(number, fault)
                    self._done.append(fault)
                await self._drained()
            except TimeoutError:
                last = self._done[-1:] or "the start"
                unmended = (
                    f"after {last}: not whole again within {self._mended_within:g} s" + self._no_bouncer()
                )
            return Outcome(await self._evidence(), self._done, unmended)

    def _no_bouncer(self) -> str:
        """Names what only a fault of the test itself can have ended."""
        found = [f"{one.name} ({one.bouncer.ended})" for one in self._all if one.bouncer.ended is not None]
        return f"; the pgbouncer had ended of {', '.join(found)}" if found else ""

    # -- set-up

    async def _set_up(self, stack: AsyncExitStack) -> None:
        # Paths of sockets are short, so not below `folder`.
        place = self._place or Path(tempfile.mkdtemp(prefix="dozor-chaos-"))
        self._control = control = await asyncio.to_thread(PostgresControl, place / "pg")
        stack.callback(control.stop)
        await migrate(control.dsn, (CORE, QUEUE))
        self._pool = await create_pool(control.dsn, min_size=0, max_size=3, application_name="chaos")
        stack.callback(self._pool.terminate)
        await self._pool.execute("ALTER SYSTEM SET fsync = off")
        await self._pool.execute("SELECT pg_reload_conf()")
        await self._pool.execute(WITNESS_SQL)
        for table in WATCHED:
            await self._pool.execute(
                f"CREATE TRIGGER chaos AFTER INSERT OR UPDATE OR DELETE ON dozor.{table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION chaos.note()"
            )
        self._api = BotApi(token=TOKEN)
        self._api.world.add_user(ADMIN, "Anna")
        await stack.enter_async_context(self._api)
        write_config(self._folder, self._api.url)
        for name in ("a", "b", "c", "worker-1", "worker-2"):
            bouncer = PgBouncer(place / f"bouncer-{name}", control.dsn, sizes=15)
            link = Link(bouncer.port)
            await link.open()
            stack.push_async_callback(link.close)
            worker = name.startswith("worker")
            replica = Replica(name, self._folder, link, bouncer, timer=self._timer, worker=worker)
            stack.callback(replica.close)
            (self._workers if worker else self._replicas).append(replica)
            replica.start()
        burial = asyncio.create_task(self._bury())
        stack.callback(burial.cancel)

    async def _bury(self) -> None:
        """Note every death at once: a run that was cut ended then."""
        while True:
            for replica in self._all:
                replica.died()
            await asyncio.sleep(0.005)

    @property
    def _all(self) -> list[Replica]:
        return [*self._replicas, *self._workers]

    # -- one fault

    async def _suffer(self, number: int, fault: Fault) -> None:
        before = await self._before()
        word = f"spell-{number:04d}"
        illness = self._folder / f"sick_{number // 3 % SICK}"
        if number % 3 == 0:
            illness.write_text(word)
            self._words.append(word)
        self._api.world.say(ADMIN, f"/run {judge.BY_COMMAND}_{number % COMMANDED}")
        self._api.notify()
        self._asked += 1
        heal = await self._strike(fault, before)
        try:
            if fault in OF_WORKER:
                seconds = await self._pool_goes_on(before)
            else:
                seconds = await self._first_run_after(fault, before)
        finally:
            await heal()
        overcome = time.monotonic()
        await self._told(word)
        told = time.monotonic() - overcome
        illness.unlink(missing_ok=True)
        self._restart_dead(before.struck if fault is Fault.CLOCK else None)
        conflicts = sum(call.status == 409 for call in self._api.calls[before.calls :])
        passing = _passing(fault, resigned=await self._resigned(before.epoch))
        if seconds is not None or fault in TAKES_LEADERSHIP | OF_WORKER:
            self._takeovers.append(Takeover(fault.value, seconds, conflicts, passing))
        after = "the same one leads" if seconds is None else f"{seconds:.2f} s"
        await self._mended(before)
        whole = f"alert told after {told:.1f} s, " if word in self._words else ""
        whole += f"whole again after {time.monotonic() - overcome:.1f} s"
        self._say(f"{number + 1:3d} {fault.value}: {after}, {conflicts} × 409, {whole}")

    def _restart_dead(self, wrong_clock: Replica | None = None) -> None:
        for replica in self._all:
            if not replica.pid:
                replica.start(offset=1 if replica is wrong_clock else 0)

    async def _resigned(self, epoch: int) -> bool:
        return bool((await self._ask(RESIGNED_SQL, epoch))["count"])

    async def _before(self) -> _Before:
        row = await self._ask(LEADER_SQL)
        leader = next(one for one in self._replicas if one.pid == row["pid"])
        return _Before(time.monotonic(), row["epoch"], row["renewals"], leader, len(self._api.calls))

    async def _strike(self, fault: Fault, before: _Before) -> Callable[[], Awaitable[None]]:
        """What ends the fault again."""
        if fault in OF_WORKER:
            before.struck = await self._busy_worker()
        struck = before.struck
        before.pid = pid = struck.pid
        before.at = time.monotonic()
        match fault:
            case Fault.KILL | Fault.CLOCK | Fault.WORKER_KILL:
                struck.signal(signal.SIGKILL)
            case Fault.TERM | Fault.WORKER_TERM:
                struck.signal(signal.SIGTERM)
            case Fault.TERM_CUT:
                await struck.link.become(LinkState.SILENT)
                struck.signal(signal.SIGTERM)
            case Fault.STOP | Fault.STOP_IN_TRANSACTION | Fault.WORKER_STOP:
                if fault is Fault.STOP_IN_TRANSACTION:
                    await self._in_transaction()
                before.at = time.monotonic()
                struck.signal(signal.SIGSTOP)

                async def resume() -> None:
                    # As a machine that was suspended: without the timer the process goes on where it was.
                    with suppress(ProcessLookupError):
                        if struck.pid == pid:
                            os.kill(pid, signal.SIGCONT)

                return resume
            case Fault.BLOCK | Fault.GIL:
                order = "block" if fault is Fault.BLOCK else "hold the GIL"
                (self._folder / f"{pid}.order").write_text(order)
                before.at = await self._at(lambda: self._file.order_of(pid))
            case Fault.RESTART_FAST:
                await asyncio.to_thread(self._control.restart)
                await self._database_is_back(before)
            case Fault.RESTART_IMMEDIATE:
                await asyncio.to_thread(self._control.restart_immediately)
                await self._database_is_back(before)
            case Fault.END_SESSIONS:
                await self._ask(END_SESSIONS_SQL)
                await self._database_is_back(before)
            case Fault.CUT | Fault.WORKER_CUT:
                await struck.link.become(LinkState.SILENT)
            case Fault.REFUSE:
                await struck.link.become(LinkState.REFUSED)
            case Fault.SLOW:
                await struck.link.become(LinkState.SLOW, 0.9 * LEASE)

        async def heal() -> None:
            await struck.link.become(LinkState.OPEN)

        return heal

    async def _database_is_back(self, before: _Before) -> None:
        row = await self._ask(LEADER_SQL)
        before.at, before.renewals = time.monotonic(), row["renewals"]

    async def _busy_worker(self) -> Replica:
        """A worker that is in a run of a pool."""
        by_pid = {worker.pid: worker for worker in self._workers if worker.pid}
        return by_pid[await self._at(lambda: self._file.busy(by_pid))]

    async def _at(self, look: Callable[[], Found | None]) -> Found:
        """What `look` finds, as soon as it finds it."""
        async with asyncio.timeout(self._mended_within):
            while (found := look()) is None:  # noqa: ASYNC110 -- of a file
                await asyncio.sleep(LOOK_EVERY)
            return found

    async def _first_run_after(self, fault: Fault, before: _Before) -> float | None:
        """Seconds from the fault to the first run of a later epoch; None: the leader goes on."""
        try:
            async with asyncio.timeout(self._mended_within if fault in TAKES_LEADERSHIP else HELD):
                while (began := self._file.first_after(before.epoch)) is None:
                    if fault not in TAKES_LEADERSHIP and await self._goes_on(before):
                        return None
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            return None
        if fault in (Fault.STOP, Fault.STOP_IN_TRANSACTION):
            # A stop that outlasts the take-over, as that of a machine: what comes of it once it ends?
            leads = (await self._ask(LEADER_SQL))["epoch"]
            await self._at(lambda: True if self._file.last_of(leads) > began + OUTLASTS else None)
        return began - before.at

    async def _goes_on(self, before: _Before) -> bool:
        """The same one leads: it has renewed its lease since, and begun a run after that."""
        row = await self._ask(LEADER_SQL)
        renewed = row["epoch"] == before.epoch and row["renewals"] > before.renewals
        return renewed and self._file.last_of(before.epoch) > before.at

    async def _pool_goes_on(self, before: _Before) -> float | None:
        """Seconds from the fault to a run of each task of the pool in another process; None: never."""
        try:
            return await self._at(lambda: self._file.elsewhere(before.pid, before.at)) - before.at
        except TimeoutError:
            return None

    async def _in_transaction(self) -> None:
        """Until some transaction of Dozor is open, for at most 2 s."""
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                while not (await self._ask(IN_TRANSACTION_SQL))["count"]:  # noqa: ASYNC110 -- the state of a database
                    await asyncio.sleep(0)

    async def _told(self, word: str) -> None:
        """Until a message tells of `word`, if there is one to be told of."""
        if word not in self._words:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._mended_within):
                while not self._tells(word):  # noqa: ASYNC110 -- of the stand-in
                    await asyncio.sleep(0.1)

    async def _mended(self, before: _Before | None = None) -> None:
        """Until all replicas are there, one leads, its runs begin, and it has asked Telegram for updates."""
        calls = 0 if before is None else before.calls
        async with asyncio.timeout(self._mended_within):
            while not await self._whole() or not any(
                call.method == "getUpdates" for call in self._api.calls[calls:]
            ):
                self._restart_dead()
                await asyncio.sleep(LOOK_EVERY)

    async def _whole(self) -> bool:
        pids = {replica.pid for replica in self._all}
        if 0 in pids:
            return False
        try:
            lease = await self._ask(LEADER_SQL)
            roles = {row["pid"]: row["role"] for row in await self._fetch(ROLES_SQL)}
        except TimeoutError:
            return False
        if not pids <= set(roles) or not lease["valid"] or roles.get(lease["pid"]) != "leader":
            return False
        recent = time.monotonic() - 1.0
        return self._file.last_of(lease["epoch"]) > recent

    async def _drained(self) -> None:
        """Until nothing waits to be sent or carried out."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAINED):
                while await self._left():  # noqa: ASYNC110 -- the state of a database
                    await asyncio.sleep(0.2)

    async def _left(self) -> int:
        row = await self._ask(
            "SELECT (SELECT count(*) FROM dozor.notifications WHERE state IN ('pending', 'sending'))"
            " + (SELECT count(*) FROM dozor.commands WHERE state = 'pending')"
            " + (SELECT count(*) FROM dozor.incidents WHERE task LIKE 'sick%' AND state <> 'resolved')"
            " AS count"
        )
        return int(row["count"]) + len(self._api.world.updates)

    # -- evidence

    def _runs(self) -> list[Run]:
        file = self._folder / "runs"
        lines = file.read_text().splitlines() if file.exists() else []
        deaths = {pid: at for replica in self._all for pid, at in replica.deaths.items()}
        return judge.read_runs(lines, deaths)

    def _tells(self, word: str) -> int:
        messages = self._api.world.sent(ADMIN)
        return sum(any(word in text for text in message.history) for message in messages)

    async def _evidence(self) -> Evidence:
        runs = self._runs()
        writes = await self._fetch("SELECT name, epoch, lease FROM chaos.writes")
        commands = await self._fetch(
            "SELECT id, state, result, task, run_outcome FROM dozor.commands ORDER BY id"
        )
        found = [Command(*row) for row in commands]
        found += [Command(0, "never submitted", None)] * (self._asked - len(commands))
        spells = []
        for word in self._words:
            row = await self._ask(SPELL_SQL, word)
            spells.append(Spell(word, self._tells(word), row["count"], row["flapping"]))
        return Evidence(
            runs,
            [Write(row["name"], row["epoch"], row["lease"]) for row in writes],
            spells,
            found,
            self._takeovers,
            lease=LEASE,
            slack=self._slack,
        )

    async def _ask(self, statement: str, *args: object) -> asyncpg.Record:
        rows = await self._fetch(statement, *args)
        return rows[0]

    async def _fetch(self, statement: str, *args: object) -> list[asyncpg.Record]:
        """Of the campaign's own; the database may be away for a moment."""
        async with asyncio.timeout(20):
            while True:
                try:
                    return list(await self._pool.fetch(statement, *args))
                except Exception as error:
                    if not of_database(error):
                        raise
                    await asyncio.sleep(0.05)
