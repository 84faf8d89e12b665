"""One account's history on a made-up chain: real cells, built with ton-core. For the demo and the tests."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from ton_core import Address, Builder, Cell, InternalMsgInfo, MessageAny

from dozor_market.ton.messages.arrival import AccountState, Bounce, Compute, Delivery

OUR_WALLET: Final = Address((0, bytes.fromhex("0a" * 32)))
PAYER: Final = Address((0, bytes.fromhex("0b" * 31 + "b0")))
"""None of the addresses that tests make of one repeated byte: what a wallet of ours sends is no deposit."""
OUR_JETTON_WALLET: Final = Address((0, bytes.fromhex("0c" * 32)))
NOBODY: Final = bytes(32)
LT_STEP: Final = 1_000_000
FIRST_UTIME: Final = 1_716_874_922
FORWARD_FEE: Final = 400_000
"""Nanotons: what a small message costs; a value below it is not sent back."""
GAS_FLAT_PRICE: Final = 40_000
"""Nanotons: the least that buys gas in the base workchain."""


def raw(address: Address) -> str:
    """workchain:hash."""
    text: str = address.to_str(is_user_friendly=False)
    return text


def text_body(comment: str | bytes | None) -> Cell:
    """The body of a transfer with a text comment; None: empty."""
    if comment is None:
        return Builder().end_cell()
    data = comment if isinstance(comment, bytes) else comment.encode()
    return Builder().store_uint(0, 32).store_snake_bytes(data).end_cell()


def notification_body(amount: int, sender: Address, comment: str | None) -> Cell:
    """TEP-74 transfer_notification, its payload in a reference."""
    body = Builder().store_uint(0x7362D09C, 32).store_uint(7, 64).store_coins(amount).store_address(sender)
    return body.store_bit_int(1).store_ref(text_body(comment)).end_cell()


def internal_message(
    source: Address,
    target: Address,
    value: int,
    body: Cell,
    lt: int,
    *,
    bounce: bool = False,
    bounced: bool = False,
) -> Cell:
    """int_msg_info of block.tlb, its body in a reference."""
    info = Builder().store_bit_int(0).store_bit_int(1).store_bit_int(int(bounce)).store_bit_int(int(bounced))
    info = info.store_address(source).store_address(target).store_coins(value).store_bit_int(0)
    info = info.store_coins(0).store_coins(FORWARD_FEE).store_uint(lt - 1, 64).store_uint(FIRST_UTIME, 32)
    return info.store_bit_int(0).store_bit_int(1).store_ref(body).end_cell()


def external_message(target: Address) -> Cell:
    """ext_in_msg_info: what starts an outgoing transfer."""
    info = Builder().store_uint(2, 2).store_uint(0, 2).store_address(target).store_coins(0)
    return info.store_bit_int(0).store_bit_int(1).store_ref(text_body("signed order")).end_cell()


def delivered(
    value: int,
    *,
    bounce: bool = False,
    bounced: bool = False,
    state: AccountState = AccountState.ACTIVE,
    compute: Compute | None = None,
) -> Delivery:
    """What the chain makes of a message, by the rules that arrival.py names.

    `compute` None: skipped without a deployed contract or when the value buys no gas, else ok.
    """
    if compute is None:
        if state is AccountState.SUSPENDED:
            compute = Compute.SUSPENDED
        elif state is not AccountState.ACTIVE:
            compute = Compute.NO_STATE
        else:
            compute = Compute.OK if value >= GAS_FLAT_PRICE else Compute.NO_GAS
    phase = Bounce.NONE
    if bounce and compute is not Compute.OK:
        phase = Bounce.OK if value >= FORWARD_FEE else Bounce.NO_FUNDS
    return Delivery(bounce, bounced, state, compute, phase)


def ordinary_description(delivery: Delivery, value: int) -> Cell:
    """trans_ord with every phase of this delivery of `value` nanotons."""
    ran = delivery.compute in (Compute.OK, Compute.FAILED)
    parts = Builder().store_uint(0, 4).store_bit_int(int(not delivery.bounce))
    parts = parts.store_bit_int(1).store_coins(2).store_bit_int(0).store_bit_int(0)  # storage phase
    parts = parts.store_bit_int(1).store_bit_int(0).store_coins(value).store_bit_int(0)  # credit phase
    if ran:
        succeeded = delivery.compute is Compute.OK
        parts = parts.store_bit_int(1).store_bit_int(int(succeeded)).store_uint(0, 2).store_coins(396_400)
        parts = parts.store_ref(RAN if succeeded else FAILED)
    else:
        parts = parts.store_bit_int(0).store_uint(*SKIPPED[delivery.compute])
    if delivery.compute is Compute.OK:
        parts = parts.store_bit_int(1).store_ref(NO_ACTIONS)
    else:
        parts = parts.store_bit_int(0)
    parts = parts.store_bit_int(int(delivery.compute is not Compute.OK))  # aborted
    match delivery.bounce_phase:
        case Bounce.NONE:
            parts = parts.store_bit_int(0)
        case Bounce.NEGATIVE_FUNDS:
            parts = parts.store_uint(0b100, 3)
        case Bounce.NO_FUNDS:
            parts = parts.store_uint(0b101, 3).store_var_uint(1, 3).store_var_uint(700, 3)
            parts = parts.store_coins(FORWARD_FEE)
        case Bounce.OK:
            parts = parts.store_uint(0b11, 2).store_var_uint(1, 3).store_var_uint(700, 3)
            parts = parts.store_coins(133_331).store_coins(FORWARD_FEE - 133_331)
        case _:
            assert_never(delivery.bounce_phase)
    return parts.store_bit_int(0).end_cell()


def _vm(exit_code: int) -> Cell:
    """The part of tr_phase_compute_vm that is in a reference."""
    inner = Builder().store_var_uint(991, 3).store_var_uint(9183, 3).store_bit_int(0).store_int(0, 8)
    inner = inner.store_int(exit_code, 32).store_bit_int(0).store_uint(29, 32)
    return inner.store_bytes(NOBODY).store_bytes(NOBODY).end_cell()


RAN: Final = _vm(0)
FAILED: Final = _vm(0xFFFF)
"""The exit code of a contract without that operation."""
NO_ACTIONS: Final = (
    Builder()
    .store_uint(0b1100, 4)
    .store_uint(0, 2)
    .store_int(0, 32)
    .store_bit_int(0)
    .store_uint(0, 64)
    .store_bytes(NOBODY)
    .store_uint(0, 6)
    .end_cell()
)
SKIPPED: Final = {
    Compute.NO_STATE: (0b00, 2),
    Compute.BAD_STATE: (0b01, 2),
    Compute.NO_GAS: (0b10, 2),
    Compute.SUSPENDED: (0b110, 3),
}
"""ComputeSkipReason: its tag, and the tag's length in bits."""
STATUS: Final = {
    AccountState.UNINIT: 0,
    AccountState.FROZEN: 1,
    AccountState.ACTIVE: 2,
    AccountState.NONEXIST: 3,
    AccountState.SUSPENDED: 0,
}
"""AccountStatus; a suspended address is one that is not deployed."""
STATE_UPDATE: Final = Builder().store_uint(0x72, 8).store_bytes(NOBODY).store_bytes(NOBODY).end_cell()
OURSELVES: Final = Delivery(False, False, AccountState.ACTIVE, Compute.OK, Bounce.NONE)
"""A transaction that an external message starts, or none."""


