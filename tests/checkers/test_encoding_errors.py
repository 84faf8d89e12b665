"""An argument that asyncpg cannot encode is an error of the program: the run fails, no row is set aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from dozor.storage.postgres.pool import Connection, Pool
from dozor.toolkit import drain, process_or_split
from dozor.toolkit.batches import of_a_row
from dozor_market.auctions import AUCTIONS
from dozor_market.bidding import create_auction
from dozor_market.demo.chain import raw
from dozor_market.ton.crediting import book
from dozor_market.ton.messages.transactions import read_transaction
from dozor_market.ton.providers.port import to_cell
from dozor_market.ton.reader import Wallet
from tests.checkers.stage import StageContext, rich_user
from tests.checkers.town import open_town

LATER = datetime(2100, 1, 1, tzinfo=UTC)
UNENCODABLE = [
    ("SELECT $1::bigint", "17"),
    ("SELECT $1::bigint", 2**70),
    ("SELECT $1::bigint[]", [1, None, "x"]),
    ("SELECT $1::bigint[]", 5),
    ("SELECT $1::text", 5),
    ("SELECT $1::text", "\ud800"),
    ("SELECT $1::timestamptz", "now"),
    ("SELECT $1::numeric", "x"),
    ("SELECT $1::bytea", "x"),
]


async def test_an_encoding_error_fails_the_run_and_quarantines_nothing(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller = await rich_user(connection, "seller", 0)
        for _ in range(5):
            await create_auction(connection, seller, "TON", LATER)
        await connection.execute("UPDATE market.auctions SET ends_at = now()")
    context = StageContext(pool)
    for query, argument in UNENCODABLE:
        called: list[int] = []

        async def process(
            connection: Connection,
            ids: Sequence[int],
            called: list[int] = called,
            query: str = query,
            argument: Any = argument,
        ) -> Mapping[int, str]:
            called.append(len(ids))
            await connection.fetchval(query, argument)
            return {}

        with pytest.raises((asyncpg.DataError, asyncpg.InterfaceError)):
            await drain(context, replace(AUCTIONS, process=process))
        assert called == [5], (query, argument)  # not halved
    assert context.alerts == []
    assert await pool.fetchval("SELECT count(*) FROM dozor.quarantine") == 0
    assert await pool.fetchval("SELECT count(*) FROM market.auctions WHERE state = 'open'") == 5


async def test_what_the_server_refuses_is_still_the_rows_fault(pool: Pool) -> None:
    async def process(connection: Connection, items: Sequence[int]) -> Mapping[int, str]:
        await connection.fetchval("SELECT sum(10 / n) FROM unnest($1::bigint[]) AS n", items)
        return {}

    async with pool.acquire() as connection:
        assert list(await process_or_split(connection, process, [1, 0, 2])) == [0]
        with pytest.raises(asyncpg.CharacterNotInRepertoireError) as refused:
            await connection.fetchval("SELECT $1::text", "a\0b")
        assert of_a_row(refused.value)
    assert not of_a_row(asyncpg.DataError("invalid input for query argument $1"))
    assert not of_a_row(ValueError())


async def test_a_dust_limit_that_cannot_be_encoded_sets_no_transaction_aside(pool: Pool) -> None:
    """Before, each deposit was set aside and the cursor moved on: the money was lost until a rescan."""
    async with open_town(pool) as town:
        for _ in range(3):
            town.chain.transfer(5 * 10**9, "INV-1")
        _, url = await town.provider()
        for wrong in ({"TON": None}, {"TON": "5"}, {"TON": 2**70}, {"TON": 1.5}, {"TON": True}, [5]):
            with pytest.raises(Exception, match="dust"):
                await town.check(url, dust=wrong)
        assert await pool.fetchval("SELECT count(*) FROM dozor.quarantine") == 0
        wallet = Wallet(raw(town.chain.address), None, 0, {})
        async with pool.acquire() as connection:
            receipts = [
                read_transaction(to_cell(entry.data), wallet.address, {}) for entry in town.chain.entries
            ]
            with pytest.raises(asyncpg.DataError):
                await book(connection, wallet, receipts, {"TON": "5"})  # type: ignore[dict-item]
        await town.check(url)
        assert await town.balance() == 15 * 10**9
