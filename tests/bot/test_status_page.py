"""Pages of `/status`: the database sorts and counts as the program does."""

from __future__ import annotations

from itertools import product

from dozor.control.queries.status import read_status
from dozor.control.queries.status_page import BROKEN, health, read_page
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from tests.bot.executor import Executor


async def test_the_database_and_the_program_agree_on_health_and_order(pool: Pool, executor: Executor) -> None:
    for number, (state, failures) in enumerate(product(State, (0, 2))):
        await executor.add(f"task_{number}", state, failures)
    async with pool.acquire() as connection:
        everything = (await read_status(connection)).tasks
        page = await read_page(connection, 0, 100, failing=False)
        broken = await read_page(connection, 0, 100, failing=True)
    expected = sorted(everything, key=lambda task: (health(task), task.failing_since or float("inf")))
    assert [task.name for task in page.report.tasks] == [task.name for task in expected]
    assert dict(page.counts) == {kind: sum(health(t) is kind for t in everything) for kind in page.counts}
    assert [t.name for t in broken.report.tasks] == [t.name for t in expected if health(t) in BROKEN]


async def test_pages_are_cut_and_one_that_is_no_more_is_the_last(pool: Pool, executor: Executor) -> None:
    async with pool.acquire() as connection:
        empty = await read_page(connection, 5, 10, failing=False)
        assert (empty.number, empty.pages, empty.total, empty.report.tasks) == (0, 1, 0, ())
    await executor.add_all([f"task_{number:02}" for number in range(21)])
    async with pool.acquire() as connection:
        sizes = [len((await read_page(connection, n, 10, failing=False)).report.tasks) for n in range(4)]
        assert sizes == [10, 10, 1, 1]
        assert (await read_page(connection, 9, 10, failing=False)).number == 2
