"""Every cell of the table "did the value stay, and where is it booked", through real cells.

The test prints the table as markdown: `pytest -s tests/checkers/test_ton_arrival.py -k table`.
"""

from __future__ import annotations

from itertools import product

import pytest
from ton_core import Address, Builder, Cell

from dozor_market.demo.chain import (
    OUR_JETTON_WALLET,
    OUR_WALLET,
    PAYER,
    Chain,
    notification_body,
    raw,
    text_body,
)
from dozor_market.ton.messages.arrival import (
    AccountState,
    Body,
    Booking,
    Bounce,
    Compute,
    Decision,
    Delivery,
    decide,
    went_back,
)
from dozor_market.ton.messages.transactions import Kind, Receipt, read_transaction

JETTONS = {raw(OUR_JETTON_WALLET): "USDT"}
VALUE = 50_000_000
AMOUNT = 700

BODIES: dict[Body, tuple[Cell, Address]] = {
    Body.EMPTY: (Builder().end_cell(), PAYER),
    Body.TEXT: (text_body("INV-1"), PAYER),
    Body.EMPTY_TEXT: (text_body(""), PAYER),
    Body.BINARY: (text_body(b"\xff\x01\x02"), PAYER),
    Body.NOTIFICATION: (notification_body(AMOUNT, PAYER, "INV-1"), OUR_JETTON_WALLET),
    Body.FOREIGN_NOTIFICATION: (notification_body(AMOUNT, PAYER, "INV-1"), PAYER),
    Body.EXCESSES: (Builder().store_uint(0xD53276DB, 32).store_uint(7, 64).end_cell(), OUR_JETTON_WALLET),
    Body.ENCRYPTED: (Builder().store_uint(0x2167DA4B, 32).store_uint(0, 256).end_cell(), PAYER),
    Body.UNKNOWN: (Builder().store_uint(0x5FCC3D14, 32).store_uint(0, 256).end_cell(), PAYER),
}
"""A body of each kind, and who sends it."""

STAYED: dict[Body, Decision] = {
    Body.EMPTY: Decision(Booking.CREDITED),
    Body.TEXT: Decision(Booking.CREDITED),
    Body.EMPTY_TEXT: Decision(Booking.CREDITED),
    Body.BINARY: Decision(Booking.CREDITED),
    Body.NOTIFICATION: Decision(Booking.OPERATING, Booking.CREDITED),
    Body.FOREIGN_NOTIFICATION: Decision(Booking.OPERATING),
    Body.EXCESSES: Decision(Booking.OPERATING),
    Body.ENCRYPTED: Decision(Booking.CREDITED),
    Body.UNKNOWN: Decision(Booking.UNATTRIBUTED),
}
"""What is expected when the value stayed, whatever flag, state, compute result and bounce phase."""
BOUNCED = Decision(Booking.UNATTRIBUTED)
RETURNED = Decision(Booking.IGNORED)
RETURNED_NOTIFICATION = Decision(Booking.IGNORED, Booking.UNATTRIBUTED)

DELIVERIES = [
    Delivery(bounce, bounced, state, compute, phase)
    for bounce, bounced, state, compute, phase in product(
        (False, True), (False, True), AccountState, Compute, Bounce
    )
    if (state is AccountState.SUSPENDED) == (compute is Compute.SUSPENDED)
]


def expected(delivery: Delivery, body: Body) -> Decision:
    """The table, written down apart from the code under test."""
    if delivery.bounce_phase is Bounce.OK:
        return RETURNED_NOTIFICATION if body is Body.NOTIFICATION else RETURNED
    return BOUNCED if delivery.bounced else STAYED[body]


def read(delivery: Delivery, body: Body) -> Receipt:
    """A transaction of this kind, built as a cell and read back."""
    cell, sender = BODIES[body]
    chain = Chain()
    entry = chain.transfer(VALUE, sender=sender, body=cell, delivery=delivery)
    return read_transaction(Cell.one_from_boc(entry.data), raw(OUR_WALLET), JETTONS)


def booked(receipt: Receipt) -> Decision:
    """What the receipt makes the ledger do."""
    ton = jettons = Booking.IGNORED
    if receipt.attached:
        assert receipt.attached == VALUE
        ton = Booking.OPERATING
    if receipt.amount:
        where = Booking.CREDITED if receipt.plain else Booking.UNATTRIBUTED
        if receipt.currency == "TON":
            assert receipt.amount == VALUE
            ton = where
        else:
            assert receipt.amount == AMOUNT
            jettons = where
    return Decision(ton, jettons)


@pytest.mark.parametrize("body", Body)
def test_every_cell_of_the_table(body: Body) -> None:
    for delivery in DELIVERIES:
        want = expected(delivery, body)
        assert decide(delivery, body) == want, delivery
        receipt = read(delivery, body)
        assert booked(receipt) == want, delivery
        assert receipt.kind is not Kind.UNREADABLE
        assert (receipt.kind is Kind.BOUNCED) == (want == BOUNCED and delivery.bounced), delivery
        if body in (Body.TEXT, Body.NOTIFICATION) and receipt.amount:
            assert receipt.comment == (None if receipt.kind is Kind.BOUNCED else "INV-1")


def test_only_a_successful_bounce_phase_takes_the_value_back() -> None:
    assert {delivery for delivery in DELIVERIES if went_back(delivery)} == {
        delivery for delivery in DELIVERIES if delivery.bounce_phase is Bounce.OK
    }


def test_the_table_is_printed_as_markdown() -> None:
    rows = markdown()
    print("\n" + "\n".join(rows))
    assert sum(int(row.split("|")[-2]) for row in rows[2:]) == len(DELIVERIES) * len(Body)
    assert {row.split("|")[4].strip() for row in rows[2:]} <= {booking.value for booking in Booking}


def markdown() -> list[str]:
    """The table, as the code decides it, with cells of the same outcome in one row."""
    groups: dict[tuple[str, str, Decision], list[Body]] = {}
    for body, delivery in product(Body, DELIVERIES):
        phases = "ok" if delivery.bounce_phase is Bounce.OK else "none, no funds, negative funds"
        bounced = "any" if delivery.bounce_phase is Bounce.OK else str(delivery.bounced).lower()
        groups.setdefault((phases, bounced, decide(delivery, body)), []).append(body)
    rows = ["| bounce phase | `bounced` | body | TON | jettons | cells |", "|---|---|---|---|---|---|"]
    for (phases, bounced, decision), bodies in groups.items():
        names = ", ".join(dict.fromkeys(body.value for body in bodies))
        rows.append(
            f"| {phases} | {bounced} | {names} | {decision.ton} | {decision.jettons} | {len(bodies)} |"
        )
    return rows