def message_answer(cell: Cell) -> dict[str, Any]:
    """A message as Toncenter takes it apart."""
    message = MessageAny.deserialize(cell.begin_parse())
    info = message.info
    internal = info if isinstance(info, InternalMsgInfo) else None
    return {
        "@type": "raw.message",
        "source": internal.src.to_str() if internal else "",
        "destination": internal.dest.to_str() if internal else "",
        "value": str(internal.value_coins) if internal else "0",
        "fwd_fee": str(internal.fwd_fee) if internal else "0",
        "ihr_fee": "0",
        "created_lt": str(internal.created_lt) if internal else "0",
        "body_hash": base64.b64encode(message.body.hash).decode(),
        "msg_data": {"@type": "msg.dataRaw", "body": base64.b64encode(message.body.to_boc()).decode()},
        "message": "",
    }


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction of a chain."""

    lt: int
    hash: bytes
    data: str
    """Its cell, base64."""
    previous: tuple[int, bytes]
    answer: dict[str, Any]
    """As `getTransactions` has it."""


@dataclass(slots=True)
class Chain:
    """An account's history, oldest first; every method adds one transaction and returns it."""

    address: Address = OUR_WALLET
    entries: list[Entry] = field(default_factory=list)
    lt: int = 46_000_000_000_000
    utime: int = FIRST_UTIME
    state: AccountState = AccountState.ACTIVE
    balance: int = 0
    """Nanotons, without fees."""
    jetton_balances: dict[str, int] = field(default_factory=dict)
    """Of the account's jetton wallets, by raw address."""

    def transfer(
        self,
        value: int,
        comment: str | bytes | None = None,
        *,
        sender: Address = PAYER,
        body: Cell | None = None,
        bounce: bool = False,
        bounced: bool = False,
        compute: Compute | None = None,
        delivery: Delivery | None = None,
    ) -> Entry:
        """Something comes in. `delivery` overrides what the chain would make of it."""
        content = text_body(comment) if body is None else body
        if delivery is None:
            delivery = delivered(value, bounce=bounce, bounced=bounced, state=self.state, compute=compute)
        message = internal_message(
            sender, self.address, value, content, self.lt, bounce=delivery.bounce, bounced=delivery.bounced
        )
        back = None
        self.balance += value
        if delivery.bounce_phase is Bounce.OK:
            self.balance -= value
            left = max(0, value - FORWARD_FEE)
            rest = Builder().store_uint(0xFFFFFFFF, 32).end_cell()
            back = internal_message(self.address, sender, left, rest, self.lt + 2, bounced=True)
        return self.add(message, out=back, delivery=delivery, value=value)

    def jettons(
        self,
        amount: int,
        comment: str | None = None,
        *,
        jetton_wallet: Address = OUR_JETTON_WALLET,
        value: int = 1,
    ) -> Entry:
        """A jetton wallet, ours or not, says that jettons came. The usual 1 nanoton buys no gas."""
        name = raw(jetton_wallet)
        self.jetton_balances[name] = self.jetton_balances.get(name, 0) + amount
        return self.transfer(value, sender=jetton_wallet, body=notification_body(amount, PAYER, comment))

    def excesses(self, value: int) -> Entry:
        """TEP-74: the TON left over from a jetton transfer of ours."""
        body = Builder().store_uint(0xD53276DB, 32).store_uint(7, 64).end_cell()
        return self.transfer(value, sender=OUR_JETTON_WALLET, body=body)

    def outgoing(self, value: int) -> Entry:
        """We send something."""
        sent = internal_message(self.address, PAYER, value, text_body("payout"), self.lt + 2)
        self.balance -= value
        self.state = AccountState.ACTIVE  # the first outgoing message deploys the wallet
        return self.add(external_message(self.address), out=sent)

    def add(
        self,
        message: Cell | None,
        *,
        out: Cell | None = None,
        delivery: Delivery = OURSELVES,
        value: int = 0,
        description: Cell | None = None,
    ) -> Entry:
        """A transaction with these messages; `description` in place of that of `delivery`."""
        previous = (self.entries[-1].lt, self.entries[-1].hash) if self.entries else (0, NOBODY)
        self.lt += LT_STEP
        messages = Builder().store_maybe_ref(message)
        if out is None:
            messages = messages.store_bit_int(0)
        else:  # a dictionary of one entry: its label is the whole key 0, 15 bits (hml_same)
            leaf = Builder().store_uint(0b110, 3).store_uint(15, 4).store_ref(out).end_cell()
            messages = messages.store_bit_int(1).store_ref(leaf)
        cell = Builder().store_uint(0b0111, 4).store_bytes(self.address.hash_part).store_uint(self.lt, 64)
        cell = cell.store_bytes(previous[1]).store_uint(previous[0], 64).store_uint(self.utime, 32)
        cell = cell.store_uint(int(out is not None), 15).store_uint(STATUS[delivery.state], 2)
        cell = cell.store_uint(STATUS[delivery.state] % 3, 2)  # nonexist becomes uninit
        cell = cell.store_ref(messages.end_cell())
        cell = cell.store_coins(396_402).store_bit_int(0).store_ref(STATE_UPDATE)
        built = cell.store_ref(description or ordinary_description(delivery, value)).end_cell()
        data = base64.b64encode(built.to_boc()).decode()
        entry = Entry(self.lt, built.hash, data, previous, self._answer(built.hash, data, message, out))
        self.entries.append(entry)
        return entry

    def _answer(self, hash_: bytes, data: str, message: Cell | None, out: Cell | None) -> dict[str, Any]:
        friendly = self.address.to_str()
        return {
            "@type": "raw.transaction",
            "address": {"@type": "accountAddress", "account_address": friendly},
            "utime": self.utime,
            "data": data,
            "transaction_id": {
                "@type": "internal.transactionId",
                "lt": str(self.lt),
                "hash": base64.b64encode(hash_).decode(),
            },
            "fee": "396402",
            "storage_fee": "2",
            "other_fee": "396400",
            "in_msg": None if message is None else message_answer(message),
            "out_msgs": [] if out is None else [message_answer(out)],
        }
