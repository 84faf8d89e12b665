"""Receipts to the ledger: each condition of the statement that records, matches and posts them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dozor.storage.postgres.pool import Connection, Pool
from dozor.toolkit import read_cursor, start_cursor
from dozor_market.decisions.attribution import issue_invoice
from dozor_market.demo.chain import OUR_WALLET, PAYER, raw
from dozor_market.ledger import AccountKind, audit, create_user, read_balance
from dozor_market.ton.agreement import pending
from dozor_market.ton.agreement.comparison import Unconfirmed
from dozor_market.ton.crediting import book, credit, cursor_name, to_json
from dozor_market.ton.messages.transactions import Kind, Position, Receipt
from dozor_market.ton.reader import START, Wallet
from tests.checkers.stage import purse
from tests.checkers.town import CENT, open_town

ADDRESS, OTHER = raw(OUR_WALLET), "0:" + "0b" * 32
SHARED = Wallet(ADDRESS, None, 0, {})
CODE = "INV-1"


def receipt(number: int, amount: int = 5, **more: object) -> Receipt:
    """The transaction at lt `number`, with the code unless something else is given."""
    fields: dict[str, object] = {"sender": raw(PAYER), "comment": CODE, "amount": amount, **more}
    at = Position(number, bytes([number]) * 32)
    return Receipt(at, START, 1_790_000_000, Kind.TRANSFER, **fields)  # type: ignore[arg-type]


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """With the shared wallet registered; the ledger is audited at the end."""
    async with pool.acquire() as connection:
        await connection.execute("INSERT INTO market.ton_wallets (address) VALUES ($1), ($2)", ADDRESS, OTHER)
        yield connection
        assert await audit(connection) == []


async def payer(connection: Connection, code: str = CODE) -> int:
    user = await create_user(connection, "payer")
    await issue_invoice(connection, code, user)
    return user


async def free(connection: Connection, user: int, currency: str = "TON") -> int:
    return (await purse(connection, user, currency))["available"]


async def test_what_is_booked_already_is_left_out_and_what_only_resembles_it_is_not(
    connection: Connection,
) -> None:
    user = await payer(connection)
    first = receipt(1, attached=3, currency="USDT")
    booked, refused = await book(connection, SHARED, [first], {})
    assert [(one.state, one.currency, one.amount) for one in booked] == [
        ("credited", "USDT", 5),
        ("operating", "TON", 3),
    ]
    assert await book(connection, SHARED, [first], {}) == ([], {})
    same_lt = Receipt(Position(1, b"\xff" * 32), START, 1, Kind.TRANSFER, "USDT", 5, raw(PAYER), CODE)
    elsewhere = Wallet(OTHER, None, 0, {})
    found, doubtful = await book(connection, SHARED, [same_lt], {})  # no chain has two at one logical time
    assert (found, list(doubtful)) == ([], [same_lt])
    assert len((await book(connection, elsewhere, [first], {}))[0]) == 2
    assert refused == {}
    assert await free(connection, user, "USDT") == 10
    assert await read_balance(connection, None, AccountKind.OPERATING, "TON") == 6


async def test_an_exclusion_is_of_one_transaction_of_one_account(connection: Connection) -> None:
    user = await payer(connection)
    excluded, other = receipt(1, attached=3, currency="USDT"), receipt(2)
    await connection.execute(
        "INSERT INTO market.ton_exclusions (account, hash, excluded_by) VALUES ($1, $2, 'ann')",
        ADDRESS,
        excluded.at.hash,
    )
    booked, _ = await book(connection, SHARED, [excluded, other], {})
    assert [one.at for one in booked] == [other.at]
    assert len((await book(connection, Wallet(OTHER, None, 0, {}), [excluded], {}))[0]) == 2
    assert (await free(connection, user), await free(connection, user, "USDT")) == (5, 5)


async def test_one_unit_is_money_and_dust_is_recorded_below_its_limit_only(connection: Connection) -> None:
    user = await payer(connection)
    given = [receipt(1, 1), receipt(2, 1, currency="USDT"), receipt(3, 9), receipt(4, 10), receipt(5, 0)]
    booked, _ = await book(connection, SHARED, given[:2], {})
    assert [one.state for one in booked] == ["credited"] * 2
    booked, _ = await book(connection, SHARED, given[2:], {"TON": 10})
    assert {one.at.lt: (one.state, one.user_id) for one in booked} == {
        3: ("dust", None),
        4: ("credited", user),
    }
    assert (await free(connection, user), await free(connection, user, "USDT")) == (11, 1)


async def test_an_exact_code_counts_before_alike_ones_and_alike_ones_of_two_users_are_nobodys(
    connection: Connection,
) -> None:
    ann, bob = [await create_user(connection, name) for name in ("ann", "bob")]
    for user, code in ((ann, "Pay-1"), (bob, "PAY-1"), (ann, "Pay-2"), (ann, "PAY-2")):
        await connection.execute("INSERT INTO market.invoices (code, user_id) VALUES ($1, $2)", code, user)
    comments = ["PAY-1", "pay-1", "pay-2", "", None, "Pay-3"]
    given = [receipt(number, comment=comment) for number, comment in enumerate(comments, 1)]
    booked, _ = await book(connection, SHARED, given, {})
    by_lt = {one.at.lt: one.user_id for one in booked}
    assert by_lt == {1: bob, 2: None, 3: ann, 4: None, 5: None, 6: None}
    unclear = receipt(9, comment="PAY-1", plain=False)
    booked, _ = await book(connection, Wallet(ADDRESS, ann, 0, {}), [unclear, receipt(10)], {})
    assert {one.at.lt: one.user_id for one in booked} == {9: None, 10: ann}
    assert await read_balance(connection, None, AccountKind.UNATTRIBUTED, "TON") == 5 * 5


async def test_the_cursor_moves_to_the_last_receipt_and_a_runner_that_was_slower_books_nothing(
    connection: Connection,
) -> None:
    user = await payer(connection)
    name = cursor_name(ADDRESS)
    await start_cursor(connection, name, to_json(START))
    given = [receipt(1), receipt(2), receipt(3)]
    counts = await credit(connection, SHARED, START, given, {})
    assert counts is not None
    assert counts["credited"] == 3
    async with connection.transaction():
        position = await read_cursor(connection, name)
    assert position is not None
    assert position["lt"] == 3
    assert await credit(connection, SHARED, START, [receipt(4)], {}) is None
    assert await free(connection, user) == 15


async def test_the_end_of_what_waited_concerns_the_credited_transactions_alone(
    connection: Connection,
) -> None:
    given = [receipt(1), receipt(2), receipt(3)]
    await pending.note_held(connection, ADDRESS, given[:2], "toncenter")
    await pending.note_held(connection, OTHER, given[:1], "toncenter")
    await pending.end_credited(connection, ADDRESS, [given[0], given[2]])
    rows = await connection.fetch("SELECT account, lt, state FROM market.ton_pending ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (ADDRESS, 1, "credited"),
        (ADDRESS, 2, "over_limit"),
        (OTHER, 1, "over_limit"),
    ]


async def test_what_is_over_the_limit_goes_on_waiting_when_something_else_is_credited(pool: Pool) -> None:
    async with open_town(pool) as town:
        town.chain.transfer(2_000 * 10**9, CODE)
        _, url = await town.provider()
        await town.check(url)
        town.chain.transfer(CENT, CODE)
        await town.check(url)
        assert await town.balance() == CENT
        assert await town.states() == ["over_limit"]


async def test_what_is_noted_as_pending_is_the_money_that_is_not_booked_yet(connection: Connection) -> None:
    booked, new = receipt(1, currency="USDT", attached=3), receipt(2, currency="USDT", attached=5)
    await book(connection, SHARED, [booked], {})
    await pending.note_held(connection, ADDRESS, [booked, new], "toncenter")
    rows = await connection.fetch("SELECT lt, amount, attached FROM market.ton_pending")
    assert [tuple(map(int, row)) for row in rows] == [(2, 5, 5)]


async def test_the_backlog_counts_from_the_transfer_that_waits_longest(connection: Connection) -> None:
    for number in (1, 2):
        one = Unconfirmed(receipt(number), ("toncenter",))
        await pending.note_unconfirmed(connection, ADDRESS, [one], "", omitted=False)
    await connection.execute("UPDATE market.ton_pending SET seen_at = now() - interval '1 h' WHERE lt = 1")
    first = await connection.fetchval("SELECT seen_at FROM market.ton_pending WHERE lt = 1")
    backlog = await pending.waiting(connection)
    assert (backlog.size, backlog.oldest_at) == (2, first)
