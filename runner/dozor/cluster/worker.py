"""A worker: takes runs of its pools, carries them out as local runs are, and reports their ends.

    free slots ──dequeue, claim, acknowledge: one transaction──▶ running ──▶ ended by (id, token) ──▶ free
                  └─ task unknown, or another `run` or `args`: passed on

One statement a second carries the heartbeats of all runs and brings back what is to stop and what was taken
away. A worker that cannot send it for most of the time after which the leader gives its runs up
cancels them, so that the next attempt finds none of them in progress.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from loguru import logger

from dozor.cluster.assigned import Assigned, AssignedRuns, HangReports
from dozor.cluster.pace import Pace
from dozor.cluster.placement import PASS_ON_AFTER, JobQueue, Offer
from dozor.cluster.trust_window import TrustWindow
from dozor.language import msg
from dozor.storage.health import DatabaseHealth
from dozor.storage.postgres.pool import Pool, of_database, unavailable
from dozor.storage.tables import pool_runs
from dozor.storage.tables.pool_runs import Claim, Held, PoolRunOutcome, StopRequest, WorkerEnd

BEAT_EVERY = 1.0
"""Seconds between heartbeats."""
POLL_EVERY = 1.0
"""Seconds between looks for runs, where NOTIFY wakes."""
CLAIM_AT_ONCE = 500
YIELD_SECONDS = 0.05
"""Seconds for which a worker that passed a run on leaves the queue to others."""
RETRY_AFTER = 0.5
"""Seconds after which a worker that lost its sessions tries again."""
STATEMENT_SECONDS = 5.0
"""How long a statement of the worker may take before it is tried again."""
WINDOW_EVERY = 0.1
"""Seconds between looks at the window."""


class Worker:
    """Takes runs of `pools`, at most `slots` at once. `name`: for people.

    `window`: while it is open, no run of this worker is given up; its `ttl` is the patience of the leader.

    `misfits`: set when a run is passed on because its task is unknown here or has other `run` or `args`.
    `pool`: connections without a codec for jsonb. `poll_every`: seconds between looks for runs.
    `build` makes the supervisor of its runs, which calls `ended` and `alert`.
    """

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        build: Callable[[Worker], AssignedRuns],
        hangs: HangReports,
        health: DatabaseHealth,
        *,
        name: str,
        pools: tuple[str, ...],
        slots: int,
        window: TrustWindow,
        poll_every: float = POLL_EVERY,
        misfits: asyncio.Event | None = None,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._hangs = hangs
        self._health = health
        self._name = name
        self._pools = pools
        self._slots = slots
        self._window = window
        self._patience = min(STATEMENT_SECONDS, window.ttl / 3)
        self._poll_every = poll_every
        self._misfits = asyncio.Event() if misfits is None else misfits
        self.answered_at = window.now()
        """When the database last gave an answer; seconds, as the window counts them."""
        self.failing: dict[str, str] = {}
        """Parts whose statements the database refuses, and why: an outage is none of that."""
        self._wake = asyncio.Event()
        self._ends: dict[str, WorkerEnd] = {}
        """Not written yet, by id."""
        self._ends_wanted = asyncio.Event()
        self._alerts: list[tuple[str, str, str]] = []
        self._polls = poll_every < POLL_EVERY
        """No NOTIFY announces what is queued."""
        self._passed_on = False
        self._more = True
        """More may be queued than the last look could take."""
        self._offering: asyncio.Task[None] | None = None
        self.closing = False
        """No more runs are taken."""
        self.runs = build(self)

    @property
    def running(self) -> int:
        """Slots in use."""
        return len(self.runs.assigned) + len(self._ends)

    def wake(self) -> None:
        """Runs may have been queued."""
        self._wake.set()

    def alert(self, task: str, text: str, severity: str) -> None:
        """For the people on call, through the leader."""
        self._alerts.append((task, text, severity))

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """To be supervised: a part that fails is started again after a second."""
        return {
            "worker": self._take_runs,
            "worker heartbeat": self._beat,
            "worker results": self._write_ends,
            "worker window": self._keep_window,
        }

    async def stop(self) -> None:
        """Take nothing more, end what runs as a supervisor does, and report the ends."""
        self.closing = True
        self._wake.set()
        await self.runs.stop()
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                while self._ends:
                    await self._write_once()
        except (TimeoutError, OSError) as error:
            logger.warning(msg("log-pool-ends-lost", count=len(self._ends), error=str(error)))

    # -- taking runs

    async def _take_runs(self) -> None:
        pace = Pace()
        while not self.closing:
            await pace.wait()
            self._wake.clear()
            if self._passed_on:
                # Others are offered first what this worker has just passed on.
                await asyncio.sleep(YIELD_SECONDS)
            try:
                pace.took(await self._take_once())
                self.failing.pop("worker", None)
            except Exception as error:
                if not self._sat_out("worker", error):
                    raise
                await asyncio.sleep(RETRY_AFTER)
                continue
            if self._more and self.running < self._slots:
                continue
            try:
                # At random, or several workers would look in the same order for ever.
                spread = random.uniform(0.5, 1.0)  # noqa: S311 -- spread, not secrecy
                async with asyncio.timeout(self._poll_every * spread):
                    await self._wake.wait()
            except TimeoutError:
                pass
        await asyncio.Event().wait()

    async def _take_once(self) -> int:
        """Dequeue, claim and acknowledge in one transaction; how many jobs there were."""
        limit = min(self._slots - self.running, CLAIM_AT_ONCE)
        self._more = True
        if limit <= 0:
            return 0
        claims: list[Claim] = []
        began = self._window.now()
        async with (
            asyncio.timeout(self._patience),
            self._pool.acquire() as connection,
            connection.transaction(),
        ):
            offers = await self._queue.dequeue(connection, self._pools, limit)
            self._answered()
            # Fewer than asked for: the rest is announced when it is queued.
            self._more = len(offers) == limit or (bool(offers) and self._polls)
            if not offers:
                return 0
            mine, others = self._sorted(offers)
            if others:
                await self._queue.pass_on(connection, others)
            if mine:
                claims = await self._queue.claim(connection, mine, self._name)
        self._passed_on = bool(others)
        if others:
            self._offer_again()
        if claims:
            self._window.extend(began)
        for claim in claims:
            if self.closing:
                self._ends[claim.id] = WorkerEnd(claim.id, claim.token, PoolRunOutcome.CANCELLED, None, None)
            else:
                self.runs.begin(claim)
        return len(mine)

    def _offer_again(self) -> None:
        """Wake the workers when what was passed on can be had."""

        async def offer() -> None:
            await asyncio.sleep(PASS_ON_AFTER.total_seconds())
            with suppress(Exception):
                await self._pool.fetchval(pool_runs.WAKE_WORKERS_SQL, timeout=self._patience)

        if self._offering is None or self._offering.done():
            self._offering = asyncio.create_task(offer())

    def _sorted(self, offers: Iterable[Offer]) -> tuple[list[Offer], list[Offer]]:
        """Those that this worker can run, one a task, and those that are for others."""
        mine: dict[str, Offer] = {}
        others: list[Offer] = []
        for offer in offers:
            known = self.runs.digests.get(offer.task) == offer.digest
            if not known:
                self._misfits.set()
            if known and self.runs.free(offer.task) and offer.task not in mine and not self.closing:
                mine[offer.task] = offer
            else:
                others.append(offer)
        return list(mine.values()), others

    # -- ends

    def ended(self, assigned: Assigned, end: WorkerEnd) -> None:
        """A run has ended: report it, unless it was taken away."""
        if assigned.taken_away:
            logger.bind(task=assigned.claim.task).warning(
                msg("log-pool-end-discarded", name=assigned.claim.task, run=end.id)
            )
            self._wake.set()
            return
        self._ends[end.id] = end
        self._ends_wanted.set()

    async def _write_ends(self) -> None:
        pace = Pace()
        while True:
            await self._ends_wanted.wait()
            await pace.wait()
            self._ends_wanted.clear()
            try:
                pace.took(await self._write_once())
                self.failing.pop("worker results", None)
            except Exception as error:
                self._ends_wanted.set()
                if not self._sat_out("worker results", error):
                    raise
                await asyncio.sleep(RETRY_AFTER)

    async def _write_once(self) -> int:
        """Everything that has ended so far, in one statement; how many runs."""
        ends = list(self._ends.values())
        if not ends:
            return 0
        await self._send_alerts()
        async with asyncio.timeout(self._patience):
            written = await pool_runs.end(self._pool, ends)
        for end in ends:
            self._ends.pop(end.id, None)
            if end.id not in written:
                logger.warning(msg("log-pool-end-discarded", name="", run=end.id))
        if self._more or self._polls:
            self._wake.set()
        return len(ends)

    async def _send_alerts(self) -> None:
        """Before the ends of the runs that gave them."""
        if self._alerts:
            await self._send([])

    # -- heartbeats

    async def _beat(self) -> None:
        while True:
            began = self._window.now()
            try:
                await self._beat_once()
                if self.runs.assigned:
                    self._window.extend(began)
                self._answered()
                self.failing.pop("worker heartbeat", None)
            except Exception as error:
                if not self._sat_out("worker heartbeat", error):
                    raise
            await asyncio.sleep(max(0.0, BEAT_EVERY - (self._window.now() - began)))

    async def _keep_window(self) -> None:
        """Cancel all runs before the leader gives them up; the kernel timer ends a process that does not."""
        while True:
            await asyncio.sleep(WINDOW_EVERY)
            if not self.runs.assigned:
                self._window.close()
            elif self._window.now() >= self._window.closes_at:
                self._lose_all()

    async def _beat_once(self) -> None:
        held: list[Held] = []
        for assigned in self.runs.assigned.values():
            chain = self._hangs.hung.get(assigned.claim.task)
            if chain is not None and "hung" not in assigned.reports:
                assigned.reports["hung"] = list(chain)
                assigned.changed = True
            reports = dict(assigned.reports) if assigned.changed else None
            assigned.changed = False
            if not assigned.taken_away:
                held.append(Held(assigned.claim.id, assigned.claim.token, reports))
        held += [Held(end.id, end.token, None) for end in self._ends.values()]
        try:
            answers = await self._send(held)
        except BaseException:
            for one in held:
                assigned_again = self.runs.assigned.get(one.id)
                if assigned_again is not None and one.reports is not None:
                    assigned_again.changed = True
            raise
        for answer in answers:
            found = self.runs.assigned.get(answer.id)
            if found is None:
                continue
            if answer.taken_away:
                self._lose(found)
            elif answer.stop is not None:
                self.runs.stop_run(found, answer.stop)

    async def _send(self, held: list[Held]) -> list[pool_runs.Answer]:
        alerts = list(self._alerts)
        async with asyncio.timeout(self._patience):
            answers = await pool_runs.beat(self._pool, held, alerts)
        del self._alerts[: len(alerts)]
        return answers

    def _lose_all(self) -> None:
        for assigned in list(self.runs.assigned.values()):
            self._lose(assigned)

    def _lose(self, assigned: Assigned) -> None:
        """The leader has given it up, or will before long: it ends, and what it returns does not count."""
        if assigned.taken_away:
            return
        assigned.taken_away = True
        logger.bind(task=assigned.claim.task).error(
            msg("log-pool-run-taken", name=assigned.claim.task, run=assigned.claim.id)
        )
        self.runs.stop_run(assigned, StopRequest.CANCEL)

    def _answered(self) -> None:
        self.answered_at = self._window.now()
        self._health.report_up()

    def _sat_out(self, part: str, error: Exception) -> bool:
        """Whether it is an outage, to be tried again; what is none is for the supervision of this part."""
        if not isinstance(error, TimeoutError) and not of_database(error):
            return False
        if not isinstance(error, TimeoutError) and not unavailable(error):
            logger.opt(exception=error).error(msg("log-worker-statement"))
            self.failing[part] = f"{type(error).__name__}: {str(error)[:200]}"
        self._health.report_down(f"{type(error).__name__}: {str(error)[:200]}")
        return True
