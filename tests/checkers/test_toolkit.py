"""The toolkit, by way of the example in docs/checkers.md, executed as it is printed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from dozor.storage.postgres.pool import Connection, Pool, create_pool
from dozor.supervision.runs.context import Context
from dozor.toolkit import (
    Queue,
    drain,
    move_cursor,
    read_cursor,
    start_cursor,
)
from dozor.toolkit.batches import StuckQueueError
from dozor.toolkit.context import CheckerContext
from tests.checkers.stage import StageContext

DOCUMENT = Path(__file__).parents[2] / "docs" / "checkers.md"
SHOP = """
CREATE SCHEMA shop;
CREATE TABLE shop.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, address text NOT NULL, due_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'new', shipped_at timestamptz, weight integer);
INSERT INTO shop.orders (address, due_at)
SELECT CASE WHEN n % 10 = 3 THEN '' ELSE 'street ' || n END, now() - interval '1 minute' * n
  FROM generate_series(1, 50) AS n
 UNION ALL SELECT 'later', now() + interval '1 day'"""
COUNTS = "SELECT state, count(*) FROM shop.orders GROUP BY state"


def example() -> str:
    """The first Python block of the document."""
    found = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def shop() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(example(), "docs/checkers.md", "exec"), names)
    return names


async def counts(pool: Pool) -> dict[str, int]:
    return dict(await pool.fetch(COUNTS))


def given_to_checkers(context: Context) -> CheckerContext:
    """The type checker's word that the runner's Context is what the checkers here expect."""
    return context


def test_the_example_is_about_thirty_lines() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 30


async def test_the_example_ships_what_is_due_and_sets_the_rest_aside_with_one_alert(
    pool: Pool, shop: dict[str, Any]
) -> None:
    await pool.execute(SHOP)
    context = StageContext(pool)
    await shop["check_orders"](context, batch=7)
    assert await counts(pool) == {"shipped": 45, "quarantined": 5, "new": 1}
    aside = [text for text, _ in context.alerts if "set aside" in text]
    assert len(aside) == 1
    assert "order 3: it has no address" in aside[0]
    assert (context.backlogs[-1], context.done[-1], context.beats) == ((0, None), (50, 50), 8)
    await shop["check_orders"](context)
    assert len(context.alerts) == 1


async def test_several_processes_share_a_queue(pool: Pool, shop: dict[str, Any]) -> None:
    await pool.execute(SHOP)
    await asyncio.gather(*(shop["check_orders"](StageContext(pool), batch=3) for _ in range(4)))
    assert await counts(pool) == {"shipped": 45, "quarantined": 5, "new": 1}
    assert await pool.fetchval("SELECT count(DISTINCT item) FROM dozor.quarantine") == 5


def queue(shop: dict[str, Any], process: Any) -> Queue:
    orders: Queue = shop["ORDERS"]
    return Queue(orders.name, orders.item, orders.claim, orders.backlog, orders.set_aside, process)


async def test_rows_that_postgresql_refuses_are_found_by_halving(pool: Pool, shop: dict[str, Any]) -> None:
    await pool.execute(SHOP)
    calls: list[int] = []

    async def weigh(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
        calls.append(len(ids))
        await connection.execute(
            "UPDATE shop.orders SET state = 'shipped', weight = 100 / (id % 25) WHERE id = ANY($1)", ids
        )
        return {}

    context = StageContext(pool)
    await drain(context, queue(shop, weigh), batch=50)
    assert await counts(pool) == {"shipped": 48, "quarantined": 2, "new": 1}
    assert len(calls) < 30
    assert "order 25: DivisionByZeroError" in context.alerts[0][0]
    assert "order 50: DivisionByZeroError" in context.alerts[0][0]


async def test_an_error_of_the_program_fails_the_run_and_rolls_the_batch_back(
    pool: Pool, shop: dict[str, Any]
) -> None:
    await pool.execute(SHOP)

    async def fail(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
        await connection.execute("UPDATE shop.orders SET state = 'shipped' WHERE id = ANY($1)", ids)
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await drain(StageContext(pool), queue(shop, fail), workers=3, batch=5)
    assert await counts(pool) == {"new": 51}


async def test_a_process_that_moves_nothing_on_is_stopped(pool: Pool, shop: dict[str, Any]) -> None:
    await pool.execute(SHOP)

    async def idle(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
        return {}

    with pytest.raises(StuckQueueError):
        await drain(StageContext(pool), queue(shop, idle))


async def test_a_deadlock_is_tried_again(pool: Pool, shop: dict[str, Any]) -> None:
    await pool.execute(SHOP)
    left = 3

    async def contended(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
        nonlocal left
        left -= 1
        if left >= 0:
            raise asyncpg.DeadlockDetectedError("somebody else was first")
        return dict(await shop["ship"](connection, ids))

    await drain(StageContext(pool), queue(shop, contended))
    assert await counts(pool) == {"shipped": 45, "quarantined": 5, "new": 1}

    async def hopeless(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
        raise asyncpg.DeadlockDetectedError("for ever")

    await pool.execute("UPDATE shop.orders SET state = 'new'")
    with pytest.raises(asyncpg.DeadlockDetectedError):
        await drain(StageContext(pool), queue(shop, hopeless))


async def test_a_checker_that_succeeds_and_processes_nothing_says_how_late_it_is(
    pool: Pool, shop: dict[str, Any]
) -> None:
    await pool.execute(SHOP)
    await pool.execute("UPDATE shop.orders SET address = 'street'")
    context = StageContext(pool)
    context.stopping.set()  # it succeeds, and processes nothing
    await drain(context, shop["ORDERS"], behind_after=timedelta(minutes=45).total_seconds())
    assert context.limits[-1] == 2700
    assert context.backlogs[-1][0] == 50
    assert context.backlogs[-1][1] == await pool.fetchval("SELECT min(due_at) FROM shop.orders")
    context.stopping.clear()
    await drain(context, shop["ORDERS"], behind_after=2700)
    assert context.backlogs[-1] == (0, None)


async def test_an_alert_that_could_not_be_handed_over_is_handed_over_by_the_next_run(
    pool: Pool, shop: dict[str, Any]
) -> None:
    await pool.execute(SHOP)
    context = StageContext(pool)

    def refuse(text: str, severity: str = "warning") -> None:
        raise ConnectionError("the runner is gone")

    context.alert = refuse  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await drain(context, shop["ORDERS"])
    after = StageContext(pool)
    await drain(after, shop["ORDERS"])
    assert ["set aside" in text for text, _ in after.alerts] == [True]


async def test_many_items_are_counted_rather_than_named(pool: Pool, shop: dict[str, Any]) -> None:
    await pool.execute(SHOP)
    await pool.execute("UPDATE shop.orders SET address = ''")
    context = StageContext(pool)
    await drain(context, shop["ORDERS"])
    assert context.alerts[0][0].endswith("and 30 more in dozor.quarantine")
    assert len(context.alerts[0][0].splitlines()) == 22


async def test_a_cursor_is_locked_while_it_is_read_and_moves_with_what_was_kept(
    pool: Pool, database: str
) -> None:
    other = await create_pool(database, min_size=1, max_size=1)
    async with pool.acquire() as connection, other.acquire() as second:
        assert await read_cursor(connection, "feed") is None
        await start_cursor(connection, "feed", {"page": 1})
        await start_cursor(connection, "feed", {"page": 9})
        transaction = connection.transaction()
        await transaction.start()
        assert await read_cursor(connection, "feed") == {"page": 1}
        waiting = asyncio.create_task(read_cursor(second, "feed"))
        await move_cursor(connection, "feed", {"page": 2})
        assert not waiting.done()
        await transaction.commit()
        assert await waiting == {"page": 2}
        transaction = connection.transaction()
        await transaction.start()
        await move_cursor(connection, "feed", {"page": 3})
        await transaction.rollback()
        assert await read_cursor(connection, "feed") == {"page": 2}
    await other.close()
