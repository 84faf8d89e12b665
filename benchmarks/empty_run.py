"""What a run costs the database when nothing is due, however much was settled before."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from benchmarks.place import Place, benchmark_place
from dozor.storage.postgres.pool import Connection
from dozor_market import auctions, presales
from dozor_market.auctions import check_auctions
from dozor_market.presales import check_presales
from tests.checkers.stage import StageContext

RUNS: Final = 200
# Settled rows, written without the ledger: an empty run does not look at it. Some auctions are still open,
# as in life, and none of those is due.
AUCTIONS: Final = """
INSERT INTO market.auctions (seller_id, currency, fee_bps, ends_at, state, closed_at, winning_bid_id)
SELECT 1, 'TON', 250, now() - interval '1 second' * n, 'settled', now(), n
  FROM generate_series($1::bigint, $2::bigint) AS n"""
OPEN: Final = """
INSERT INTO market.auctions (seller_id, currency, ends_at)
SELECT 1, 'TON', now() + interval '1 day' + interval '1 second' * n FROM generate_series(1, 10000) AS n"""
PRESALES: Final = """
INSERT INTO market.presales
       (seller_id, buyer_id, currency, price, deliver_by, state, closed_at, penalty_taken,
        payment_movement_id)
SELECT 1, 2, 'TON', 1, now() - interval '1 second' * n, 'overdue', now(), 0, n
  FROM generate_series($1::bigint, $2::bigint) AS n"""
STEP: Final = 1_000_000
QUERIES: Final = {
    "auctions backlog": auctions.BACKLOG,
    "auctions claim": auctions.CLAIM,
    "presales backlog": presales.BACKLOG,
    "presales claim": presales.CLAIM,
    "reminders backlog": presales.REMINDERS_BACKLOG,
}
ACTIVE: Final = "SELECT active_time FROM pg_stat_database WHERE datname = 'run'"
"""Milliseconds that backends of the database spent executing; a backend adds its own when it ends."""

GONE: Final = """
DO $$ BEGIN
    WHILE EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'run') LOOP
        PERFORM pg_sleep(0.05), pg_stat_clear_snapshot();
    END LOOP;
END $$"""

Checker = Callable[[StageContext], Coroutine[Any, Any, None]]


async def measure_empty_run(rows: int) -> None:
    """Fill both tables with `rows` settled rows, then run the checkers and ask the database what it cost."""
    async with benchmark_place() as place:
        await place.create("run")
        async with place.pool("run") as pool, pool.acquire() as connection:
            await fill_settled(connection, rows)
        for name, check in (("auctions", check_auctions), ("presales", check_presales)):
            spent = await cost(place, check)
            print(f"{name}: {spent:.3f} ms of database time an empty run, {rows} rows settled")
        async with place.pool("run") as pool, pool.acquire() as connection:
            for name, query in QUERIES.items():
                print(f"\n-- {name}")
                for row in await connection.fetch(
                    f"EXPLAIN (ANALYZE, BUFFERS) {query.replace('$1', '5000')}"
                ):
                    print(row[0])


async def fill_settled(connection: Connection, rows: int) -> None:
    await connection.execute("INSERT INTO market.users (name) VALUES ('seller'), ('buyer')")
    await connection.execute("SET session_replication_role = replica")  # no foreign keys: no movements here
    for first in range(1, rows + 1, STEP):
        last = min(first + STEP - 1, rows)
        await connection.execute(AUCTIONS, first, last, timeout=3600)
        await connection.execute(PRESALES, first, last, timeout=3600)
    await connection.execute(OPEN)
    await connection.execute("RESET session_replication_role")
    await connection.execute("VACUUM (ANALYZE) market.auctions", timeout=3600)
    await connection.execute("VACUUM (ANALYZE) market.presales", timeout=3600)


async def cost(place: Place, check: Checker) -> float:
    """Milliseconds of the database's time that one run takes, transactions' begins and ends included."""
    async with place.pool("postgres") as watching:
        before = await watching.fetchval(ACTIVE)
        async with place.pool("run") as pool:
            for _ in range(RUNS):
                await check(StageContext(pool))
        await watching.execute(GONE)
        return float(await watching.fetchval(ACTIVE) - before) / RUNS
