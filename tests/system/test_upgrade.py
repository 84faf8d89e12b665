"""The upgrade of a database that version 0.1 left in the middle of its work, and the way back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from dozor.storage.postgres.migrate import SchemaReport
from dozor.storage.postgres.pool import Pool, connect, create_pool, disconnect
from dozor_market.ledger import audit
from tests import version_0_1
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.system.stage import QUICK, Stage
from tests.system.telegram import chat_has, section
from tests.templates import Templates

PAYOUTS: dict[str, Any] = {
    "run": "scripted:obey",
    "every": "1s",
    "restart_delay": {"initial": "1s", "factor": 6, "max": "60s"},
    "max_consecutive_failures": 5,
}
"""As version 0.1 had it: its fourth run comes 36 s after the third failure, 5 s after `old_database` is made;
the fifth a minute later."""
AUCTIONS: dict[str, Any] = {
    "run": "dozor_market.auctions:check_auctions",
    "every": "100ms",
    "requires": ["database"],
}
TASKS = {"payouts": PAYOUTS, "auctions": AUCTIONS}
TAKEN_OVER = "taken over from version 0.1: market/"
MARKET_ROWS = """
SELECT 'account', id, balance::text FROM market.accounts
UNION ALL SELECT 'auction', id, state FROM market.auctions
UNION ALL SELECT 'bid', id, state FROM market.bids
UNION ALL SELECT 'presale', id, state FROM market.presales
UNION ALL SELECT 'deposit', id, state || amount FROM market.deposits
UNION ALL SELECT 'movement', id, reference FROM market.movements
UNION ALL SELECT 'cursor', 1, position::text FROM dozor.cursors
ORDER BY 1, 2"""


@pytest.fixture
async def old_database(empty_database: str) -> str:
    """DSN of a database that a version 0.1 has left which was killed half a minute ago."""
    await version_0_1.build(empty_database)
    await version_0_1.fill(empty_database, ago=timedelta(seconds=30))
    return empty_database


async def market_rows(pool: Pool) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await pool.fetch(MARKET_ROWS)]


@pytest.mark.timeout(300)
async def test_streak_incident_message_and_money_go_on_after_the_upgrade(
    stage: Stage, telegram: BotApi, old_database: str
) -> None:
    pool = await create_pool(old_database, max_size=2)
    stage.write(TASKS, url=old_database, language="en", telegram=section(telegram))
    stage.order("payouts", "fail provider is away")
    before = await market_rows(pool)

    # The runner of a foreign database names the command and changes nothing.
    refused = await stage.cli("run")
    assert refused.code == 1
    assert "4 to be taken over from version 0.1): run `dozor migrate` first" in refused.text
    check = await stage.cli("migrate", "--check")
    assert (check.code, check.text.count(f"to be {TAKEN_OVER}")) == (1, 4)
    done = await stage.cli("migrate")
    print(done.text)
    assert (done.code, done.text.count(TAKEN_OVER)) == (0, 4)
    again = await stage.cli("migrate", "--check")
    assert (again.code, again.text.strip()) == (0, "The schema is up to date")

    process = await stage.watch()
    await process.says("(attempt 4/5): provider is away", within=90)  # 3 of 5 by version 0.1
    await chat_has(telegram, "⚠️ payouts: ", within=90)
    delivered = (
        "SELECT state = 'delivered' FROM dozor.notifications WHERE id = 2"  # pending since version 0.1
    )
    await until_true(pool, delivered, within=30)
    counted = "SELECT consecutive_failures = 4 FROM dozor.tasks WHERE name = 'payouts'"
    await until_true(pool, counted, within=30)
    assert await pool.fetchval("SELECT state FROM dozor.incidents WHERE id = 1") == "open"

    stage.order("payouts", "succeed")
    assert (await stage.cli("restart", "payouts")).code == 0
    resolved = "SELECT state = 'resolved' FROM dozor.incidents WHERE id = 1"
    await until_true(pool, resolved, within=30)
    told = """
        SELECT count(*) = 1 FROM dozor.notifications
        WHERE incident_id = 1 AND kind = 'recovered' AND state = 'delivered'"""
    await until_true(pool, told, within=30)
    ran = "SELECT runs_total > 20 AND state <> 'stopped' FROM dozor.tasks WHERE name = 'auctions'"
    await until_true(pool, ran, within=30)
    after = await market_rows(pool)
    assert set(before) <= set(after)
    added = {(kind, state) for kind, _, state in set(after) - set(before)}
    assert added <= {("account", "0")}, "new kinds of account, nothing in them"

    # The marketplace goes on with its rows: the auction that was open is settled with the bid that was held.
    await pool.execute("UPDATE market.auctions SET ends_at = now() WHERE id = 1")
    await until_true(pool, "SELECT state = 'settled' FROM market.auctions WHERE id = 1", within=30)
    deposit = await stage.cli("attribute", "1", "3")
    assert deposit.code == 0, deposit.text
    assert await process.stop() == 0
    async with pool.acquire() as connection:
        assert await audit(connection) == []
    pool.terminate()


@pytest.mark.timeout(300)
async def test_the_way_back_version_0_1_accepts_the_database_and_the_upgrade_may_be_repeated(
    stage: Stage, old_database: str
) -> None:
    stage.write(TASKS, url=old_database)
    stage.order("payouts", "fail provider is away")
    pool = await create_pool(old_database, max_size=2)
    assert (await stage.cli("migrate")).code == 0
    process = await stage.watch()
    await process.says("(попытка 4/5)", within=90)
    process.kill()
    async with pool.acquire() as connection:
        assert await version_0_1.judged(connection) == SchemaReport()
        # Version 0.1 starts here. It does not know market.schema_migrations.
        await connection.execute("INSERT INTO market.users (name) VALUES ('while 0.1 was back')")
    assert (await stage.cli("migrate", "--check")).code == 0
    again = await stage.watch()
    assert await again.stop() == 0
    assert await pool.fetchval("SELECT count(*) FROM market.users") == 4
    pool.terminate()


async def test_a_migration_that_is_killed_in_the_middle_of_the_take_over_is_repeated(
    stage: Stage, old_database: str
) -> None:
    stage.write(TASKS, url=old_database, language="en")
    observer = await connect(old_database, statement_cache=False)
    blocker = await connect(old_database, statement_cache=False)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("CREATE TABLE market.schema_migrations (number integer)")
    process = stage.start(*stage.command("migrate"))
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(30):
        while not await observer.fetchval(waiting):
            assert process.alive, process.text
    process.kill()
    await transaction.rollback()
    async with asyncio.timeout(30):
        while await observer.fetchval(waiting):
            pass
    check = await stage.cli("migrate", "--check")
    assert check.text.count(TAKEN_OVER) == 4
    assert (await stage.cli("migrate")).code == 0
    assert (await stage.cli("migrate", "--check")).code == 0
    await disconnect(blocker)
    await disconnect(observer)


async def test_a_database_without_a_task_of_the_marketplace_has_no_schema_market(
    stage: Stage, templates: Templates
) -> None:
    templates.copy_plain(stage.folder / "pg")
    stage.write({"own": QUICK})
    process = await stage.watch()
    assert "Применена миграция 0001_runner.sql" in process.text
    pool = await create_pool(stage.embedded_dsn(), max_size=1)
    assert await pool.fetchval("SELECT to_regnamespace('market')") is None
    attribute = await stage.cli("attribute", "1", "1")
    assert attribute.code == 1
    assert "сначала выполните `dozor migrate --schema market`" in attribute.text
    assert "Traceback" not in attribute.text

    # A reload that adds such a task makes the schema first.
    stage.write({"own": QUICK, "auctions": AUCTIONS})
    answer = await stage.cli("reload")
    assert answer.code == 0, answer.text
    await process.says("Применена миграция market/0010_market.sql")
    ran = "SELECT runs_total > 1 AND failures_total = 0 FROM dozor.tasks WHERE name = 'auctions'"
    await until_true(pool, ran, within=30)
    pool.terminate()
    assert await process.stop() == 0


async def test_a_reload_that_needs_a_schema_of_a_foreign_database_is_refused_with_the_command(
    stage: Stage, database: str, pool: Pool
) -> None:
    stage.write({"own": QUICK}, url=database)
    process = await stage.watch()
    stage.write({"own": QUICK, "auctions": AUCTIONS}, url=database)
    answer = await stage.cli("reload")
    assert answer.code != 0
    await process.says("сначала выполните `dozor migrate`")
    assert await pool.fetchval("SELECT to_regnamespace('market')") is None
    runs = len(stage.runs("own"))
    await until_true(pool, "SELECT runs_total > 1 FROM dozor.tasks WHERE name = 'own'", within=30)
    assert (await stage.cli("migrate")).code == 0  # beside the runner
    assert (await stage.cli("reload")).code == 0
    await until_true(pool, "SELECT runs_total > 1 FROM dozor.tasks WHERE name = 'auctions'", within=30)
    assert len(stage.runs("own")) > runs
    assert await process.stop() == 0


async def test_the_schema_is_made_on_request(stage: Stage, empty_database: str) -> None:
    stage.write({"own": QUICK}, url=empty_database)
    assert "market" not in (await stage.cli("migrate")).text
    check = await stage.cli("migrate", "--check", "--schema", "market")
    assert (check.code, "надо применить: market/0014_deposits.sql" in check.text) == (1, True)
    done = await stage.cli("migrate", "--schema", "market")
    assert (done.code, "применена: market/0014_deposits.sql" in done.text) == (0, True)
    assert (await stage.cli("migrate", "--check", "--schema", "market")).code == 0
    unknown = await stage.cli("migrate", "--schema", "markt")
    assert (unknown.code, "известны: dozor, dozor_queue, market" in unknown.text) == (1, True)
