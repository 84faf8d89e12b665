"""Distribution of runs to workers: the port, and PgQueuer behind it. Only this module imports `pgqueuer`.

PgQueuer decides which worker gets a job, and nothing else. A job is acknowledged in the transaction that
claims its run, so PgQueuer never has a job in progress, and none of its ways to hand one out again applies.
Who owns a run is decided by its row in `dozor.pool_runs`.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dozor.storage.postgres.migration_sets import QUEUE
from dozor.storage.postgres.pool import Connection, Pool, Row
from dozor.storage.tables import pool_runs
from dozor.storage.tables.pool_runs import Claim, PoolOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder
    from pgqueuer.domain.settings import DBSettings

CHANNEL = "dozor_pgqueuer"
"""Of PgQueuer's own trigger, which is disabled: it also notifies of each acknowledgement, and notifying
transactions commit one after the other."""
PASS_ON_AFTER = timedelta(milliseconds=250)
"""For how long a job that this worker cannot run is not offered again."""
_STALE_AFTER = timedelta(days=1)
"""PgQueuer's limit for jobs in progress, of which there are none."""


class Offer(NamedTuple):
    """A job that was dequeued and neither acknowledged nor passed on. `run`: id of the run."""

    run: str
    task: str
    digest: str
    job: int


class JobQueue(Protocol):
    """What distributes runs. Every method works in the transaction of the connection that it is given."""

    async def enqueue(self, connection: Connection, orders: Sequence[PoolOrder]) -> None:
        """One job for each run."""
        ...

    async def dequeue(self, connection: Connection, pools: Sequence[str], limit: int) -> list[Offer]:
        """At most `limit` jobs of these pools, none of which another worker has."""
        ...

    async def claim(self, connection: Connection, offers: Sequence[Offer], worker: str) -> list[Claim]:
        """Claim these runs and acknowledge their jobs; a run that needs no worker any more is left out."""
        ...

    async def pass_on(self, connection: Connection, offers: Sequence[Offer]) -> None:
        """Leave these jobs to other workers, after a moment."""
        ...


def digest_of(reference: str, args: Mapping[str, Any]) -> str:
    """Of what a task calls and with which arguments. A worker with another one passes the run on."""
    text = json.dumps([reference, args], sort_keys=True, default=repr, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class PgQueuerQueue:
    """`JobQueue` on PgQueuer's tables in schema `dozor_queue`.

    `connection` may have our codec for jsonb only in `enqueue`; the others need PgQueuer's own text.
    """

    def __init__(self) -> None:
        from pgqueuer.adapters.persistence.qb import QueryQueueBuilder
        from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId

        self._builder: QueryQueueBuilder = QueryQueueBuilder(settings())
        self._enqueue: str = self._builder.build_enqueue_query()
        self._retry: str = self._builder.build_retry_job_query()
        self._claim = _acknowledging(pool_runs.CLAIM_SQL)
        self._entrypoint = QueueEntrypoint
        self._manager = QueueManagerId(uuid.uuid4())

    async def enqueue(self, connection: Connection, orders: Sequence[PoolOrder]) -> None:
        nothing = [None] * len(orders)
        await connection.execute(
            self._enqueue,
            [0] * len(orders),
            [order.pool for order in orders],
            [json.dumps([order.id, order.task, order.digest]).encode() for order in orders],
            [timedelta()] * len(orders),
            nothing,  # no key against duplicates: the row of the run is that
            nothing,  # headers: a codec of the connection would encode them twice
        )

    async def dequeue(self, connection: Connection, pools: Sequence[str], limit: int) -> list[Offer]:
        # As `Queries.dequeue` of PgQueuer does it, without a model of each row, which takes long.
        query = self._builder.build_dequeue_query(
            batch_size=limit,
            entrypoints=[self._entrypoint(name) for name in pools],
            concurrency_limits=[0] * len(pools),
            queue_manager_id=self._manager,
            global_concurrency_limit=None,
            heartbeat_timeout=_STALE_AFTER,
        )
        # Two of its fourteen columns: the others would be decoded for each job and thrown away.
        sql = query.sql.replace("SELECT * FROM claimed", "SELECT id, payload FROM claimed")
        return [_offer(row) for row in await connection.fetch(sql, *query.args)]

    async def claim(self, connection: Connection, offers: Sequence[Offer], worker: str) -> list[Claim]:
        rows = await connection.fetch(
            self._claim, [offer.run for offer in offers], worker, [offer.job for offer in offers]
        )
        return [pool_runs.to_claim(row) for row in rows]

    async def pass_on(self, connection: Connection, offers: Sequence[Offer]) -> None:
        await connection.executemany(self._retry, [(offer.job, PASS_ON_AFTER, None) for offer in offers])


@lru_cache(maxsize=1)
def settings() -> DBSettings:
    """Names of PgQueuer's objects. Variables of the environment (`PGQUEUER_…`) do not change them."""
    from pgqueuer.domain.settings import DBSettings

    return DBSettings(
        prefix="",
        db_schema=QUEUE.schema,
        channel=CHANNEL,
        function="fn_pgqueuer_changed",
        statistics_table="pgqueuer_statistics",
        queue_status_type="pgqueuer_status",
        queue_table="pgqueuer",
        queue_table_log="pgqueuer_log",
        trigger="tg_pgqueuer_changed",
        schedules_table="pgqueuer_schedules",
        durability="durable",
    )


@lru_cache(maxsize=1)
def environment() -> QueryBuilderEnvironment:
    """What PgQueuer's statements about its schema are built from."""
    from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment

    return QueryBuilderEnvironment(settings())


async def pending_upgrade(pool: Pool) -> tuple[str, ...]:
    """The statements by which the installed release would change its schema; none if our migrations match."""
    from pgqueuer.adapters.drivers.asyncpg import AsyncpgPoolDriver
    from pgqueuer.queries import Queries

    queries = Queries(AsyncpgPoolDriver(pool), qbe=environment())
    return tuple((await queries.plan_upgrade()).statements)


def _acknowledging(claim: str) -> str:
    """`claim`, which has two parameters, with the jobs in $3 acknowledged: one statement, one round trip.

    As PgQueuer's own acknowledgement, a DELETE, without its log, which is not kept.
    """
    return f"WITH acknowledged AS (DELETE FROM {QUEUE.schema}.pgqueuer WHERE id = ANY($3::int8[])) {claim}"  # noqa: S608 -- both are constants


def _offer(row: Row) -> Offer:
    run, task, digest = json.loads(row["payload"])
    return Offer(run, task, digest, row["id"])
