"""Providers that are frozen, lag or answer nonsense, jetton wallets, and the alerts about them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ton_core import Address

from dozor.errors import Fatal
from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, Chain, raw
from dozor_market.demo.toncenter import Toncenter
from dozor_market.ton.providers.freshness import judge
from dozor_market.ton.providers.sources import Head, Shard, new_blocks
from dozor_market.ton_deposits import watch
from tests.checkers.town import CENT, MINTED, Town, open_town

MASTER = Address((0, b"\x4d" * 32))
OTHER_JETTON_WALLET = Address((0, b"\x4e" * 32))


@pytest.fixture
async def town(pool: Pool) -> AsyncIterator[Town]:
    async with open_town(pool) as town:
        yield town


def freeze(toncenter: Toncenter) -> None:
    toncenter.freeze()
    then = time.time() - 3600
    toncenter.clock = lambda: then


def stranger(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Another account's answer."""
    return [Chain(address=Address((0, b"\x0d" * 32))).transfer(MINTED, "INV-1").answer]


FAULTS: dict[str, tuple[Callable[[Toncenter], None], str]] = {
    "frozen": (freeze, "behind that of another provider"),
    "an older state": (lambda one: one.faults.extend([lambda found: found[2:]] * 100), "older than"),
    "ascending pages": (lambda one: one.faults.extend([lambda found: found[::-1]] * 100), "older than"),
    "another account's answer": (lambda one: one.faults.extend([stranger] * 100), "another account"),
}


@pytest.mark.parametrize(("break_it", "said"), list(FAULTS.values()), ids=list(FAULTS))
async def test_one_bad_provider_is_told_once_with_evidence_and_honest_deposits_go_on(
    town: Town, break_it: Callable[[Toncenter], None], said: str
) -> None:
    for _ in range(3):
        town.chain.transfer(CENT, "INV-1")
    bad, bad_url = await town.provider()
    urls = [bad_url, *[(await town.provider())[1] for _ in range(2)]]
    await town.check(*urls)
    assert town.context.alerts == []
    break_it(bad)
    for number in range(4, 8):
        town.chain.transfer(CENT, "INV-1")
        for _ in range(2):
            await town.check(*urls)
        assert await town.balance() == number * CENT  # within two rounds
    ((text, severity),) = town.context.alerts
    assert bad_url in text
    assert said in text
    assert severity == "warning"
    assert await town.contradictions() == []


@pytest.mark.parametrize("providers", [1, 2])
async def test_without_a_quorum_crediting_stops_and_goes_on_once_the_frozen_one_has_caught_up(
    town: Town, providers: int
) -> None:
    frozen, url = await town.provider()
    urls = [url, *[(await town.provider())[1] for _ in range(providers - 1)]]
    town.chain.transfer(CENT, "INV-1")
    await town.check(*urls)
    freeze(frozen)
    town.chain.transfer(CENT, "INV-1")
    for _ in range(3):
        await town.check(*urls)
    assert await town.balance() == CENT
    (text,) = town.told("old state")
    assert url in text
    frozen.thaw()
    await town.check(*urls)
    assert await town.balance() == 2 * CENT
    assert len(town.told("old state")) == 1


async def test_one_from_the_future_does_not_make_the_honest_ones_look_frozen(town: Town) -> None:
    liar, lying = await town.provider()
    liar.clock = lambda: time.time() + 10**6
    honest = [(await town.provider())[1] for _ in range(2)]
    town.chain.transfer(CENT, "INV-1")
    await town.check(lying, *honest)
    assert await town.balance() == CENT
    (text,) = town.told("in the future")
    assert lying in text


@pytest.mark.parametrize("providers", [1, 2])
async def test_a_clock_behind_that_of_every_provider_is_told_once_and_crediting_goes_on(
    town: Town, providers: int
) -> None:
    found = [await town.provider() for _ in range(providers)]
    for toncenter, _ in found:
        toncenter.clock = lambda: time.time() + 7200
    town.chain.transfer(CENT, "INV-1")
    for _ in range(2):
        await town.check(*(url for _, url in found))
    assert await town.balance() == CENT
    (text,) = town.told("compare that clock")
    assert all(url in text for _, url in found)


async def test_a_provider_that_does_not_say_how_new_it_is_counts_as_fresh(town: Town) -> None:
    old, url = await town.provider()
    old.measured = False
    town.chain.transfer(CENT, "INV-1")
    await town.check(url, (await town.provider())[1])
    assert await town.balance() == CENT
    assert town.context.alerts == []


HEADS = st.dictionaries(st.sampled_from("abcd"), st.integers(-5000, 5000), min_size=1)


@given(HEADS)
def test_somebody_is_always_left_and_only_those_far_from_the_newest_are_left_out(
    ages: dict[str, int],
) -> None:
    heads = {name: Head(1, 100_000 - age) for name, age in ages.items()}
    found = judge(heads, 100_000.0, 120.0)
    out = {*found.behind, *found.ahead}
    assert set(heads) - out
    newest = max(heads[name].utime for name in set(heads) - out)
    assert all(newest - heads[name].utime <= 120 for name in set(heads) - out)
    assert all(newest - heads[name].utime > 120 for name in found.behind)
    off = {name for name in heads if abs(heads[name].utime - 100_000) > 120}
    assert off <= {*out, *found.old, *found.early}  # nothing far from our clock stays silent


