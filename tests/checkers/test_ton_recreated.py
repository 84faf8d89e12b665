"""A wallet that was deleted and created anew, unreadable transactions, and several providers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from ton_core import Builder

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import OUR_JETTON_WALLET, Chain
from dozor_market.ton.agreement import pending
from dozor_market.ton.messages.arrival import AccountState
from tests.checkers.town import CENT, MINTED, MINTED_SHOWN, Town, fork, open_town

CUT_OFF = Builder().store_uint(0x7362D09C, 32).store_uint(7, 64).store_uint(0xF, 4).end_cell()
"""A transfer_notification that ends within its amount."""


@pytest.fixture
async def town(pool: Pool) -> AsyncIterator[Town]:
    async with open_town(pool) as town:
        yield town


def create_anew(chain: Chain, *values: int) -> None:
    """The account was deleted: its history begins again, the logical time goes on."""
    chain.entries.clear()
    chain.state = AccountState.NONEXIST
    for value in values:
        chain.transfer(value, "INV-1")
        chain.state = AccountState.UNINIT


async def test_an_account_created_anew_is_credited_when_two_providers_return_it(town: Town) -> None:
    town.chain.transfer(CENT, "INV-1")
    _, url = await town.provider()
    _, second = await town.provider()
    await town.check(url, second)
    create_anew(town.chain, 2 * CENT, 3 * CENT)
    for _ in range(2):
        await town.check(url, second)
    assert await town.balance() == 6 * CENT
    assert await town.cursor() == town.chain.entries[-1].lt
    assert await town.contradictions() == []
    assert await town.states() == []
    (text,) = [said for said, _ in town.context.alerts]
    assert "was deleted and created anew" in text


async def test_an_account_created_anew_many_pages_ago_is_read_from_its_new_start(town: Town) -> None:
    town.chain.transfer(CENT, "INV-1")
    served, url = await town.provider()
    other, second = await town.provider()
    await town.check(url, second)
    served.page_limit, other.page_limit = 3, 2
    create_anew(town.chain, *[CENT] * 11)
    await town.check(url, second)
    assert await town.balance() == 12 * CENT
    assert len(town.told("was deleted and created anew")) == 1


async def test_a_provider_that_lags_behind_the_deletion_contradicts_nobody(town: Town) -> None:
    town.chain.transfer(CENT, "INV-1")
    _, url = await town.provider()
    _, second = await town.provider()
    await town.check(url, second)
    behind = fork(town.chain)
    lost = behind.transfer(5 * CENT, "INV-1")  # in between, seen by one provider
    _, lagging = await town.provider(behind)
    town.chain.lt = behind.lt
    create_anew(town.chain, CENT, CENT)
    await town.check(url, lagging)
    assert await town.balance() == CENT
    assert await town.contradictions() == []
    assert await town.states() == ["unconfirmed"] * 3
    await town.check(url, lagging, second)
    assert await town.balance() == 3 * CENT
    assert await town.contradictions() == []
    # The new history says nothing about what was before it: a person decides, and nobody is called a liar.
    assert await town.states() == ["over_limit"]
    (text,) = town.told("before the wallet was created anew")
    assert lost.hash.hex() in text
    assert town.told("not in the history") == []
    async with town.pool.acquire() as connection:
        (held,) = await pending.read_pending(connection)
        await pending.approve(connection, held.id)
    assert await town.balance() == 8 * CENT


async def test_what_one_provider_returned_before_the_deletion_is_credited_when_two_return_it(
    town: Town,
) -> None:
    town.chain.transfer(CENT, "INV-1")
    _, url = await town.provider()
    _, second = await town.provider()
    await town.check(url, second)
    behind = fork(town.chain)
    behind.transfer(5 * CENT, "INV-1")
    olds = [(await town.provider(behind))[1] for _ in range(2)]
    town.chain.lt = behind.lt
    create_anew(town.chain, 2 * CENT)
    await town.check(olds[0], url, second)
    assert await town.states() == ["over_limit"]
    await town.check(url, second, *olds)
    assert await town.balance() == 8 * CENT
    assert await town.states() == ["credited"]


@pytest.mark.parametrize("first", ["the liar", "the honest ones"])
async def test_a_deletion_that_one_provider_invents_credits_nothing_and_is_a_contradiction_later(
    town: Town, first: str
) -> None:
    town.chain.transfer(CENT, "INV-1")
    honest = [(await town.provider())[1] for _ in range(2)]
    await town.check(*honest)
    lie = fork(town.chain)
    town.chain.transfer(CENT, "INV-1")
    lie.lt = town.chain.lt
    create_anew(lie, MINTED)
    _, lying = await town.provider(lie)
    await town.check(lying, honest[0])
    assert await town.balance() == CENT  # of the honest one's too: nobody confirms it
    urls = [lying, *honest] if first == "the liar" else [*honest, lying]
    for _ in range(2):
        await town.check(*urls)
    assert await town.balance() == 2 * CENT
    assert await town.cursor() == town.chain.entries[-1].lt
    assert town.told("created anew") == []
    town.chain.transfer(CENT, "INV-1")
    town.chain.transfer(CENT, "INV-1")
    await town.check(*urls)
    assert await town.balance() == 2 * CENT
    (text,) = town.told("contradict each other")
    assert MINTED_SHOWN in text
    await town.check(*honest)
    assert await town.balance() == 4 * CENT
    assert await town.states() == ["refuted"]


@pytest.mark.parametrize("first", ["the liar", "the honest one"])
async def test_an_unreadable_transaction_of_one_provider_neither_moves_the_cursor_nor_is_set_aside(
    town: Town, first: str
) -> None:
    town.chain.transfer(CENT, "INV-1")
    lie = fork(town.chain)
    lie.transfer(CENT, sender=OUR_JETTON_WALLET, body=CUT_OFF)
    _, lying = await town.provider(lie)
    _, url = await town.provider()
    urls = [lying, url] if first == "the liar" else [url, lying]
    for _ in range(2):
        await town.check(*urls)
    assert await town.cursor() == town.chain.entries[-1].lt
    assert await town.balance() == CENT
    assert await town.pool.fetchval("SELECT count(*) FROM dozor.quarantine") == 0
    _, second = await town.provider(lie)
    for _ in range(2):
        await town.check(lying, second)  # two return it: it is true, and set aside for a person
    assert await town.cursor() == lie.entries[-1].lt
    assert await town.pool.fetchval("SELECT count(*) FROM dozor.quarantine") == 1
