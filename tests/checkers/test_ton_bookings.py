"""What stayed with us is booked, to its owner or to an account of ours; what went back is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from ton_core import Builder, Cell

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, PAYER, Chain, raw, text_body
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import AccountKind, read_balance
from dozor_market.ton.messages.arrival import AccountState, Bounce, Compute, Delivery
from tests.checkers.bench import CENT, Bench

NO_FUNDS_TO_BOUNCE = Delivery(
    True, False, AccountState.ACTIVE, compute=Compute.NO_GAS, bounce_phase=Bounce.NO_FUNDS
)


@pytest.fixture
async def bench(pool: Pool) -> AsyncIterator[Bench]:
    chain = Chain()
    toncenter = Toncenter(chain)
    async with serve(toncenter) as url:
        yield Bench(pool, toncenter, chain, url)


async def test_returned_outgoing_and_foreign_jettons_are_never_credited(bench: Bench) -> None:
    user = await bench.payer()
    bench.chain.transfer(3 * CENT, "INV-1", compute=Compute.FAILED, bounce=True)
    bench.chain.outgoing(3 * CENT)
    bench.chain.jettons(10**12, "INV-1", jetton_wallet=PAYER)
    last = bench.chain.transfer(0, "INV-1")
    await bench.check()
    assert await bench.states() == []
    assert (await bench.available(user), await bench.available(user, "USDT")) == (0, 0)
    assert await bench.operating() == 1  # the foreign notification's
    assert await bench.cursor_lt() == last.lt


async def test_a_transfer_of_ours_that_came_back_is_kept_for_a_person_whatever_it_says(bench: Bench) -> None:
    user = await bench.payer()
    await bench.pool.execute(
        "INSERT INTO market.ton_wallets (address, user_id) VALUES ($1, $2)", raw(OUR_WALLET), user
    )
    bench.chain.transfer(3 * CENT, "INV-1", bounced=True)
    await bench.check()
    assert await bench.states() == ["unmatched"]
    assert await bench.available(user) == 0
    assert len(bench.context.alerts) == 1
    assert "INV-1" not in bench.context.alerts[0][0]


async def test_aborted_is_not_gone_what_stayed_with_us_is_credited(bench: Bench) -> None:
    user = await bench.payer()
    bench.chain.state = AccountState.NONEXIST
    bench.chain.transfer(CENT, "INV-1")  # the first deposit to an address that is not deployed
    bench.chain.state = AccountState.FROZEN
    bench.chain.transfer(CENT, "INV-1")
    bench.chain.state = AccountState.SUSPENDED
    bench.chain.transfer(CENT, "INV-1")
    bench.chain.state = AccountState.ACTIVE
    bench.chain.transfer(CENT, "INV-1", compute=Compute.FAILED)
    bench.chain.transfer(CENT, "INV-1", delivery=NO_FUNDS_TO_BOUNCE)
    bench.chain.jettons(700, "INV-1")  # 1 nanoton: no_gas
    await bench.check()
    assert await bench.states() == ["credited"] * 6
    assert await bench.available(user) == 5 * CENT
    assert await bench.available(user, "USDT") == 700
    assert await bench.faults() == []


CONTENTS: dict[str, tuple[Cell, str, str]] = {
    "empty": (text_body(None), "unmatched", "credited"),
    "text": (text_body("INV-1"), "credited", "credited"),
    "no such invoice": (text_body("INV-404"), "unmatched", "credited"),
    "empty text": (text_body(""), "unmatched", "credited"),
    "binary": (text_body(b"\xffINV-1"), "unmatched", "credited"),
    "not UTF-8": (text_body(b"\xc3\x28"), "unmatched", "credited"),
    "encrypted": (Builder().store_uint(0x2167DA4B, 32).end_cell(), "unmatched", "credited"),
    "unknown operation": (Builder().store_uint(0x5FCC3D14, 32).end_cell(), "unmatched", "unmatched"),
}
"""By what they are: the body, and what becomes of it at a shared address and at one of a user's own."""


@pytest.mark.parametrize("address", ["shared", "own"])
async def test_what_stayed_goes_to_the_owner_of_the_address_or_of_the_invoice(
    bench: Bench, address: str
) -> None:
    user = await bench.payer()
    if address == "own":
        await bench.pool.execute(
            "INSERT INTO market.ton_wallets (address, user_id) VALUES ($1, $2)", raw(OUR_WALLET), user
        )
    for content, _, _ in CONTENTS.values():
        bench.chain.transfer(CENT, body=content)
    await bench.check()
    found = dict(zip(CONTENTS, await bench.states(), strict=True))
    assert found == {name: own if address == "own" else shared for name, (_, shared, own) in CONTENTS.items()}
    assert await bench.faults() == []


async def test_ledger_and_chain_agree_on_ton_that_came_with_notifications_and_excesses(bench: Bench) -> None:
    await bench.payer()
    bench.chain.jettons(700, "INV-1")
    bench.chain.jettons(800, "INV-1", value=5 * CENT)
    bench.chain.jettons(900, jetton_wallet=PAYER, value=30)
    bench.chain.excesses(2 * CENT)
    bench.chain.excesses(7)
    bench.chain.transfer(4 * CENT, "INV-1")
    for _ in range(2):
        await bench.check()
    came = 1 + 5 * CENT + 30 + 2 * CENT + 7
    assert await bench.operating() == came
    async with bench.pool.acquire() as connection:
        assert await read_balance(connection, None, AccountKind.EXTERNAL, "TON") == -(came + 4 * CENT)
    assert await bench.faults() == []


async def test_a_transaction_that_cannot_be_read_is_set_aside_with_an_alert_and_the_others_are_credited(
    bench: Bench,
) -> None:
    user = await bench.payer()
    bench.chain.transfer(CENT, "INV-1")
    cut_off = Builder().store_uint(0x7362D09C, 32).store_uint(7, 64).store_uint(0xF, 4).end_cell()
    odd = bench.chain.transfer(CENT, sender=OUR_JETTON_WALLET, body=cut_off)
    bench.chain.transfer(CENT, "INV-1")
    for _ in range(2):
        await bench.check()
    assert await bench.available(user) == 2 * CENT
    assert len(bench.context.alerts) == 1
    assert f"transaction {odd.lt}:{odd.hash.hex()}" in bench.context.alerts[0][0]
    assert bench.context.alerts[0][1] == "critical"


async def test_deposits_to_an_account_created_anew_are_credited_and_people_hear_of_the_gap(
    bench: Bench,
) -> None:
    user = await bench.payer()
    bench.chain.transfer(CENT, "INV-1")
    await bench.check()
    bench.chain.entries.clear()  # the account was deleted: its history begins anew, the logical time goes on
    bench.chain.state = AccountState.NONEXIST
    bench.chain.transfer(2 * CENT, "INV-1")
    bench.chain.state = AccountState.UNINIT
    bench.chain.transfer(3 * CENT, "INV-1")
    for _ in range(2):
        await bench.check()
    assert await bench.available(user) == 6 * CENT
    assert len(bench.context.alerts) == 1
    assert "was deleted and created anew" in bench.context.alerts[0][0]
