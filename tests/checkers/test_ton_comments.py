"""Comments: matched however the payer wrote the code, shown without anything that can be clicked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import OUR_WALLET, PAYER, Chain, raw
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ledger import create_user
from dozor_market.ton import crediting
from dozor_market.ton.messages.comments import comment_key, harmless
from tests.checkers.bench import CENT, Bench

WRITTEN = [
    "inv-Straße-7",
    " INV-STRASSE-7 ",
    "«inv-strasse-7»",
    '"INV-Straße-7"',
    "“‘Inv-Strasse-7’”",
    "INV\u200b-STRA\u00adSSE-7\ufeff",
    "\u202eINV-STRASSE-7\u202c",
    "\uff29\uff2e\uff36-strasse-\uff17",  # full-width letters
    "INV-STRASSE-7\ufe0f\n",
]


@pytest.fixture
async def bench(pool: Pool) -> AsyncIterator[Bench]:
    chain = Chain()
    toncenter = Toncenter(chain)
    async with serve(toncenter) as url:
        yield Bench(pool, toncenter, chain, url)


async def payer_with_old_code(bench: Bench, code: str) -> int:
    """A user with a code that `issue_invoice` refuses, as earlier versions issued them."""
    async with bench.pool.acquire() as connection:
        user = await create_user(connection, "another")
        await connection.execute("INSERT INTO market.invoices (code, user_id) VALUES ($1, $2)", code, user)
    return user


async def test_a_code_is_matched_however_it_was_written(bench: Bench) -> None:
    user = await payer_with_old_code(bench, "INV-Straße-7")
    for text in WRITTEN:
        bench.chain.transfer(CENT, text)
        bench.chain.jettons(5, text)
    for text in ("INV-STRASSE-70", "INV-STRASSE", "INV STRASSE 7", "\u200b", '""'):
        bench.chain.transfer(CENT, text)
    await bench.check()
    assert await bench.states() == ["credited"] * 2 * len(WRITTEN) + ["unmatched"] * 5
    assert await bench.available(user) == CENT * len(WRITTEN)
    await bench.pool.execute("UPDATE market.invoices SET code = 'INV-8'")
    bench.chain.transfer(CENT, "inv-8")
    bench.chain.transfer(CENT, "inv-strasse-7")
    await bench.check()
    assert (await bench.states())[-2:] == ["credited", "unmatched"]


async def test_codes_of_two_users_that_differ_in_case_alone_are_matched_exactly_or_left_to_a_person(
    bench: Bench,
) -> None:
    upper = await bench.payer("CODE")
    lower = await payer_with_old_code(bench, "code")
    for text in ("CODE", "code", "Code"):
        bench.chain.transfer(CENT, text)
    await bench.check()
    assert await bench.states() == ["credited", "credited", "unmatched"]
    assert [await bench.available(user) for user in (upper, lower)] == [CENT, CENT]


async def test_the_keys_of_all_codes_are_written_however_many_there_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crediting, "KEYS_AT_ONCE", 2)
    for number in range(5):
        await payer_with_old_code(bench, f"Old-{number}")
    async with bench.pool.acquire() as connection:
        await crediting.write_keys(connection)
    rows = await bench.pool.fetch("SELECT code_key FROM market.invoices ORDER BY id")
    assert [row["code_key"] for row in rows] == [f"old-{number}" for number in range(5)]


@given(st.text(max_size=60), st.sampled_from(["", "\u200b", "\ufeff", "\u2060"]), st.sampled_from("\"'«„ "))
def test_the_key_does_not_depend_on_case_invisible_characters_or_quotes(
    text: str, invisible: str, quote: str
) -> None:
    key = comment_key(text)
    assert comment_key(key) == key
    assert comment_key(quote + invisible.join(text) + quote) == key
    assert comment_key(text.casefold()) == key


async def test_the_alert_names_the_address_the_amount_and_the_command_and_nothing_in_it_is_a_link(
    bench: Bench,
) -> None:
    bench.chain.transfer(1_234_567_890, "win at https://t.me/bot?start=1 @admin /restart evil.example")
    await bench.check()
    ((text, _),) = bench.context.alerts
    assert "1.23456789 TON" in text
    assert raw(OUR_WALLET) in text
    assert raw(PAYER) in text
    assert (
        f"dozor market attribute {await bench.pool.fetchval('SELECT id FROM market.deposits')} USER" in text
    )
    assert not re.search(r"://|t\.me|evil\.example|(?<!\[)@|(?<!\[)/restart", text)


@given(st.text(alphabet="htps:/.tme@xабв．＠／ \u200b", max_size=40))
def test_no_text_keeps_a_link(text: str) -> None:
    assert not re.search(r"://|\w\.\w|(?<!\[)@|(^|\s)/\w", harmless(text))
    assert harmless("\uff54.\uff4d\uff45/x") == "t[.]me/x"


async def test_repeated_spam_is_one_line_and_another_only_after_an_hour_and_real_deposits_are_shown_at_once(
    bench: Bench,
) -> None:
    for number in range(30):
        bench.chain.transfer(CENT + number, "Free money at scam.example")
    bench.chain.transfer(5 * CENT, "who?")
    await bench.check()
    ((text, _),) = bench.context.alerts
    assert len(text.splitlines()) == 3
    assert "scam[.]example" in text
    assert "30" in text
    assert "0.3" in text
    for _ in range(3):
        bench.chain.transfer(CENT, "FREE MONEY at scam.example")
        await bench.check()
    assert len(bench.context.alerts) == 1
    bench.chain.transfer(7 * CENT, "and this?", sender=OUR_WALLET)
    await bench.check()
    assert len(bench.context.alerts) == 2
    assert "scam" not in bench.context.alerts[1][0]
    await bench.pool.execute("UPDATE market.deposits SET alerted_at = alerted_at - interval '2 hours'")
    await bench.check()
    assert len(bench.context.alerts) == 3
    assert "scam[.]example" in bench.context.alerts[2][0]
    await bench.check()
    assert len(bench.context.alerts) == 3
