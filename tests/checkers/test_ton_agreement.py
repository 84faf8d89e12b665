"""Deposits with several providers, some of which lie, lag or do not answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loguru import logger
from ton_core import Address

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import OUR_WALLET, Chain, raw
from dozor_market.demo.toncenter import body
from dozor_market.ton_deposits import DepositsError
from tests.checkers.stage import StageContext
from tests.checkers.town import CENT, DOWN, MINTED, MINTED_SHOWN, Town, fork, open_town


@pytest.fixture
async def town(pool: Pool) -> AsyncIterator[Town]:
    async with open_town(pool) as town:
        yield town


@pytest.mark.parametrize("first", ["the liar", "the honest one"])
@pytest.mark.parametrize("honest", [1, 2])
async def test_what_one_of_several_providers_minted_is_not_credited_and_is_alerted_with_the_evidence(
    town: Town, first: str, honest: int
) -> None:
    for _ in range(3):
        town.chain.transfer(CENT, "INV-1")
    lie = fork(town.chain)
    minted = lie.transfer(MINTED, "INV-1")
    _, lying = await town.provider(lie)
    honest_urls = [(await town.provider())[1] for _ in range(honest)]
    urls = [lying, *honest_urls] if first == "the liar" else [*honest_urls, lying]
    for _ in range(2):
        await town.check(*urls)
    assert await town.balance() == 3 * CENT  # what both have is credited all the same
    assert await town.cursor() == town.chain.entries[-1].lt
    assert await town.states() == ["unconfirmed"]
    (text,) = town.told("for a second one")
    for shown in (str(minted.lt), minted.hash.hex(), MINTED_SHOWN, f"returned by toncenter {lying}"):
        assert shown in text
    assert f"toncenter {honest_urls[0]}: newest is {town.chain.entries[-1].lt}" in text

    town.chain.transfer(CENT, "INV-1")  # now the honest history excludes what was minted
    for _ in range(2):
        await town.check(*urls)
    assert await town.balance() == 3 * CENT
    (row,) = await town.contradictions()
    assert (row["rounds"], row["ended_at"]) == (2, None)
    (text,) = town.told("contradict each other")
    honest_newest = town.chain.entries[-1]
    for shown in (str(minted.lt), minted.hash.hex(), MINTED_SHOWN, lying, honest_newest.hash.hex()):
        assert shown in text
    said = {one["provider"]: one["transactions"] for one in row["evidence"]["contradictions"][0]}
    assert said[f"toncenter {lying}"][0]["amount"] == str(MINTED)
    assert any(
        one["hash"] == honest_newest.hash.hex()
        for name, ones in said.items()
        for one in ones
        if lying not in name
    )

    await town.check(*honest_urls)  # a person has removed the liar
    assert await town.balance() == 4 * CENT
    assert await town.states() == ["refuted"]
    assert len(town.told("not in the history")) == 1


async def test_a_contradiction_stops_its_wallet_and_no_other(town: Town) -> None:
    other = Chain(address=Address((0, b"\x0e" * 32)))
    await town.pool.execute("INSERT INTO market.ton_wallets (address) VALUES ($1)", raw(other.address))
    town.chain.transfer(CENT, "INV-1")
    lie = fork(town.chain, 0)
    lie.transfer(MINTED, "INV-1")
    other.transfer(2 * CENT, "INV-1")
    toncenter, url = await town.provider()
    lying, lying_url = await town.provider(lie)
    for served in (toncenter, lying):
        served.chains[raw(other.address)] = other
    await town.check(url, lying_url)
    assert await town.balance() == 2 * CENT
    assert len(await town.contradictions()) == 1
    other.transfer(2 * CENT, "INV-1")
    await town.check(lying_url, url)
    assert await town.balance() == 4 * CENT


async def test_a_transaction_left_out_at_the_end_or_invented_below_is_a_contradiction(town: Town) -> None:
    town.chain.transfer(CENT, "INV-1")
    _, url = await town.provider()
    _, second = await town.provider()
    await town.check(url, second)
    lie = fork(town.chain)
    town.chain.transfer(CENT, "INV-1")
    lie.lt = town.chain.lt
    later = lie.transfer(MINTED, "INV-1")  # follows the first as if the second had never been
    _, lying = await town.provider(lie)
    await town.check(lying, url)
    assert await town.balance() == CENT
    (row,) = await town.contradictions()
    assert later.hash.hex() in str(row["evidence"])
    assert town.chain.entries[-1].hash.hex() in str(row["evidence"])


async def test_a_fork_many_pages_below_the_newest_is_found(town: Town) -> None:
    town.chain.transfer(CENT, "INV-1")
    lie = fork(town.chain)
    town.chain.transfer(CENT, "INV-1")
    lie.transfer(MINTED, "INV-1")
    for _ in range(40):
        lie.transfer(1, "INV-1")
    lying, lying_url = await town.provider(lie)
    lying.page_limit = 3
    _, url = await town.provider()
    await town.check(lying_url, url)
    assert await town.balance() == 0
    (text,) = town.told("contradict each other")
    assert MINTED_SHOWN in text


async def test_a_history_that_excludes_what_was_confirmed_before_stops_the_wallet(town: Town) -> None:
    for _ in range(3):
        town.chain.transfer(CENT, "INV-1")
    _, url = await town.provider()
    _, second = await town.provider()
    await town.check(url, second)
    lie = fork(town.chain, 1)
    for _ in range(5):
        lie.transfer(MINTED, "INV-1")
    _, lying = await town.provider(lie)
    town.chain.transfer(CENT, "INV-1")
    await town.check(lying, url, second)
    assert await town.balance() == 3 * CENT
    (text,) = town.told("contradict each other")
    assert "recorded here" in text
    assert MINTED_SHOWN in text
    await town.check(url, second)
    assert await town.balance() == 4 * CENT


async def test_a_cursor_that_a_lie_once_moved_is_found_when_a_second_provider_is_added(town: Town) -> None:
    town.chain.transfer(CENT, "INV-1")
    lie = fork(town.chain)
    lie.transfer(CENT, "INV-1")
    _, lying = await town.provider(lie)
    await town.check(lying)
    assert await town.balance() == 2 * CENT  # on the word of a single provider
    town.chain.transfer(3 * CENT, "INV-1")
    town.chain.transfer(3 * CENT, "INV-1")
    honest = [(await town.provider())[1] for _ in range(2)]
    with pytest.raises(DepositsError, match="is not in this history"):
        await town.check(*honest)
    assert await town.balance() == 2 * CENT
    assert len(town.told("recorded here")) == 1


FAULTS = {
    "in the middle left out": lambda found: found[:1] + found[2:],
    "reordered": lambda found: [found[1], found[0], *found[2:]],
    "ascending": lambda found: found[::-1],
    "an older state": lambda found: found[2:],
    "nothing": lambda found: [],
    "nonsense": body("<html>"),
    "deeply nested": body("[" * 100_000),
    "another account's": lambda found: [Chain(address=Address((0, b"\x0d" * 32))).transfer(5).answer],
    "a lower logical time above": lambda found: [
        (chain := Chain(lt=5), chain.transfer(MINTED, "INV-1"))[1].answer,
        *found,
    ],
}


@pytest.mark.parametrize("fault", list(FAULTS.values()), ids=list(FAULTS))
async def test_a_provider_that_fails_or_lags_contradicts_nobody_and_honest_deposits_are_credited(
    town: Town, fault: Any
) -> None:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    for _ in range(3):
        town.chain.transfer(CENT, "INV-1")
    faulty, faulty_url = await town.provider()
    _, first = await town.provider()
    _, second = await town.provider()
    await town.check(faulty_url, first, second)
    town.chain.transfer(CENT, "INV-1")
    faulty.faults.extend([fault] * 100)
    for _ in range(2):
        await town.check(faulty_url, first, second)
    assert await town.balance() == 4 * CENT
    assert await town.contradictions() == []
    # Of two, the honest one alone is not enough; nothing is lost when the other recovers.
    town.chain.transfer(CENT, "INV-1")
    for _ in range(2):
        await town.check(faulty_url, first)
    assert await town.balance() == 4 * CENT
    assert await town.cursor() == town.chain.entries[-2].lt
    assert await town.contradictions() == []
    faulty.faults.clear()
    await town.check(faulty_url, first)
    logger.remove(sink)
    assert await town.balance() == 5 * CENT
    assert await town.states() == []
    assert any(faulty_url in line for line in lines) or fault in (
        FAULTS["an older state"],
        FAULTS["nothing"],
    )


async def test_a_provider_ahead_of_the_other_is_credited_up_to_what_both_have(town: Town) -> None:
    town.chain.transfer(CENT, "INV-1")
    behind = fork(town.chain)
    town.chain.utime = int(time.time())
    newest = town.chain.transfer(CENT, "INV-1")
    _, ahead_url = await town.provider()
    lagging, lagging_url = await town.provider(behind)
    for _ in range(2):
        await town.check(ahead_url, lagging_url)
    assert await town.balance() == CENT
    assert (await town.states(), town.context.alerts) == (["unconfirmed"], [])
    assert town.context.backlogs[-1][0] == 1
    await town.pool.execute("UPDATE market.ton_pending SET seen_at = now() - interval '1 hour'")
    await town.check(ahead_url, lagging_url)
    assert len(town.told("for a second one")) == 1
    lagging.chains[raw(OUR_WALLET)] = town.chain
    town.context = StageContext(town.pool)  # another process, which knows what is in the database
    await town.check(lagging_url, ahead_url)
    assert await town.balance() == 2 * CENT
    assert (await town.states(), await town.cursor()) == ([], newest.lt)
    assert town.context.backlogs[-1] == (0, None)


async def test_one_of_two_that_does_not_answer_leaves_deposits_waiting_and_they_are_alerted_once(
    town: Town,
) -> None:
    town.chain.transfer(CENT, "INV-1")
    _, url = await town.provider()
    for _ in range(3):
        await town.check(url, DOWN)
    assert await town.balance() == 0
    assert town.context.alerts == []  # the transfer is old, but the other provider has not answered yet
    for _ in range(2):
        await town.check(url, DOWN, unconfirmed_after=0)
    (text,) = town.told("for a second one")
    assert DOWN in text
    _, second = await town.provider()
    await town.check(url, second)
    assert await town.balance() == CENT
