"""Deposits over HTTP: credited once, in every order of faults; what does not fit is never credited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dozor.errors import Fatal
from dozor.storage.postgres.pool import Pool
from dozor_market.decisions.attribution import AttributionError, attribute
from dozor_market.demo.chain import OUR_WALLET, Chain, Entry, raw
from dozor_market.demo.toncenter import Fault, Toncenter, body, half, serve, status
from dozor_market.ledger import AccountKind, read_balance
from dozor_market.ton_deposits import DepositsError, check_transactions
from tests.checkers.bench import CENT, Bench
from tests.checkers.stage import StageContext


@pytest.fixture
async def bench(pool: Pool) -> AsyncIterator[Bench]:
    chain = Chain()
    toncenter = Toncenter(chain)
    async with serve(toncenter) as url:
        yield Bench(pool, toncenter, chain, url)


async def test_transfers_with_an_invoice_are_credited_once_and_the_cursor_moves(bench: Bench) -> None:
    user = await bench.payer()
    bench.chain.transfer(3 * CENT, "INV-1")
    await bench.check()
    bench.chain.transfer(4 * CENT, " INV-1 ")
    last = bench.chain.jettons(5_000_000, "INV-1")
    for _ in range(3):
        await bench.check()
    assert await bench.available(user) == 7 * CENT
    assert await bench.available(user, "USDT") == 5_000_000
    assert await bench.states() == ["credited"] * 3
    assert await bench.cursor_lt() == last.lt
    assert await bench.faults() == []
    assert bench.context.alerts == []


async def test_dust_is_recorded_and_not_posted(bench: Bench) -> None:
    user = await bench.payer()
    bench.chain.transfer(CENT - 1, "INV-1")
    bench.chain.transfer(CENT, "INV-1")
    bench.chain.jettons(99, "INV-1")
    await bench.check(dust={"USDT": 100})
    assert await bench.states() == ["dust", "credited", "dust"]
    assert await bench.available(user) == CENT


async def test_an_unmatched_deposit_is_kept_told_once_and_attributed_by_the_command_in_the_alert(
    bench: Bench,
) -> None:
    user = await bench.payer()
    bench.chain.transfer(3 * CENT, "INV-404")
    bench.chain.transfer(4 * CENT, b"\xff")
    await bench.check()
    await bench.check()
    assert await bench.states() == ["unmatched"] * 2
    assert len(bench.context.alerts) == 1
    deposit = await bench.pool.fetchval("SELECT min(id) FROM market.deposits")
    assert f"dozor market attribute {deposit} USER" in bench.context.alerts[0][0]
    assert "'INV-404'" in bench.context.alerts[0][0]
    async with bench.pool.acquire() as connection:
        assert await read_balance(connection, None, AccountKind.UNATTRIBUTED, "TON") == 7 * CENT
        await attribute(connection, deposit, user)
        for deposit_id, user_id in ((deposit, user), (10**9, user), (deposit + 1, 10**9)):
            with pytest.raises(AttributionError):
                await attribute(connection, deposit_id, user_id)
    assert await bench.available(user) == 3 * CENT
    assert await bench.states() == ["attributed", "unmatched"]
    assert await bench.faults() == []


async def test_whatever_comes_to_a_users_own_address_is_theirs(bench: Bench) -> None:
    user = await bench.payer()
    await bench.pool.execute(
        "INSERT INTO market.ton_wallets (address, user_id) VALUES ($1, $2)", raw(OUR_WALLET), user
    )
    bench.chain.transfer(3 * CENT)
    bench.chain.transfer(3 * CENT, "no invoice")
    await bench.check()
    assert await bench.available(user) == 6 * CENT


async def test_paging_back_over_many_pages_leaves_no_gap(bench: Bench) -> None:
    user = await bench.payer()
    bench.chain.transfer(CENT, "INV-1")
    await bench.check()
    bench.toncenter.page_limit = 7
    for _ in range(200):
        bench.chain.transfer(CENT, "INV-1")
    await bench.check()
    assert await bench.available(user) == 201 * CENT
    assert bench.context.backlogs[-1] == (0, None)
    assert (200, bench.context.backlogs[-2][1]) == bench.context.backlogs[-2]
    assert bench.context.done[-1] == (200, 200)


def lose(position: int) -> Fault:
    """An answer without one of its transactions."""
    return lambda found: found[:position] + found[position + 1 :]


def older(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The state of a provider that lags behind."""
    return found[3:]


def forged(entry: Entry) -> Fault:
    """An answer that begins with a transaction of another chain."""
    return lambda found: [entry.answer, *found[1:]]


NONSENSE: list[tuple[str, Fault]] = [
    ("429", status(429)),
    ("500", status(500)),
    ("half a body", half),
    ("text", body("<html>")),
    ("empty", body("")),
    ("null", body("null")),
    ("a number", body("7")),
    ("no list", body('{"ok": true, "result": {"a": 1}}')),
    ("no result", body('{"ok": true}')),
    ("strings", body('{"ok": true, "result": ["a"]}')),
    ("no data", body('{"ok": true, "result": [{"utime": 1}]}')),
    ("bad base64", body('{"ok": true, "result": [{"data": "!!"}]}')),
    ("bad cell", body('{"ok": true, "result": [{"data": "te6cckEBAQEAAgAAAEysuc0="}]}')),
    ("a gap", lose(1)),
    ("reordered", lambda found: [found[1], found[0], *found[2:]]),
    ("doubled", lambda found: [found[0], *found]),
    ("reversed", lambda found: found[::-1]),
    ("older", older),
    ("nothing", lambda found: []),
    ("forged", forged(Chain(lt=46_000_000_900_000).transfer(10**15, "INV-1"))),
]


