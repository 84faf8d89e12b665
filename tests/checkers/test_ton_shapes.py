"""The shapes that transactions of real wallets have: each is read, none stops the wallet."""

from __future__ import annotations

import pytest
from ton_core import Address, Builder, Cell

from dozor_market.demo.chain import (
    OUR_JETTON_WALLET,
    OUR_WALLET,
    PAYER,
    Chain,
    Entry,
    delivered,
    external_message,
    internal_message,
    ordinary_description,
    raw,
    text_body,
)
from dozor_market.ton.messages.arrival import AccountState, Bounce, Compute, Delivery
from dozor_market.ton.messages.transactions import (
    Kind,
    Position,
    Receipt,
    UnreadableTransactionError,
    read_delivery,
    read_transaction,
)
from dozor_market.ton.providers.history import check_page, cut

JETTONS = {raw(OUR_JETTON_WALLET): "USDT"}
VALUE = 50_000_000


def read(entry: Entry) -> Receipt:
    return read_transaction(Cell.one_from_boc(entry.data), raw(OUR_WALLET), JETTONS)


def storage_phase(status_change: str, due: int | None = 77) -> Builder:
    """tr_phase_storage; `status_change` is the bits of AccStatusChange."""
    phase = Builder().store_coins(123).store_bit_int(int(due is not None))
    if due is not None:
        phase = phase.store_coins(due)
    return phase.store_bits(status_change)


def vm_phase() -> Builder:
    inner = (
        Builder().store_var_uint(991, 3).store_var_uint(9183, 3).store_bit_int(1).store_var_uint(10_000, 2)
    )
    inner = inner.store_int(0, 8).store_int(-14, 32).store_bit_int(1).store_int(-7, 32).store_uint(29, 32)
    inner = inner.store_bytes(bytes(32)).store_bytes(bytes(32))
    return Builder().store_uint(0b1011, 4).store_coins(396_400).store_ref(inner.end_cell())


def ordinary(storage: Builder | None, credit_due: int | None, compute: Builder, *, destroyed: bool) -> Cell:
    """trans_ord without a bounce phase; each optional phase may be absent."""
    parts = Builder().store_uint(0, 4).store_bit_int(1)
    parts = (
        parts.store_bit_int(0) if storage is None else parts.store_bit_int(1).store_cell(storage.end_cell())
    )
    if credit_due is None:
        parts = parts.store_bit_int(0)
    else:
        parts = parts.store_bit_int(1).store_bit_int(1).store_coins(credit_due)
        parts = parts.store_coins(VALUE - credit_due).store_bit_int(0)
    parts = parts.store_cell(compute.end_cell()).store_bit_int(0)  # no action phase
    return parts.store_bit_int(1).store_bit_int(0).store_bit_int(int(destroyed)).end_cell()


SKIPPED_NO_STATE = Builder().store_uint(0b000, 3)
SKIPPED_SUSPENDED = Builder().store_uint(0b0110, 4)


@pytest.mark.parametrize(
    "description",
    [
        ordinary(None, None, vm_phase(), destroyed=False),
        ordinary(storage_phase("0", None), None, vm_phase(), destroyed=False),
        ordinary(storage_phase("0"), 77, vm_phase(), destroyed=False),
        ordinary(storage_phase("10"), 0, SKIPPED_NO_STATE, destroyed=False),
        ordinary(storage_phase("11"), 0, SKIPPED_NO_STATE, destroyed=True),
        ordinary(storage_phase("0"), 0, SKIPPED_SUSPENDED, destroyed=False),
    ],
    ids=["no phases", "storage alone", "due fees", "frozen", "deleted", "suspended"],
)
def test_a_deposit_is_read_whatever_phases_its_transaction_has(description: Cell) -> None:
    chain = Chain()
    message = internal_message(PAYER, OUR_WALLET, VALUE, text_body("INV-1"), chain.lt)
    receipt = read(chain.add(message, description=description))
    assert (receipt.kind, receipt.amount, receipt.comment, receipt.plain) == (
        Kind.TRANSFER,
        VALUE,
        "INV-1",
        True,
    )


