"""The tasks of a configuration in the database: what a start with thousands of them writes and compares."""

from __future__ import annotations

from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import tasks
from dozor.storage.tables.tasks import DECLARE_SQL, LOAD_SQL, UNDECLARE_SQL, TaskDeclaration

XMAX_SQL = "SELECT name, xmin::text, xmax::text, ctid::text FROM dozor.tasks ORDER BY name"

SHOWN_SQL = "SELECT name, configured, position, schedule FROM dozor.tasks ORDER BY name"


def _declared(name: str, schedule: str = "every 1s") -> TaskDeclaration:
    return TaskDeclaration(name=name, description="", schedule=schedule, max_consecutive_failures=5)


async def test_a_start_with_the_same_tasks_writes_and_locks_no_row(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await tasks.declare(connection, [_declared("one"), _declared("two")])
        before = await connection.fetch(XMAX_SQL)
        await tasks.declare(connection, [_declared("one"), _declared("two")])
        assert await connection.fetch(XMAX_SQL) == before


async def test_only_what_has_changed_is_written(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await tasks.declare(connection, [_declared("one"), _declared("two"), _declared("three")])
        before = {row["name"]: row for row in await connection.fetch(XMAX_SQL)}
        await tasks.declare(connection, [_declared("one"), _declared("two", "every 2s"), _declared("four")])
        after = {row["name"]: row for row in await connection.fetch(XMAX_SQL)}
        assert after["one"] == before["one"]
        assert after["two"] != before["two"]
        shown = await connection.fetch(
            "SELECT name, configured, position, schedule FROM dozor.tasks ORDER BY name"
        )
        assert [tuple(row) for row in shown] == [
            ("four", True, 2, "every 1s"),
            ("one", True, 0, "every 1s"),
            ("three", False, 2, "every 1s"),
            ("two", True, 1, "every 2s"),
        ]


async def test_a_task_that_comes_back_is_configured_again(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await tasks.declare(connection, [_declared("one")])
        await tasks.declare(connection, [])
        assert not await connection.fetchval("SELECT configured FROM dozor.tasks")
        await tasks.declare(connection, [_declared("one")])
        assert await connection.fetchval("SELECT configured FROM dozor.tasks")


async def test_no_statement_of_the_start_compares_every_row_with_every_name(pool: Pool) -> None:
    """The runner's session has generic plans, in which a list of names is searched from its beginning."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        for number, (statement, given) in enumerate(((DECLARE_SQL, 5), (UNDECLARE_SQL, 1), (LOAD_SQL, 1))):
            await connection.execute(f"PREPARE declared_{number} AS {statement}")
            arguments = ", ".join(["'{}'"] * given)
            rows = await connection.fetch(f"EXPLAIN EXECUTE declared_{number}({arguments})")
            await connection.execute(f"DEALLOCATE declared_{number}")
            plan = [row[0] for row in rows]
            assert any("Join" in line or "Nested Loop" in line for line in plan), plan
            assert not any("ANY (" in line or "ALL (" in line for line in plan), plan