def test_blocks_of_a_shard_that_was_split_or_merged_continue_its_numbers() -> None:
    whole, left, right = 1 << 63, 1 << 62, 3 << 62
    assert new_blocks([Shard(0, whole, 5)], [Shard(0, whole, 7)]) == [Shard(0, whole, 6), Shard(0, whole, 7)]
    assert new_blocks([Shard(0, whole, 5)], [Shard(0, left, 6), Shard(0, right, 7)]) == [
        Shard(0, left, 6),
        Shard(0, right, 6),
        Shard(0, right, 7),
    ]
    assert new_blocks([Shard(0, left, 8), Shard(0, right, 9)], [Shard(0, whole, 10)]) == [Shard(0, whole, 10)]
    assert new_blocks([Shard(0, left, 8), Shard(0, right, 9)], [Shard(0, left, 8), Shard(0, right, 9)]) == []


async def test_a_jetton_wallet_is_verified_through_its_master_or_nothing_of_its_owner_is_read(
    town: Town,
) -> None:
    toncenters, urls = zip(*[await town.provider() for _ in range(2)], strict=True)
    for one in toncenters:
        one.masters = {raw(MASTER): {raw(OUR_WALLET): raw(OTHER_JETTON_WALLET)}}
    town.chain.jettons(500, "INV-1")  # from a jetton wallet that the master does not name
    town.chain.jettons(700, "INV-1", jetton_wallet=OTHER_JETTON_WALLET)
    both = {"wallet": raw(OUR_JETTON_WALLET), "master": raw(MASTER)}
    for _ in range(2):
        await town.check(*urls, jettons={"USDT": both})
    assert await town.balance("USDT") == 0
    (text,) = town.told("not confirmed by the jetton's master")
    assert raw(OTHER_JETTON_WALLET) in text
    for _ in range(2):
        await town.check(*urls, jettons={"USDT": {"master": raw(MASTER)}})
    assert await town.balance("USDT") == 700
    (text,) = town.told("not registered")  # the other one's notification, in one notice
    assert "all wallets: 1" in text
    for _ in range(5):
        town.chain.jettons(500, "INV-1")
    await town.check(*urls, jettons={"USDT": {"master": raw(MASTER)}})
    assert len(town.told("not registered")) == 1
    assert (
        await town.pool.fetchval("SELECT latest FROM market.ton_incidents WHERE kind = 'foreign_jettons'")
        == "6"
    )


async def test_a_corrected_jetton_wallet_takes_effect_and_people_are_told_to_rescan(town: Town) -> None:
    _, url = await town.provider()
    await town.check(url, jettons={"USDT": raw(OTHER_JETTON_WALLET)})
    await town.check(url, jettons={"USDT": raw(OUR_JETTON_WALLET)})
    town.chain.jettons(700, "INV-1")
    await town.check(url, jettons={"USDT": raw(OUR_JETTON_WALLET)})
    assert await town.balance("USDT") == 700
    (text,) = town.told("dozor market rescan")
    assert raw(OTHER_JETTON_WALLET) in text
    await town.pool.execute("INSERT INTO market.currencies (code, decimals) VALUES ('NOT', 9)")
    async with town.pool.acquire() as connection:
        await watch(connection, raw(OUR_WALLET), {"NOT": raw(OUR_JETTON_WALLET)})
    row = await town.pool.fetchrow("SELECT currency FROM market.ton_jetton_wallets")
    assert row is not None
    assert row["currency"] == "NOT"


@pytest.mark.parametrize("argument", ["dust", "single_source_limit", "single_source_window_limit"])
async def test_an_amount_in_a_currency_that_does_not_exist_is_refused(town: Town, argument: str) -> None:
    _, url = await town.provider()
    with pytest.raises(Fatal, match=rf"{argument} has an amount in USTD.*TON, USDT"):
        await town.check(url, **{argument: {"USTD": 5}})
    await town.pool.execute("INSERT INTO market.currencies (code, decimals) VALUES ('USTD', 6)")
    await town.check(url, **{argument: {"USTD": 5}})


async def test_a_currency_whose_amounts_do_not_fit_the_ledger_is_refused_at_the_start(town: Town) -> None:
    await town.pool.execute("INSERT INTO market.currencies (code, decimals) VALUES ('DAI', 18)")
    _, url = await town.provider()
    for jettons, said in (
        ({"DAI": raw(OUR_JETTON_WALLET)}, "18"),
        ({"NOPE": raw(OUR_JETTON_WALLET)}, "NOPE"),
        ({"TON": raw(OUR_JETTON_WALLET)}, "TON"),
        ({"USDT": {"owner": "x"}}, "owner"),
        ({"USDT": 5}, "5"),
    ):
        with pytest.raises(Fatal, match=said):
            await town.check(url, jettons=jettons)