async def test_an_answer_that_does_not_fit_fails_the_run_without_a_credit_and_the_next_run_makes_up_for_it(
    bench: Bench,
) -> None:
    user = await bench.payer()
    for _ in range(3):
        bench.chain.transfer(CENT, "INV-1")
    await bench.check()
    credited = 3 * CENT
    for name, fault in NONSENSE:
        bench.chain.transfer(CENT, "INV-1")
        bench.chain.transfer(CENT, "INV-1")
        cursor = await bench.cursor_lt()
        bench.toncenter.faults.extend([fault] * 3)  # tonutils repeats a 429 twice by itself
        with pytest.raises(DepositsError):  # noqa: PT012 -- names the fault
            await bench.check()
            pytest.fail(name)
        assert await bench.available(user) == credited, name
        assert await bench.cursor_lt() == cursor, name
        bench.toncenter.faults.clear()
        await bench.check()
        credited += 2 * CENT
        assert await bench.available(user) == credited, name
    assert await bench.faults() == []


async def test_a_rewritten_history_is_refused_though_each_page_is_a_chain(bench: Bench) -> None:
    user = await bench.payer()
    for _ in range(3):
        bench.chain.transfer(CENT, "INV-1")
    await bench.check()
    bench.chain.entries.clear()
    bench.chain.lt = 46_000_000_000_000
    for _ in range(5):
        bench.chain.transfer(2 * CENT, "INV-1")
    with pytest.raises(DepositsError, match="is not in this history"):
        await bench.check()
    assert await bench.available(user) == 3 * CENT


async def test_the_next_provider_is_asked_for_what_the_first_cannot_give(bench: Bench) -> None:
    user = await bench.payer()
    for _ in range(5):
        bench.chain.transfer(CENT, "INV-1")
    broken = Toncenter(bench.chain)
    broken.faults.extend([body("nonsense")] * 50)
    async with serve(broken) as broken_url, serve(Toncenter(bench.chain)) as second_url:
        await bench.check("http://127.0.0.1:9/api/v2", broken_url, bench.url, second_url)
    assert await bench.available(user) == 5 * CENT
    with pytest.raises(DepositsError, match=r"http://127\.0\.0\.1:9/api/v2: "):
        await bench.check("http://127.0.0.1:9/api/v2")


async def test_two_runners_on_one_wallet_credit_each_transaction_once(bench: Bench) -> None:
    user = await bench.payer()
    bench.toncenter.page_limit = 10
    bench.toncenter.latency = 0.002
    for _ in range(60):
        bench.chain.transfer(CENT, "INV-1")
    await asyncio.gather(*(bench.check() for _ in range(3)))
    await bench.check()
    assert await bench.available(user) == 60 * CENT
    assert await bench.faults() == []


async def test_an_amount_beyond_a_bigint_is_set_aside_with_one_alert_and_the_rest_is_credited(
    bench: Bench,
) -> None:
    user = await bench.payer()
    bench.chain.transfer(CENT, "INV-1")
    giant = bench.chain.jettons(2**100, "INV-1")
    largest = bench.chain.jettons(2**63 - 1, "INV-1")
    too_much = bench.chain.jettons(1, "INV-1")
    bench.chain.transfer(CENT, "INV-1")
    for _ in range(2):
        await bench.check(single_source_limit={"USDT": 2**63 - 1}, single_source_window_limit={"USDT": 2**64})
    assert await bench.available(user) == 2 * CENT
    assert await bench.available(user, "USDT") in (1, 2**63 - 1)
    assert len(bench.context.alerts) == 1
    text = bench.context.alerts[0][0]
    assert f"transaction {giant.lt}:{giant.hash.hex()}" in text
    assert (f"transaction {largest.lt}:" in text) != (f"transaction {too_much.lt}:" in text)
    assert await bench.faults() == []


async def test_a_wallet_that_cannot_be_read_does_not_keep_the_others_from_their_money(bench: Bench) -> None:
    user = await bench.payer()
    await bench.pool.execute("INSERT INTO market.ton_wallets (address) VALUES ($1)", "0:" + "00" * 32)
    bench.chain.transfer(CENT, "INV-1")
    for number in range(1, 4):
        await bench.check()
        assert await bench.available(user) == number * CENT
        bench.chain.transfer(CENT, "INV-1")
    ((text, severity),) = bench.context.alerts  # of that wallet, once
    assert "0:0000" in text
    assert severity == "critical"


async def test_what_was_there_before_the_first_run_is_not_late_and_what_came_after_may_be(
    bench: Bench,
) -> None:
    await bench.payer()
    bench.chain.transfer(CENT, "INV-1")  # of 2024, but from before the first run
    await bench.check(behind_after=60.0)
    assert bench.context.limits == [None, 60.0]
    bench.chain.transfer(CENT, "INV-1")
    await bench.check(behind_after=60.0)
    assert bench.context.limits[2:] == [60.0, 60.0]
    assert [size for size, _ in bench.context.backlogs] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "args",
    [
        {"providers": [{"kind": "psychic"}]},
        {"providers": [{"url": "http://x"}]},
        {"providers": [{"kind": "toncenter", "url": "http://x/?api_key=secret"}]},
        {"providers": [{"kind": "toncenter", "colour": "red"}]},
        {"wallet": "nonsense"},
        {"wallet": OUR_WALLET.to_str(), "jettons": {"USDT": "nonsense"}},
    ],
)
async def test_arguments_that_make_no_sense_stop_the_task(pool: Pool, args: dict[str, Any]) -> None:
    with pytest.raises(Fatal):
        await check_transactions(StageContext(pool), **args)
