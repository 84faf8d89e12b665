"""Whatever bytes a provider gives and whatever a message holds: the reader goes on, and credits nobody.

`DOZOR_EXAMPLES=2000` for the whole campaign.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ton_core import Builder, Cell

from dozor.storage.postgres.pool import Pool
from dozor_market.demo.chain import (
    OUR_JETTON_WALLET,
    OUR_WALLET,
    PAYER,
    Chain,
    Entry,
    raw,
    text_body,
)
from dozor_market.demo.toncenter import Toncenter, serve
from dozor_market.ton.messages.comments import comment_key
from dozor_market.ton.messages.transactions import (
    Kind,
    Receipt,
    UnreadableTransactionError,
    read_transaction,
)
from dozor_market.ton.providers.sources import to_cell
from tests.checkers.bench import CENT, Bench
from tests.effort import cases

EXAMPLES = cases(60, 2000, variable="DOZOR_EXAMPLES")
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JETTONS = {raw(OUR_JETTON_WALLET): "USDT"}
CODE = "INV-1"
OPERATIONS = [0, 0x7362D09C, 0xD53276DB, 0x2167DA4B, 0xFFFFFFFF]
"""Those that the reader knows: a text, a jetton notification, excesses, an encrypted text; and a bounce."""


@st.composite
def plain_cells(draw: st.DrawFn) -> Cell:
    """Up to 1,023 bits, beginning with an operation that is known or not, without references."""
    head = draw(st.sampled_from([b"", *(operation.to_bytes(4, "big") for operation in OPERATIONS)]))
    data = head + draw(st.binary(max_size=123))
    builder = Builder().store_bytes(data)
    extra = draw(st.integers(0, 7))
    return (
        builder.store_uint(draw(st.integers(0, 2**extra - 1)), extra).end_cell()
        if extra
        else builder.end_cell()
    )


def _joined(data: bytes, inner: list[Cell]) -> Cell:
    builder = Builder().store_bytes(data)
    for cell in inner:
        builder = builder.store_ref(cell)
    return builder.end_cell()


@st.composite
def libraries(draw: st.DrawFn) -> Cell:
    """An exotic cell: a reference to a library."""
    builder = Builder().store_uint(2, 8).store_bytes(draw(st.binary(min_size=32, max_size=32)))
    return Cell(builder.bits, [], 2)


CELLS = st.recursive(
    st.one_of(plain_cells(), libraries()),
    lambda inner: st.builds(
        _joined,
        st.one_of(st.binary(max_size=60), st.sampled_from([o.to_bytes(4, "big") for o in OPERATIONS])),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=6,
)


def read(data: str) -> Receipt | None:
    """None: refused as bytes that are no transaction of ours."""
    try:
        return read_transaction(to_cell(data), raw(OUR_WALLET), JETTONS)
    except UnreadableTransactionError:
        return None


@SETTINGS
@given(data=st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(b"\xb5\xee\x9c\x72".__add__)))
@example(data=b"\xb5\xee\x9c\x72")
def test_bytes_that_are_no_cell_are_refused(data: bytes) -> None:
    assert read(base64.b64encode(data).decode()) is None


@SETTINGS
@given(data=st.one_of(st.text(max_size=60), st.sampled_from(["b5ee9c72", "te6cck", "\ud800", "=" * 9])))
def test_text_that_is_no_cell_is_refused(data: str) -> None:
    assert read(data) is None


@SETTINGS
@given(data=CELLS)
def test_a_cell_that_is_no_transaction_is_refused(data: Cell) -> None:
    with pytest.raises(UnreadableTransactionError):
        read_transaction(data, raw(OUR_WALLET), JETTONS)


@SETTINGS
@given(places=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_transaction_with_other_bytes_is_another_one_or_none(places: list[tuple[int, int]]) -> None:
    """Its hash is computed from what was read: a changed amount or comment never passes as confirmed."""
    honest = Chain().transfer(CENT, CODE)
    data = bytearray(base64.b64decode(honest.data))
    for place, change in places:
        data[place % len(data)] ^= change
    expected = read(honest.data)
    assert expected is not None
    found = read(base64.b64encode(bytes(data)).decode())
    assert found is None or found.at.hash != honest.hash or found == expected


@SETTINGS
@given(body=CELLS, from_jetton_wallet=st.booleans(), value=st.sampled_from([0, 1, CENT, 2**63]))
def test_any_body_gives_a_receipt_that_names_no_code(
    body: Cell, from_jetton_wallet: bool, value: int
) -> None:
    sender = OUR_JETTON_WALLET if from_jetton_wallet else PAYER
    entry = Chain().transfer(value, sender=sender, body=body)
    receipt = read(entry.data)
    assert receipt is not None  # the transaction is ours, whatever its message holds
    assert receipt.at.hash == entry.hash
    assert comment_key(receipt.comment or "") != comment_key(CODE)
    assert receipt.currency == "TON" or from_jetton_wallet
    if receipt.kind is Kind.UNREADABLE:
        assert (receipt.amount, receipt.attached) == (0, 0)
    elif receipt.currency == "TON":
        assert receipt.amount + receipt.attached <= value


@SETTINGS
@given(message=CELLS, description=st.one_of(st.none(), CELLS))
def test_any_message_and_description_give_a_receipt_without_an_amount(
    message: Cell, description: Cell | None
) -> None:
    receipt = read(_transaction(message, description))
    assert receipt is not None
    assert (receipt.amount, receipt.attached) == (0, 0)


def _transaction(message: Cell, description: Cell | None) -> str:
    """The data of a transaction of our wallet with this cell as its incoming message."""
    shell = Cell.one_from_boc(Chain().transfer(CENT, CODE).data)
    messages = Builder().store_maybe_ref(message).store_bit_int(0).end_cell()
    refs = [messages, shell.refs[1], shell.refs[2] if description is None else description]
    return base64.b64encode(Cell(shell.bits, refs).to_boc()).decode()


@pytest.fixture
async def bench(pool: Pool) -> AsyncIterator[Bench]:
    chain = Chain()
    toncenter = Toncenter(chain)
    async with serve(toncenter) as url:
        yield Bench(pool, toncenter, chain, url)


@pytest.mark.timeout(120 + EXAMPLES)
async def test_no_body_credits_anybody_or_stops_the_wallet(bench: Bench) -> None:
    """Through the checker, to the ledger: the user gets what named the code, and nothing else."""
    loop = asyncio.get_running_loop()
    user = await bench.payer(CODE)
    await bench.check()
    honest: list[Entry] = []

    async def come(found: list[tuple[Cell, bool]]) -> None:
        for body, from_jetton_wallet in found:
            bench.chain.transfer(CENT, sender=OUR_JETTON_WALLET if from_jetton_wallet else PAYER, body=body)
        honest.append(bench.chain.transfer(CENT, body=text_body(CODE)))
        await bench.check()
        assert await bench.cursor_lt() == honest[-1].lt
        assert await bench.available(user) == CENT * len(honest)
        assert await bench.available(user, "USDT") == 0
        assert await bench.faults() == []

    @settings(SETTINGS, max_examples=max(10, EXAMPLES // 5))
    @given(found=st.lists(st.tuples(CELLS, st.booleans()), min_size=1, max_size=6))
    def play(found: list[tuple[Cell, bool]]) -> None:
        asyncio.run_coroutine_threadsafe(come(found), loop).result(60)

    await asyncio.to_thread(play)
