"""Cells become receipts: what counts, what does not, and nonsense is called nonsense."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ton_core import Address, Builder, Cell

from dozor_market.demo.chain import OUR_JETTON_WALLET, OUR_WALLET, PAYER, Chain, Entry, raw
from dozor_market.ton.messages.arrival import Compute
from dozor_market.ton.messages.transactions import (
    Kind,
    Position,
    Receipt,
    UnreadableTransactionError,
    raw_address,
    read_transaction,
)
from dozor_market.ton.providers.history import BrokenHistoryError, check_page, cut

JETTONS = {raw(OUR_JETTON_WALLET): "USDT"}
REAL = json.loads((Path(__file__).parent / "toncenter_answer.json").read_text())["result"][0]


def read(entry: Entry) -> Receipt:
    return read_transaction(Cell.one_from_boc(entry.data), raw(OUR_WALLET), JETTONS)


def test_a_real_answer_of_toncenter_is_read_and_its_hash_computed_from_the_cell() -> None:
    receipt = read_transaction(
        Cell.one_from_boc(REAL["data"]), raw_address(REAL["address"]["account_address"]), {}
    )
    assert receipt.at == Position(
        int(REAL["transaction_id"]["lt"]), base64.b64decode(REAL["transaction_id"]["hash"])
    )
    assert (receipt.kind, receipt.amount, receipt.currency) == (Kind.TRANSFER, 3_673_200, "TON")
    assert receipt.comment == "1794413727934894083"
    assert receipt.sender == raw_address(REAL["in_msg"]["source"])
    assert receipt.utime == REAL["utime"]


def test_every_kind_of_transaction_is_recognised_and_only_transfers_count() -> None:
    chain = Chain()
    kinds = [
        read(entry).kind
        for entry in (
            chain.transfer(5, "invoice"),
            chain.transfer(5, "invoice", bounced=True),
            chain.transfer(500_000, "invoice", compute=Compute.FAILED, bounce=True),
            chain.outgoing(5),
            chain.jettons(5, "invoice"),
            chain.jettons(5, "invoice", jetton_wallet=PAYER),
            chain.jettons(0, "invoice"),
            chain.transfer(0, "invoice"),
            chain.transfer(5, body=Builder().store_uint(0xD53276DB, 32).store_uint(0, 64).end_cell()),
            chain.add(None),
        )
    ]
    assert kinds == [
        Kind.TRANSFER,
        Kind.BOUNCED,
        Kind.RETURNED,
        Kind.OUTGOING,
        Kind.TRANSFER,
        Kind.FOREIGN_JETTON,
        *[Kind.SERVICE] * 4,
    ]


def test_jettons_are_their_own_currency_in_their_own_units_from_the_one_who_sent_them() -> None:
    receipt = read(Chain().jettons(2_500_000, " INV-7 "))
    assert (receipt.currency, receipt.amount, receipt.comment) == ("USDT", 2_500_000, "INV-7")
    assert receipt.sender == raw(PAYER)


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (None, None),
        ("", None),
        ("   ", None),
        (" INV-7\n", "INV-7"),
        ("счёт-7" * 40, "счёт-7" * 40),
        (b"\xff\xfe\x00", None),
        (b"INV\x007", "INV7"),
        (b"x" * 1025, None),
    ],
)
def test_comments_are_read_over_many_cells_and_malformed_ones_are_none(
    comment: str | bytes | None, text: str | None
) -> None:
    assert read(Chain().transfer(5, comment)).comment == text


def test_a_body_with_an_operation_nobody_knows_is_kept_for_a_person() -> None:
    receipt = read(Chain().transfer(5, body=Builder().store_uint(0xDEADBEEF, 32).end_cell()))
    assert (receipt.kind, receipt.plain, receipt.comment) == (Kind.TRANSFER, False, None)


@pytest.mark.parametrize(
    "cell",
    [
        Builder().end_cell(),
        Builder().store_uint(0b0111, 4).end_cell(),
        Builder().store_uint(0, 700).end_cell(),
        Cell.one_from_boc(Chain(address=Address((0, b"\x0d" * 32))).transfer(5).data),
        Cell.one_from_boc(Chain(address=Address((-1, OUR_WALLET.hash_part))).transfer(5).data),
    ],
)
def test_bytes_that_are_no_transaction_of_ours_are_refused(cell: Cell) -> None:
    with pytest.raises(UnreadableTransactionError):
        read_transaction(cell, raw(OUR_WALLET), JETTONS)


@pytest.mark.parametrize(
    "text", ["", "x", "EQ", "0:zz", "0:12", raw(OUR_WALLET)[:-2], OUR_WALLET.to_str()[:-1] + "x"]
)
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a TON address"):
        raw_address(text)


@given(value=st.integers(1, 2**64), comment=st.text(max_size=300))
def test_any_amount_and_comment_come_through(value: int, comment: str) -> None:
    receipt = read(Chain().transfer(value, comment))
    assert receipt.amount == value
    assert receipt.comment == (comment.replace("\0", "").strip() or None)


def receipts(count: int) -> list[Receipt]:
    """A page of a chain, newest first."""
    chain = Chain()
    return [read(chain.transfer(5)) for _ in range(count)][::-1]


def test_a_page_with_a_gap_a_repeat_or_another_order_is_refused() -> None:
    page = receipts(5)
    check_page(page, page[0].at)
    for broken in (
        page[:2] + page[3:],
        page[:2] + page[1:],
        [page[1], page[0], *page[2:]],
        page[::-1],
        page[1:],
        [],
    ):
        with pytest.raises(BrokenHistoryError):
            check_page(broken, page[0].at)


def test_a_page_is_cut_at_the_cursor_and_a_history_without_it_is_refused() -> None:
    page = receipts(5)
    start = Position(0, b"")
    assert cut(page, start, 0) == (page, None)
    assert cut(page[:3], start, 0) == (page[:3], page[3].at)
    assert cut(page, page[2].at, 0) == (page[:2], None)
    assert cut(page[:2], page[2].at, 0) == (page[:2], None)
    assert cut(page, start, page[3].at.lt) == (page[:3], None)
    assert cut([], start, 0) == ([], None)
    for strange in (Position(page[2].at.lt, b"\x01" * 32), Position(page[2].at.lt + 1, b"\x01" * 32)):
        with pytest.raises(BrokenHistoryError):
            cut(page, strange, 0)
    with pytest.raises(BrokenHistoryError):
        cut(page[:2], Position(page[2].at.lt, b"\x01" * 32), 0)