def tick_tock(compute: Builder, *, tock: bool) -> Cell:
    parts = Builder().store_uint(0b001, 3).store_bit_int(int(tock)).store_cell(storage_phase("0").end_cell())
    return parts.store_cell(compute.end_cell()).store_uint(0b000, 3).end_cell()


@pytest.mark.parametrize(
    "description",
    [
        tick_tock(vm_phase(), tock=False),
        tick_tock(SKIPPED_NO_STATE, tock=True),
        Builder().store_uint(0b0001, 4).store_cell(storage_phase("11").end_cell()).end_cell(),
    ],
    ids=["tick", "tock", "storage"],
)
def test_a_transaction_without_a_message_is_service(description: Cell) -> None:
    assert read(Chain().add(None, description=description)).kind is Kind.SERVICE


def signed_order(operation: int | None) -> Cell:
    """An external message as wallets take it: v3 and v4 begin with the signature, v5 with its operation."""
    source = Builder().store_uint(0b01, 2).store_uint(9, 9).store_uint(5, 9)  # addr_extern
    info = Builder().store_uint(2, 2).store_cell(source.end_cell()).store_address(OUR_WALLET).store_coins(0)
    body = Builder() if operation is None else Builder().store_uint(operation, 32)
    return (
        info.store_bit_int(0).store_bit_int(1).store_ref(body.store_uint(2**511, 512).end_cell()).end_cell()
    )


@pytest.mark.parametrize("operation", [None, 0x7369676E], ids=["v3 and v4", "v5"])
def test_a_transfer_that_we_send_is_outgoing_whatever_it_sends(operation: int | None) -> None:
    log = Builder().store_uint(3, 2).store_address(OUR_WALLET).store_uint(0b01, 2).store_uint(9, 9)
    log = log.store_uint(5, 9).store_uint(7, 64).store_uint(7, 32).store_uint(0, 2)
    chain = Chain()
    assert read(chain.add(signed_order(operation), out=log.end_cell())).kind is Kind.OUTGOING
    assert read(chain.add(external_message(OUR_WALLET), out=log.end_cell())).kind is Kind.OUTGOING
    deposit = internal_message(PAYER, OUR_WALLET, VALUE, text_body("INV-1"), chain.lt)
    logged = read(chain.add(deposit, out=log.end_cell(), delivery=delivered(VALUE), value=VALUE))
    assert (logged.amount, logged.plain) == (VALUE, True)
    onward = internal_message(OUR_WALLET, PAYER, VALUE, text_body("x"), chain.lt)
    sent_on = read(chain.add(deposit, out=onward, delivery=delivered(VALUE), value=VALUE))
    assert (sent_on.amount, sent_on.plain) == (VALUE, False)


def snake(*parts: bytes) -> Cell:
    """A body over as many cells as there are parts."""
    cell: Cell | None = None
    for part in reversed(parts):
        builder = Builder().store_bytes(part)
        cell = (builder if cell is None else builder.store_ref(cell)).end_cell()
    assert cell is not None
    return cell


@pytest.mark.parametrize(
    ("body", "comment"),
    [
        (snake(bytes(4), b"INV-1"), "INV-1"),
        (snake(bytes(4) + "сч".encode() + "ё".encode()[:1], "ё".encode()[1:] + b"t"), "счёt"),
        (snake(bytes(4) + b"I", *[b""] * 300, b"NV-1"), "INV-1"),
        (snake(bytes(4), *[b""] * 510, b"\xff"), None),
        (snake(bytes(4), b"INV-1\xff"), None),
        (snake(bytes(4) + b"\xed\xa0\x80"), None),
        (Builder().store_uint(0, 32).store_uint(1, 3).end_cell(), None),
        (Builder().store_uint(7, 31).end_cell(), None),
        (Builder().store_uint(0, 32).store_ref(Cell(Builder().store_uint(2, 8).store_bytes(bytes(32))
                                                     .end_cell().bits, [], 2)).end_cell(), None),
    ],
    ids=["two cells", "a character cut in two", "empty cells", "to the depth", "not UTF-8", "a surrogate",
         "bits left over", "under 32 bits", "a library cell"],
)  # fmt: skip
def test_a_comment_over_any_cells_is_its_text_or_none(body: Cell, comment: str | None) -> None:
    receipt = read(Chain().transfer(VALUE, body=body))
    assert (receipt.kind, receipt.amount, receipt.comment) == (Kind.TRANSFER, VALUE, comment)


