"""Deposits with a single provider: trusted up to a limit; above it a person or a second provider decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from loguru import logger
from ton_core import Address

from dozor.errors import Fatal
from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import Chain, raw
from dozor_market.ton_deposits import check_transactions
from tests.checkers.stage import StageContext
from tests.checkers.town import CENT, DOWN, MINTED, Town, fork, open_town


@pytest.fixture
async def town(pool: Pool) -> AsyncIterator[Town]:
    async with open_town(pool) as town:
        yield town


async def test_entries_of_one_endpoint_are_one_provider(town: Town) -> None:
    lie = fork(town.chain)
    lie.transfer(MINTED, "INV-1")
    _, lying = await town.provider(lie)
    same = [lying, lying + "/", lying.replace("127.0.0.1", "localhost"), lying.replace("/api/v2", "/API/v2")]
    await town.check(*same)
    assert await town.balance() == 0
    assert await town.states() == ["over_limit"]  # one provider, so its limit applies


async def test_a_single_provider_is_trusted_up_to_a_limit_and_a_warning_says_so(town: Town) -> None:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    town.chain.transfer(1_000 * 10**9, "INV-1")
    town.chain.transfer(1_000 * 10**9 + 1, "INV-1")
    town.chain.jettons(5_000 * 10**6 + 1, "INV-1")
    town.chain.transfer(CENT, "INV-1")
    _, url = await town.provider()
    for _ in range(3):
        await town.check(url)
    logger.remove(sink)
    assert await town.balance() == 1_000 * 10**9 + CENT
    assert await town.balance("USDT") == 0
    assert await town.states() == ["over_limit"] * 2
    assert await town.cursor() == town.chain.entries[-1].lt
    (text,) = town.told("above the limit")
    ids = [row["id"] for row in await town.pool.fetch("SELECT id FROM market.ton_pending")]
    assert all(f"dozor market approve {one} or dozor market reject {one}" in text for one in ids)
    assert sum("is the only TON provider" in line for line in lines) == 1


async def test_many_small_transfers_do_not_get_around_the_limit_not_even_over_several_wallets(
    town: Town,
) -> None:
    other = Chain(address=Address((0, b"\x0e" * 32)))
    await town.pool.execute("INSERT INTO market.ton_wallets (address) VALUES ($1)", raw(other.address))
    toncenter, url = await town.provider()
    toncenter.chains[raw(other.address)] = other
    for _ in range(6):
        town.chain.transfer(CENT, "INV-1")
        other.transfer(CENT, "INV-1")
    limits: dict[str, Any] = {"single_source_window_limit": {"TON": 10 * CENT}}
    await asyncio.gather(*(town.check(url, **limits) for _ in range(3)))
    await town.check(url, **limits)
    assert await town.balance() == 10 * CENT
    assert await town.states() == ["over_limit"] * 2
    town.chain.transfer(CENT, "INV-1")
    await town.check(url, **limits)
    assert await town.balance() == 10 * CENT
    await town.pool.execute(
        "UPDATE market.ton_single_source_credits SET credited_at = credited_at - interval '25 hours'"
    )
    town.chain.transfer(CENT, "INV-1")
    await town.check(url, **limits)
    assert await town.balance() == 11 * CENT


async def test_a_transfer_over_the_limit_is_credited_once_a_second_provider_returns_it(town: Town) -> None:
    big = town.chain.transfer(5_000 * 10**9, "INV-1")
    _, url = await town.provider()
    await town.check(url)
    lie = fork(town.chain, 0)
    lie.transfer(MINTED, "INV-1")
    await town.check(url, DOWN)
    assert await town.balance() == 0
    assert await town.states() == ["over_limit"]
    _, second = await town.provider()
    for _ in range(2):
        await town.check(url, second)
    assert await town.balance() == 5_000 * 10**9
    assert await town.states() == ["credited"]
    assert await town.pool.fetchval("SELECT lt FROM market.deposits") == big.lt


async def test_a_process_that_ends_between_credit_and_pending_leaves_neither(town: Town) -> None:
    town.chain.transfer(CENT, "INV-1")
    town.chain.transfer(MINTED, "INV-1")
    _, url = await town.provider()
    await town.pool.execute(
        "CREATE FUNCTION market.fail() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;"
        " CREATE TRIGGER fail BEFORE INSERT ON market.ton_single_source_credits"
        " FOR EACH ROW EXECUTE FUNCTION market.fail()"
    )
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await town.check(url)
    assert (await town.balance(), await town.states(), await town.cursor()) == (0, [], 0)
    await town.pool.execute("DROP FUNCTION market.fail() CASCADE")
    await town.check(url)
    assert (await town.balance(), await town.states()) == (CENT, ["over_limit"])
    assert await town.cursor() == town.chain.entries[-1].lt


@pytest.mark.parametrize(
    "args",
    [
        {"single_source_limit": {"TON": -1}},
        {"single_source_limit": {"TON": 1.5}},
        {"single_source_limit": {"TON": True}},
        {"single_source_limit": 5},
        {"single_source_window_limit": {"TON": None}},
        {"single_source_window": 0},
        {"single_source_window": "1d"},
    ],
)
async def test_limits_that_make_no_sense_stop_the_task(pool: Pool, args: dict[str, Any]) -> None:
    with pytest.raises(Fatal, match="single_source"):
        await check_transactions(StageContext(pool), **args)
