"""Money that is no deposit, on the word of one provider: held back like deposits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dozor.storage.postgres.pool import Pool
from dozor_market.ledger import AccountKind, read_balance
from dozor_market.ton.agreement import pending
from tests.checkers.town import CENT, MINTED, MINTED_SHOWN, Town, fork, open_town

BIG = 2_000 * 10**9
"""Above the limit for one transfer on a single provider's word."""


@pytest.fixture
async def town(pool: Pool) -> AsyncIterator[Town]:
    async with open_town(pool) as town:
        yield town


async def house(town: Town, kind: AccountKind, currency: str = "TON") -> int:
    async with town.pool.acquire() as connection:
        return await read_balance(connection, None, kind, currency)


async def test_bounced_and_attached_ton_above_the_limit_of_a_single_provider_wait_for_a_person(
    town: Town,
) -> None:
    town.chain.transfer(BIG, bounced=True)
    town.chain.excesses(BIG + 1)
    town.chain.jettons(700, "INV-1", value=BIG + 2)
    town.chain.jettons(30, "INV-1")
    town.chain.excesses(3 * CENT)
    _, url = await town.provider()
    for _ in range(2):
        await town.check(url)
    assert await town.states() == ["over_limit"] * 3
    assert await house(town, AccountKind.OPERATING) == 1 + 3 * CENT
    assert await house(town, AccountKind.UNATTRIBUTED) == 0
    assert await town.balance("USDT") == 30
    assert await town.cursor() == town.chain.entries[-1].lt
    (text,) = town.told("above the limit")
    for shown in (
        "\n2000 TON to ",
        "\n2000.000000001 TON for the account operating to ",
        "\n0.0007 USDT, 2000.000000002 TON for the account operating to ",
    ):
        assert shown in text
    async with town.pool.acquire() as connection:
        rows = await pending.read_pending(connection)
        results = [await pending.approve(connection, row.id) for row in rows]
    assert "dozor market attribute" in results[0]
    assert results[1].endswith("for the account operating booked")
    assert results[2].endswith("credited")
    assert await house(town, AccountKind.OPERATING) == 1 + 3 * CENT + 2 * BIG + 3
    assert await house(town, AccountKind.UNATTRIBUTED) == BIG
    assert await town.balance("USDT") == 730
    assert await town.states() == ["credited"] * 3


async def test_a_second_provider_confirms_other_money_that_was_held_back(town: Town) -> None:
    town.chain.excesses(BIG)
    town.chain.transfer(BIG, bounced=True)
    _, url = await town.provider()
    await town.check(url)
    _, second = await town.provider()
    await town.check(url, second)
    assert await house(town, AccountKind.OPERATING) == BIG
    assert await house(town, AccountKind.UNATTRIBUTED) == BIG
    assert await town.states() == ["credited"] * 2


async def test_attached_ton_uses_up_the_window_and_does_not_hold_back_jettons(town: Town) -> None:
    town.chain.excesses(900 * 10**9)
    town.chain.excesses(900 * 10**9)
    town.chain.jettons(700, "INV-1")
    _, url = await town.provider()
    await town.check(url, single_source_window_limit={"TON": 1_000 * 10**9})
    assert await town.states() == ["over_limit"]
    assert await house(town, AccountKind.OPERATING) == 900 * 10**9 + 1
    assert await town.balance("USDT") == 700
    used = await town.pool.fetch("SELECT currency, amount FROM market.ton_single_source_credits ORDER BY 1")
    assert [(row["currency"], int(row["amount"])) for row in used] == [
        ("TON", 900 * 10**9 + 1),
        ("USDT", 700),
    ]


@pytest.mark.parametrize("kind", ["excesses", "bounced", "attached to jettons"])
async def test_other_money_that_one_of_several_providers_minted_is_not_booked(town: Town, kind: str) -> None:
    town.chain.transfer(CENT, "INV-1")
    lie = fork(town.chain)
    match kind:
        case "excesses":
            lie.excesses(MINTED)
        case "bounced":
            lie.transfer(MINTED, bounced=True)
        case _:
            lie.jettons(1, "INV-1", value=MINTED)
    _, lying = await town.provider(lie)
    _, url = await town.provider()
    for _ in range(2):
        await town.check(lying, url)
    assert await town.states() == ["unconfirmed"]
    assert MINTED_SHOWN in town.told("for a second one")[0]
    town.chain.transfer(CENT, "INV-1")
    await town.check(lying, url)
    assert MINTED_SHOWN in town.told("contradict each other")[0]
    _, second = await town.provider()
    await town.check(url, second)
    assert await town.states() == ["refuted"]
    assert await town.balance() == 2 * CENT
    assert await house(town, AccountKind.OPERATING) == 0
    assert await house(town, AccountKind.UNATTRIBUTED) == 0
