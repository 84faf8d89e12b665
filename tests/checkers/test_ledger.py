"""The ledger refuses, in the database itself, whatever would make or lose money."""

from __future__ import annotations

import asyncpg
import pytest

from dozor.storage.postgres.pool import Pool
from dozor_market.ledger import (
    MAX_AMOUNT,
    AccountKind,
    AlreadyPostedError,
    AmountError,
    InsufficientFundsError,
    LedgerError,
    Posting,
    audit,
    check_amount,
    create_user,
    post,
    read_balance,
    transfer,
)
from tests.checkers.stage import purse, rich_user

FREE, HELD, OUTSIDE = AccountKind.AVAILABLE, AccountKind.HELD, AccountKind.EXTERNAL
PLEDGED = AccountKind.COLLATERAL
MOVE = "WITH m AS (INSERT INTO market.movements (reference) VALUES ('by hand') RETURNING id) "
PAIR = (
    " JOIN (VALUES ('held', 5), ('collateral', -5)) AS s (kind, amount) USING (kind) WHERE currency = 'TON'"
)
SIDES = "INSERT INTO market.postings SELECT m.id, a.id, a.currency, s.amount FROM m, market.accounts a, "


async def test_a_movement_is_posted_once_and_a_second_time_refused(pool: Pool) -> None:
    async with pool.acquire() as connection:
        user = await rich_user(connection, "ann", 100)
        await transfer(connection, "move:1", "TON", 30, source=(user, FREE), target=(user, PLEDGED))
        with pytest.raises(AlreadyPostedError):
            await transfer(connection, "move:1", "TON", 30, source=(user, FREE), target=(user, PLEDGED))
        assert await purse(connection, user) == {"available": 70, "held": 0, "collateral": 30}
        assert await audit(connection) == []


async def test_an_unbalanced_movement_is_refused(pool: Pool) -> None:
    async with pool.acquire() as connection:
        user = await rich_user(connection, "ann", 100)
        with pytest.raises(LedgerError, match="not balanced"):
            await post(connection, "move:1", "TON", [Posting(user, FREE, -10), Posting(user, HELD, 9)])
        with pytest.raises(LedgerError, match="no postings"):
            await post(connection, "move:1", "TON", [])


async def test_nothing_goes_below_zero_but_the_world_outside(pool: Pool) -> None:
    async with pool.acquire() as connection:
        user = await rich_user(connection, "ann", 100)
        with pytest.raises(InsufficientFundsError):
            await transfer(connection, "move:1", "TON", 101, source=(user, FREE), target=(user, HELD))
        assert await read_balance(connection, None, OUTSIDE, "TON") == -100


async def test_an_account_that_does_not_exist_or_has_another_currency_is_refused(pool: Pool) -> None:
    async with pool.acquire() as connection:
        user = await rich_user(connection, "ann", 100)
        with pytest.raises(LedgerError, match="no such account"):
            await transfer(connection, "move:1", "TON", 1, source=(user, FREE), target=(10**9, FREE))
        with pytest.raises(LedgerError, match="no such account"):
            await transfer(connection, "move:1", "BTC", 1, source=(user, FREE), target=(user, HELD))
        with pytest.raises(LedgerError):
            await read_balance(connection, 10**9, FREE, "TON")


@pytest.mark.parametrize("amount", [0, -5, 2**63, 0.5, True, None])
async def test_only_positive_bigints_are_amounts(pool: Pool, amount: int) -> None:
    async with pool.acquire() as connection:
        user = await create_user(connection, "ann")
        with pytest.raises(AmountError):
            await transfer(connection, "move:1", "TON", amount, source=(None, OUTSIDE), target=(user, FREE))


def test_the_largest_amount_is_that_of_a_bigint() -> None:
    assert check_amount(9_223_372_036_854_775_807) == MAX_AMOUNT
    with pytest.raises(AmountError):
        check_amount(9_223_372_036_854_775_808)


async def test_a_balance_beyond_bigint_is_refused(pool: Pool) -> None:
    async with pool.acquire() as connection:
        user = await rich_user(connection, "ann", MAX_AMOUNT)
        with pytest.raises(AmountError):
            await transfer(connection, "move:1", "TON", 1, source=(None, OUTSIDE), target=(user, FREE))
        assert await audit(connection) == []


EDITS = [
    "UPDATE market.accounts SET balance = balance + 1",
    "UPDATE market.accounts SET user_id = 2 WHERE user_id = 1",
    "DELETE FROM market.accounts",
    "UPDATE market.postings SET amount = amount * 2",
    "DELETE FROM market.postings",
    "TRUNCATE market.postings",
    "UPDATE market.movements SET reference = reference || '!'",
    "DELETE FROM market.movements",
    "TRUNCATE market.movements CASCADE",
    "INSERT INTO market.accounts (kind, currency, balance) SELECT 'collateral', 'TON', 5",
    "INSERT INTO market.movements (reference) VALUES ('empty')",
    # a balanced pair added to a movement that is already there
    "INSERT INTO market.postings SELECT 1, a.id, 'TON', s.amount FROM market.accounts a" + PAIR,
    # a movement that nobody wrote
    "INSERT INTO market.postings SELECT 999, a.id, 'TON', s.amount FROM market.accounts a" + PAIR,
    # balanced over two currencies together, but not in each
    MOVE + SIDES + "(VALUES ('TON', 5), ('USDT', -5)) AS s (currency, amount)"
    " WHERE a.kind = 'external' AND a.currency = s.currency",
    # an amount in another currency than the account's
    MOVE + "INSERT INTO market.postings SELECT m.id, a.id, 'USDT', s.amount FROM m, market.accounts a" + PAIR,
]


async def test_the_ledger_cannot_be_edited_by_hand(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await rich_user(connection, "ann", 100)
        for statement in EDITS:
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):  # noqa: PT012 -- names the statement
                await connection.execute(statement)
                pytest.fail(statement)
            assert await audit(connection) == [], statement


async def test_the_audit_names_what_is_set_aside_without_a_hold(pool: Pool) -> None:
    async with pool.acquire() as connection:
        user = await rich_user(connection, "ann", 100)
        await transfer(connection, "move:1", "TON", 30, source=(user, FREE), target=(user, HELD))
        (fault,) = await audit(connection)
        assert "30" in fault


async def test_a_new_currency_gives_everybody_accounts_in_it(pool: Pool) -> None:
    async with pool.acquire() as connection:
        user = await rich_user(connection, "ann", 100)
        await connection.execute("INSERT INTO market.currencies (code, decimals) VALUES ('NOT', 9)")
        await transfer(connection, "gift", "NOT", 7, source=(None, OUTSIDE), target=(user, FREE))
        assert (await purse(connection, user, "NOT"))["available"] == 7


async def test_every_table_and_column_of_the_market_is_documented(pool: Pool) -> None:
    undocumented = await pool.fetch("""
        SELECT c.relname, a.attname FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = 'market'::regnamespace AND c.relkind IN ('r', 'v')
           AND c.relname <> 'schema_migrations'
           AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)""")
    assert [tuple(row) for row in undocumented] == []
