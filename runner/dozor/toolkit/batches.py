"""The batch loop: claim what is due, process it in one transaction, go on until nothing is left.

Any number of processes may drain one queue: a claim skips the rows that others hold. A crash rolls the
batch back and somebody else claims it. An item that makes its batch fail is found by halving the batch
inside the same transaction, set aside with the reason, and the rest of the batch goes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg

from dozor.errors import DozorError
from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit.backlog import Backlog, report_backlog
from dozor.toolkit.context import CheckerContext
from dozor.toolkit.quarantine import announce, set_aside

Item = TypeVar("Item")
Process: TypeAlias = Callable[[Connection, Sequence[int]], Awaitable[Mapping[int, str]]]

POISON: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.RaiseError)
"""What a bad row raises, SQLSTATE classes 22, 23 and P0001. Everything else is no fault of a row.
asyncpg raises DataError as well when it cannot encode an argument: see `of_a_row`."""

CONTENTION: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
CONTENTION_RETRIES: Final = 10
MEASURE_EVERY: Final = 10.0
"""Seconds between measurements of the backlog within one long run."""


AGED: Final = """
SELECT b.size, b.oldest_at, extract(epoch FROM now() - b.oldest_at)::float8
  FROM ({}) AS b (size, oldest_at)"""


class StuckQueueError(DozorError):
    """A batch was processed and claimed again: `process` does not move items out of `claim`."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Items that fall due. The SQL is plain, `id` is a bigint.

    claim: ids that are due, oldest first, at most $1, `FOR UPDATE SKIP LOCKED`.
    backlog: one row `(size, oldest_at)` of what is due.
    set_aside: takes item $1 out of `claim` for good.
    process: acts on the claimed ids, within the transaction. Returns the ids it found impossible and did not
    touch, each with the reason.
    """

    name: str
    item: str
    """One of them, as people call it: "auction"."""
    claim: str
    backlog: str
    set_aside: str
    process: Process


async def drain(
    ctx: CheckerContext,
    queue: Queue,
    *,
    batch: int = 2000,
    workers: int = 1,
    behind_after: float | None = None,
    report: bool = True,
) -> int:
    """Process what is due until nothing is left, or until the runner wants to stop. Returns how many items.

    `workers`: batches at a time, each on its own connection, while there is work for them.
    `behind_after`: seconds an item may wait before an incident opens. `report=False` for a queue that is not
    the checker's main one: its backlog and progress are not the task's. Raises what PostgreSQL raises when it
    is not about a row, and StuckQueueError.
    """
    start = await measure(ctx, queue)
    run = Drain(ctx, queue, batch, behind_after, start.size, report=report)
    await run.tell(start)
    await together([run.work() for _ in range(min(workers, -(-start.size // batch)))])
    await announce(ctx, queue.name)
    if run.done:
        await run.tell(await measure(ctx, queue))
    return run.done


class Drain:
    """One run over a queue, shared by its workers."""

    def __init__(
        self,
        ctx: CheckerContext,
        queue: Queue,
        batch: int,
        behind_after: float | None,
        size: int,
        *,
        report: bool,
    ) -> None:
        self._ctx = ctx
        self._queue = queue
        self._batch = batch
        self._behind_after = behind_after
        self._size = size
        self._report = report
        self._measured_at = asyncio.get_running_loop().time()
        self.done = 0

    async def work(self) -> None:
        """Batch after batch until nothing is left to claim."""
        before: Sequence[int] = ()
        while not self._ctx.stopping.is_set():
            ids = await take_batch(self._ctx, self._queue, self._batch)
            if not ids:
                return
            if ids == before:
                raise StuckQueueError(msg("error-stuck-queue", name=self._queue.name, count=len(ids)))
            before = ids
            self.done += len(ids)
            self._ctx.heartbeat()
            if self._report:
                self._ctx.progress(self.done, max(self.done, self._size))
            await self._measure_now_and_then()

    async def _measure_now_and_then(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._measured_at > MEASURE_EVERY:
            self._measured_at = now
            await self.tell(await measure(self._ctx, self._queue))

    async def tell(self, backlog: Backlog) -> None:
        """Report the backlog, if this queue is the checker's main one."""
        if self._report:
            report_backlog(self._ctx, backlog, self._behind_after)


async def together(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run them side by side; the first error ends the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def measure(ctx: CheckerContext, queue: Queue) -> Backlog:
    """The backlog of the queue, now."""
    async with ctx.db.acquire() as connection:
        return await read_backlog(connection, queue.backlog)


async def read_backlog(connection: Connection, query: str, *args: object) -> Backlog:
    """Run a backlog query, `(size, oldest_at)`, and add the age by the database's clock."""
    sized = AGED.format(query)
    size, oldest_at, age = await connection.fetchrow(sized, *args)
    return Backlog(size, oldest_at, age)


async def take_batch(ctx: CheckerContext, queue: Queue, limit: int) -> Sequence[int]:
    """Claim and process one batch in one transaction. Returns the ids that left the queue."""
    for attempt in range(1, CONTENTION_RETRIES + 1):
        try:
            # SKIP LOCKED and the reads after it need fresh snapshots, whatever the database's default is.
            async with (
                ctx.db.acquire() as connection,
                connection.transaction(isolation="read_committed"),
            ):
                ids = [row[0] for row in await connection.fetch(queue.claim, limit)]
                if ids:
                    for item, reason in (await process_or_split(connection, queue.process, ids)).items():
                        await connection.execute(queue.set_aside, item)
                        await set_aside(connection, queue.name, f"{queue.item} {item}", reason)
                return ids
        except CONTENTION:
            if attempt == CONTENTION_RETRIES:
                raise
    return ()


async def process_or_split(
    connection: Connection,
    process: Callable[[Connection, Sequence[Item]], Awaitable[Mapping[Item, str]]],
    items: Sequence[Item],
) -> dict[Item, str]:
    """Process the items; when one makes the batch fail, halve it until that one is alone. Returns such items.

    Raises what is no fault of a row, such as an argument that asyncpg cannot encode.
    """
    try:
        async with connection.transaction():
            return dict(await process(connection, items))
    except POISON as error:
        if not of_a_row(error):
            raise
        if len(items) == 1:
            return {items[0]: f"{type(error).__name__}: {error}"}
    middle = len(items) // 2
    impossible = await process_or_split(connection, process, items[:middle])
    return impossible | await process_or_split(connection, process, items[middle:])


def of_a_row(error: BaseException) -> bool:
    """Whether PostgreSQL refused a row with `error`.

    False for errors of the program: a DataError that asyncpg raised while it encoded an argument (it carries
    no severity, because no server sent it) would come for every row alike.
    """
    return isinstance(error, POISON) and error.severity is not None
