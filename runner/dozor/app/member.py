"""A member of a cluster: it stands by, leads for a term, and stands by again.

stand by ──lease taken──▶ build the leading part ──▶ lead ──▶ SIGTERM: write all, resign, grace for runs
   ▲                                                  │
   └── runs cancelled, all ended ◀── lease about to expire, or superseded
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import assert_never
from uuid import uuid4

from loguru import logger

from dozor.app.config_file import ConfigFile
from dozor.app.idle_web import IdleWeb, ShownTasks, idle_snapshot
from dozor.app.leading.part import LeadingPart
from dozor.app.leading.pools import import_queue
from dozor.app.leading.telegram import import_bot
from dozor.app.standby import StandbyPart
from dozor.app.surroundings import VERSION, LeaderTerm, Surroundings, Teardown
from dozor.app.worker import WorkerPart, start_worker
from dozor.cluster import handover, replicas
from dozor.cluster.handover import HeldStarts
from dozor.cluster.leadership import Ending, Leadership
from dozor.cluster.lease import Holder, Term
from dozor.cluster.replicas import Beat, ReplicaRole
from dozor.cluster.trust_window import CHILD_SLACK, TrustWindow
from dozor.cluster.view import ClusterView
from dozor.config import Config
from dozor.config.values.roles import Role
from dozor.control.readiness import HealthSnapshot
from dozor.errors import DozorError, LeaseLostError, RunHungError, StorageError, SupersededError
from dozor.language import msg
from dozor.process.child_deadlines import ChildDeadlines
from dozor.process.deadline_timer import DeadlineTimer, is_init
from dozor.process.identity import ProcessIdentity
from dozor.process.lifecycle import Cleanups
from dozor.storage.postgres.fence import Fence
from dozor.storage.postgres.pool import connect, disconnect, of_database
from dozor.storage.tables import runners
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.supervisor import CANCEL_SECONDS, Supervisor
from dozor.supervision.tasks.task import SupervisedTask

MEMBER_SECONDS = 30.0
"""How long the end of a member may take, beside the grace for its runs."""
QUICK_SECONDS = 0.15
"""How long runs and services get at SIGTERM, at the same time, before everything is written: results of short
runs are still recorded."""
WRITE_SECONDS = 2.0
"""How long SIGTERM waits for the database to take what is still to be written. It usually takes a few
milliseconds; a database that takes longer is slow or away."""
AGAIN_SECONDS = 0.5
"""Pause after a term that could not begin."""


async def _import_ahead(config: Config) -> None:
    """What a leader needs and a standby does not, so that the first run after a take-over does not wait."""
    await import_queue()
    await import_bot(config)


def ran_since(supervisor: Supervisor | None, when: float) -> bool:
    """Was a run of this process in progress at `when` (seconds since the epoch), or later?

    A run of a task that a reload has removed counts while it goes on.
    """
    if supervisor is None:
        return False
    for task in (*supervisor.tasks, *supervisor.registry.in_runs):
        state = task.state
        if task.run is not None and task.run.remote is None:
            return True
        if state.started_at is not None and state.started_at + (state.duration or 0.0) > when:
            return True
    return False


class ClusterMember:
    """`start` it, and `stop` it. `timer` None: in an application of somebody else's.

    `assigned`: the tasks whose runs it may take as a worker.
    """

    def __init__(
        self,
        around: Surroundings,
        timer: DeadlineTimer | None,
        role: Role = Role.ALL,
        assigned: Sequence[TaskSpec] = (),
    ) -> None:
        self._role = role
        self._assigned = assigned
        self._working = Cleanups()
        self._worker: WorkerPart | None = None
        self._around = around
        self._timer = timer
        config = around.config
        process = ProcessIdentity.own()
        name = process.host if is_init() else f"{process.host}-{process.pid}"
        self._ttl = config.cluster.lease_ttl
        self.window = TrustWindow(self._ttl, timer, ChildDeadlines(self._ttl * CHILD_SLACK))
        self.me = Holder(uuid4(), name, VERSION, process)
        self.view = ClusterView(window=self.window)
        self._file = ConfigFile(config.path, around.digest, around.redactor.redact)
        database = around.database
        self.leadership = Leadership(
            database.session_dsn or database.dsn,
            self.me,
            self.window,
            session_locks=database.session_dsn is not None,
        )
        self.leading: LeadingPart | None = None
        self._standby: StandbyPart | None = None
        """The present or last one."""
        self._shown: ShownTasks | None = None
        """Of a process that only works."""
        self._supervisor: Supervisor | None = None
        """Of the present or last term, once it has begun to supervise."""
        self.term: Term | None = None
        self.unstopped: tuple[str, ...] = ()
        self._stopping = asyncio.Event()
        self._role_changed = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._importing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Stand by, on the running loop."""
        if self._timer is not None and is_init():
            logger.warning(msg("log-cluster-init"))
        if self._role is not Role.WORKER:
            self._importing = asyncio.create_task(_import_ahead(self._around.config))
        self._life = asyncio.create_task(self._live())
        self._beating = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Hand over and end."""
        self._stopping.set()
        ending = asyncio.create_task(self._working.run())
        if self._life is not None:
            await self._life
        await ending
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating
        if self._importing is not None:
            self._importing.cancel()
        await self._say_goodbye()
        self.leadership.close()
        self.window.close()
        await asyncio.sleep(0)  # the transports of ended sessions close on the loop

    def vitals(self) -> HealthSnapshot:
        """What readiness is judged by while this process does not lead."""
        now = self._around.clock.now()
        if self._around.has_failed:
            reasons = {"cluster": str(self._around.failed.result())}
            return idle_snapshot(now, database_up=True, database_down_since=None, failing_parts=reasons)
        if self._standby is not None:
            return self._standby.vitals()
        if self._worker is not None and self._role is Role.WORKER:
            return self._worker.vitals()
        return idle_snapshot(
            now, database_up=False, database_down_since=None, failing_parts={}
        )  # at the start

    def _failing_worker(self) -> Mapping[str, str]:
        """Parts of the worker in this process that fail, and why."""
        return {} if self._worker is None else self._worker.failing()

    # -- the life of a member

    async def _live(self) -> None:
        try:
            if self._role is not Role.LEADER:
                await self._start_worker()
            if self._role is Role.WORKER:
                await self._only_work()
            while not self._stopping.is_set():
                self._standby = standby = StandbyPart(
                    self._around, self.leadership, self.view, self._failing_worker
                )
                await standby.start()
                try:
                    term = await self._acquired()
                except BaseException:
                    await standby.stop()
                    raise
                if term is None:
                    await standby.stop()
                else:
                    await self._lead(term, standby)
        except Exception as error:  # noqa: BLE001 -- the border: the process ends with it
            logger.opt(exception=error).critical(msg("log-cluster-defect"))
            known = error if isinstance(error, DozorError) else DozorError(f"{type(error).__name__}: {error}")
            self._fail(known)

    async def _only_work(self) -> None:
        """Show what the database holds, until this process ends."""
        web = IdleWeb(self._around, self.view, ReplicaRole.WORKER, self.vitals)
        self._shown = web.shown
        await web.start()
        try:
            await self._stopping.wait()
        finally:
            await web.stop()

    def _show(self, specs: list[TaskSpec], changed: Collection[str]) -> None:
        """The worker has reloaded its configuration."""
        if self._shown is not None:
            self._shown.use(specs, changed)

    def reload_soon(self, by: str) -> None:
        """Reload in the background; for a signal handler. A standby reads the file when it begins to lead."""
        if self.leading is not None:
            self.leading.reloader.soon(by)
        if self._worker is not None:
            self._worker.settings.soon(by)

    async def _start_worker(self) -> None:
        """Take runs of pools, whoever leads, until this process ends."""
        around = self._around
        self._worker = await start_worker(
            around.config,
            around.digest,
            self._assigned,
            self._working,
            dsn=around.database.dsn,
            session_dsn=around.database.session_dsn,
            name=self.me.name,
            clock=around.clock,
            redactor=around.redactor,
            shown=self._show,
            grace=around.grace,
            give_up=self._give_up,
            timer=None if self._timer is None else DeadlineTimer(),
        )

    def _give_up(self, task: SupervisedTask) -> None:
        """`on_hang: exit` of a run on this worker."""
        self._fail(RunHungError(msg("error-run-hung", name=task.spec.name)))

    async def _acquired(self) -> Term | None:
        """Until this process leads; None: it is to end."""
        acquiring = asyncio.create_task(self.leadership.acquire())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((acquiring, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not acquiring.done():
                acquiring.cancel()
                await asyncio.wait((acquiring,))
            if acquiring.cancelled():
                return None
            return acquiring.result()
        finally:
            stopping.cancel()

    async def _lead(self, term: Term, standby: StandbyPart) -> None:
        logger.info(msg("log-cluster-leads", epoch=term.epoch))
        cleanups = Cleanups()
        leader = LeaderTerm(
            fence=Fence(term, self._ttl / 2),
            window=self.window,
            held=HeldStarts(self.window, self.leadership.children_until),
            view=self.view,
            retired=asyncio.Event(),
            failing=self._failing_worker,
        )
        self.view.leads, self.view.epoch = True, term.epoch
        self._supervisor = None
        part = LeadingPart(self._around, cleanups, leader)
        keeping = asyncio.create_task(self.leadership.keep(term))
        # Meanwhile: requests to the standby's web server must not delay the first run.
        retiring = asyncio.create_task(_retire(standby, leader.retired))
        starting = asyncio.create_task(part.start())
        stopping = asyncio.create_task(self._stopping.wait())
        superseded = asyncio.create_task(part.superseded.wait())
        self.term = term
        self._role_changed.set()
        try:
            ends = (keeping, stopping, superseded)
            await asyncio.wait((starting, *ends), return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and starting.exception() is None:
                self.leading = part
                self._supervisor = part.supervisor
                part.reloader.soon("take-over")
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            elif not starting.done():
                starting.cancel()
                await asyncio.wait((starting,))
            self.leading = None
            if not starting.cancelled() and (error := starting.exception()) is not None:
                await self._not_begun(error, term, cleanups, part)
            elif keeping.done():
                await self._lose(keeping.result(), term, cleanups, part)
            elif superseded.done():
                self.window.distrust()
                await self._lose(Ending.SUPERSEDED, term, cleanups, part)
            elif starting.cancelled():
                await self._not_begun(None, term, cleanups, part)
            else:
                await self._hand_over(term, keeping, cleanups, part)
        finally:
            self.term, self.view.leads = None, False
            await retiring
            for task in (keeping, stopping, superseded):
                task.cancel()

    async def _hand_over(
        self, term: Term, keeping: asyncio.Task[Ending], cleanups: Cleanups, part: LeadingPart
    ) -> None:
        """SIGTERM: no new runs, no long poll, everything written, the lease resigned; then grace for runs.

        Without an answer of the database in time nobody can resign: the next leader waits for the lease.
        """
        stopping = asyncio.create_task(part.stop_services())
        running = await part.supervisor.ask_to_end(QUICK_SECONDS)
        await asyncio.wait((stopping,), timeout=QUICK_SECONDS)
        seconds = self._around.grace + CANCEL_SECONDS + 1.0
        tasks = [task.spec.name for task in running]
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await part.write_all()
                async with part.journal.connection.transaction():
                    if tasks:
                        await handover.hand_over(part.journal.connection, tasks, term.epoch, seconds)
                    clean = not self._around.has_failed
                    await runners.end(part.journal.connection, term.epoch, clean=clean)
        except Exception as error:
            if not (isinstance(error, TimeoutError | StorageError) or of_database(error)):
                raise
            logger.error(msg("log-changes-lost", error=str(error) or msg("log-no-answer-in-time")))
            await self._lose(Ending.EXPIRING, term, cleanups, part)
            await stopping
            if not self.unstopped:
                # Nothing of this term is in progress: the next leader need not wait for the lease to expire.
                await self.leadership.resign(term)
            return
        keeping.cancel()
        await asyncio.wait((keeping,))
        self.window.distrust()  # a service that has not ended yet sends nothing any more
        await self.leadership.resign(term)
        if tasks:
            self.window.end_within(seconds)
        else:
            self.window.close()
        part.teardown = Teardown.RESIGNED
        await stopping
        await cleanups.run()
        self.unstopped = part.unstopped
        if tasks and not part.unstopped:
            await self._with_connection_ended(term)

    async def _lose(self, ending: Ending, term: Term, cleanups: Cleanups, part: LeadingPart) -> None:
        """Cancel every run; stand by if all of them end in time, else the kernel timer ends the process.

        Without a timer `failed` is set: in place of it, and if runs went on after the window had ended.
        """
        until, lasted = self.window.until, False
        match ending:
            case Ending.EXPIRING:
                logger.error(msg("log-cluster-lost", epoch=term.epoch))
                late = self.window.now() - until
                lasted = ran_since(self._supervisor, self._around.clock.now() - max(0.0, late))
            case Ending.SUPERSEDED:
                logger.error(msg("log-cluster-superseded", epoch=term.epoch))
            case _:
                assert_never(ending)
        await part.lose()
        await cleanups.run()
        self.unstopped = part.unstopped
        overran = lasted and self._timer is None and self.window.now() > until
        if not part.unstopped and not overran:
            self.window.close()
            return
        if part.unstopped:
            logger.critical(msg("log-cluster-unstopped", names=", ".join(part.unstopped)))
        self.window.distrust()
        if self._timer is None:
            self._fail(LeaseLostError(msg("error-lease-lost")))
        await asyncio.Event().wait() if self._timer is not None else await self._stopping.wait()

    async def _not_begun(
        self, error: BaseException | None, term: Term, cleanups: Cleanups, part: LeadingPart
    ) -> None:
        """The leading part could not be built, or was not wanted any more."""
        await part.lose()
        await cleanups.run()
        await self.leadership.resign(term)
        self.window.close()
        if error is None or isinstance(error, asyncio.CancelledError):
            return
        if not (isinstance(error, SupersededError | TimeoutError) or of_database(error)):
            raise error
        logger.warning(msg("log-cluster-not-begun", reason=str(error)[:300]))
        with suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_SECONDS):
                await self._stopping.wait()

    def _fail(self, error: DozorError) -> None:
        if not self._around.failed.done():
            self._around.failed.set_result(error)

    # -- presence

    async def _beat(self) -> None:
        """Write that this process is there, as often as a leader renews its lease."""
        every = self._ttl / 3
        while True:
            try:
                connection = await connect(
                    self._around.database.dsn, application_name="dozor presence", timeout=every * 2
                )
                try:
                    while True:
                        if self._role is not Role.WORKER:
                            await self._file.refresh()
                        async with asyncio.timeout(every * 2):
                            await replicas.beat(connection, self.me, self._state(every), time.time())
                            if self.term is not None:
                                await replicas.forget(connection, self.term.epoch)
                            self.view.replicas = tuple(await replicas.read_replicas(connection))
                        self._note_epoch()
                        with suppress(TimeoutError):
                            async with asyncio.timeout(every):
                                await self._role_changed.wait()
                        self._role_changed.clear()
                finally:
                    connection.terminate()
            except (TimeoutError, StorageError):
                pass  # the lease says it, in the log
            except Exception as error:
                if not of_database(error):
                    raise
            await asyncio.sleep(min(1.0, every))

    def _note_epoch(self) -> None:
        seen = self.leadership.seen
        if seen is not None:
            self.view.epoch = max(self.view.epoch, seen.row.term.epoch)

    def _state(self, every: float) -> Beat:
        cluster = self._around.config.cluster
        return Beat(
            role=ReplicaRole.LEADER if self.term is not None else self._idle_role,
            epoch=None if self.term is None else self.term.epoch,
            beats_every=every,
            config_digest=self._digest,
            pools=cluster.pools if self._worker is not None else (),
            slots=cluster.slots if self._worker is not None else 0,
            running=0 if self._worker is None else self._worker.worker.running,
        )

    @property
    def _digest(self) -> str:
        """Of the configuration that a worker uses, or that another process would lead with by now."""
        settings = None if self._worker is None else self._worker.settings
        if settings is not None and (self._role is Role.WORKER or settings.refused):
            return settings.digest
        return self._file.digest

    @property
    def _idle_role(self) -> ReplicaRole:
        """Of a process that does not lead."""
        return ReplicaRole.WORKER if self._role is Role.WORKER else ReplicaRole.STANDBY

    async def _say_goodbye(self) -> None:
        with suppress(TimeoutError, StorageError, OSError):
            async with asyncio.timeout(1.0):
                connection = await connect(self._around.database.dsn, timeout=1.0)
                try:
                    await replicas.gone(connection, self.me.id)
                finally:
                    await disconnect(connection)

    async def _with_connection_ended(self, term: Term) -> None:
        with suppress(TimeoutError, StorageError, OSError):
            async with asyncio.timeout(1.0):
                connection = await connect(self._around.database.dsn, timeout=1.0)
                try:
                    await handover.ended(connection, term.epoch)
                finally:
                    await disconnect(connection)


async def _retire(standby: StandbyPart, retired: asyncio.Event) -> None:
    try:
        await standby.stop()
    finally:
        retired.set()