def notification(payload: Builder | None, sender: Address | None = PAYER) -> Cell:
    body = Builder().store_uint(0x7362D09C, 32).store_uint(7, 64).store_coins(700).store_address(sender)
    return (body if payload is None else body.store_cell(payload.end_cell())).end_cell()


INLINE = Builder().store_bit_int(0).store_uint(0, 32).store_bytes(b"INV-1")
IN_A_REF = Builder().store_bit_int(1).store_ref(text_body("INV-1"))


@pytest.mark.parametrize(
    ("body", "comment", "sender"),
    [
        (notification(INLINE), "INV-1", raw(PAYER)),
        (notification(IN_A_REF), "INV-1", raw(PAYER)),
        (notification(Builder().store_bit_int(0)), None, raw(PAYER)),
        (notification(Builder().store_bit_int(1)), None, raw(PAYER)),
        (notification(None), None, raw(PAYER)),
        (notification(Builder().store_bit_int(0).store_uint(0xDEADBEEF, 32)), None, raw(PAYER)),
        (notification(INLINE, sender=None), "INV-1", ""),
    ],
    ids=["inline", "in a reference", "empty", "no reference", "left out", "no comment", "from nobody"],
)
def test_jettons_are_read_whatever_form_their_payload_has(
    body: Cell, comment: str | None, sender: str
) -> None:
    receipt = read(Chain().transfer(1, sender=OUR_JETTON_WALLET, body=body))
    assert (receipt.currency, receipt.amount, receipt.comment, receipt.sender) == (
        "USDT",
        700,
        comment,
        sender,
    )
    assert receipt.attached == 1


@pytest.mark.parametrize("bits", [32, 96, 99, 110, 130, 300])
def test_a_notification_of_ours_that_is_cut_off_is_unreadable_and_never_another_amount(bits: int) -> None:
    whole = notification(None).bits
    receipt = read(Chain().transfer(1, sender=OUR_JETTON_WALLET, body=Cell(whole[:bits], [])))
    assert (receipt.kind, receipt.amount, receipt.attached) == (Kind.UNREADABLE, 0, 0)
    assert "TruncatedBodyError" in receipt.problem
    foreign = read(Chain().transfer(1, sender=PAYER, body=Cell(whole[:bits], [])))
    assert (foreign.kind, foreign.attached) == (Kind.FOREIGN_JETTON, 1)


def test_a_message_with_a_state_init_and_an_inline_body_is_read() -> None:
    info = Builder().store_uint(0b0100, 4).store_address(PAYER).store_address(OUR_WALLET).store_coins(VALUE)
    info = info.store_bit_int(0).store_coins(0).store_coins(1).store_uint(7, 64).store_uint(7, 32)
    init = Builder().store_uint(0b00110, 5).store_ref(Builder().end_cell()).store_ref(Builder().end_cell())
    message = info.store_bit_int(1).store_bit_int(0).store_cell(init.end_cell())
    message = message.store_bit_int(0).store_uint(0, 32).store_bytes(b"INV-1")
    chain = Chain(state=AccountState.UNINIT)
    receipt = read(chain.add(message.end_cell(), delivery=delivered(VALUE), value=VALUE))
    assert (receipt.amount, receipt.comment) == (VALUE, "INV-1")


def test_a_message_to_an_anycast_address_of_ours_is_ours() -> None:
    rewritten = bytes([OUR_WALLET.hash_part[0] ^ 0xF0]) + OUR_WALLET.hash_part[1:]
    info = Builder().store_uint(0b0100, 4).store_address(PAYER)
    info = info.store_uint(0b101, 3).store_uint(4, 5).store_uint(OUR_WALLET.hash_part[0] >> 4, 4)
    info = info.store_int(0, 8).store_bytes(rewritten).store_coins(VALUE)
    info = info.store_bit_int(0).store_coins(0).store_coins(1).store_uint(7, 64).store_uint(7, 32)
    message = info.store_bit_int(0).store_bit_int(1).store_ref(text_body("INV-1")).end_cell()
    assert read(Chain().add(message, delivery=delivered(VALUE), value=VALUE)).amount == VALUE


@pytest.mark.parametrize(
    "description",
    [
        Builder().end_cell(),
        Builder().store_uint(0b1111, 4).end_cell(),
        Builder().store_uint(0b0001, 4).store_cell(storage_phase("0").end_cell()).end_cell(),
        ordinary(storage_phase("0"), 0, Builder().store_uint(0b0111, 4), destroyed=False),
    ],
    ids=["empty", "unknown", "storage with a message", "unknown reason to skip"],
)
def test_a_description_that_cannot_be_read_makes_a_deposit_unreadable_and_keeps_the_chain(
    description: Cell,
) -> None:
    chain = Chain()
    first = read(chain.transfer(VALUE, "INV-1"))
    message = internal_message(PAYER, OUR_WALLET, VALUE, text_body("INV-1"), chain.lt)
    odd = read(chain.add(message, description=description))
    last = read(chain.transfer(VALUE, "INV-1"))
    assert (odd.kind, odd.amount, odd.attached) == (Kind.UNREADABLE, 0, 0)
    assert odd.problem.startswith("cannot be read: ")
    check_page([last, odd, first], last.at)


def test_a_pruned_transaction_is_the_providers_failure() -> None:
    entry = Chain().transfer(VALUE, "INV-1")
    whole = Cell.one_from_boc(entry.data)
    data = b"\x01\x01" + whole.refs[0].hash + (2).to_bytes(2, "big")
    pruned = Cell(Builder().store_bytes(data).end_cell().bits, [], 1)
    with pytest.raises(UnreadableTransactionError, match="pruned"):
        read_transaction(Cell(whole.bits, [pruned, *whole.refs[1:]]), raw(OUR_WALLET), JETTONS)


def test_the_phases_of_every_delivery_are_read_back_from_its_cell() -> None:
    from ton_core import InternalMsgInfo, MessageAny, TransactionDescr

    delivery = Delivery(
        True, False, AccountState.FROZEN, compute=Compute.NO_GAS, bounce_phase=Bounce.NO_FUNDS
    )
    info = MessageAny.deserialize(
        internal_message(PAYER, OUR_WALLET, VALUE, text_body(None), 1, bounce=True).begin_parse()
    ).info
    assert isinstance(info, InternalMsgInfo)
    description = TransactionDescr.deserialize(ordinary_description(delivery, VALUE).begin_parse())
    assert read_delivery(description, info, AccountState.FROZEN) == delivery


def test_an_account_created_anew_begins_a_new_chain_that_is_read_as_far_as_it_goes() -> None:
    old = Chain()
    cursor = read(old.transfer(VALUE, "INV-1")).at
    anew = Chain(lt=old.lt, state=AccountState.NONEXIST)
    first = anew.transfer(VALUE, "INV-1")
    anew.state = AccountState.UNINIT
    page = [read(anew.transfer(VALUE, "INV-1")), read(first)]
    assert page[-1].created
    assert cut(page, cursor, 0) == (page, None)
    assert cut(page[:1], cursor, 0) == (page[:1], page[1].at)
    assert cut(page, Position(0, b""), 0) == (page, None)
