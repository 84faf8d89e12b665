"""What a transaction of our wallet means. Pure: a cell goes in, a Receipt comes out.

The layouts are those of TON's block.tlb and of TEP-74 (jettons); the hash is computed from the cell, never
taken from the provider. arrival.py decides what stays with us and where it is booked.

A transaction whose header cannot be read proves nothing about our account: UnreadableTransactionError, the
provider's failure. When the header is read (account, time, place in the chain) but the rest is not, the
transaction is ours and the chain goes on behind it: a Receipt of Kind.UNREADABLE, which is set aside for a
person, so that one odd message does not stop the wallet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from ton_core import Address, Cell, InternalMsgInfo, MessageAny, Slice, TransactionDescr

from dozor_market.ton.messages.arrival import (
    AccountState,
    Body,
    Booking,
    Bounce,
    Compute,
    Delivery,
    decide,
    went_back,
)
from dozor_market.ton.messages.bodies import Content, read_body
from dozor_market.ton.messages.texts import storable

HEADER_BITS: Final = 4 + 256 + 64 + 256 + 64 + 32 + 15 + 2 + 2
"""`transaction$0111` up to `end_status`."""
STATES: Final = (AccountState.UNINIT, AccountState.FROZEN, AccountState.ACTIVE, AccountState.NONEXIST)
"""By the two bits of AccountStatus."""
BOUNCES: Final = {"ok": Bounce.OK, "nofunds": Bounce.NO_FUNDS, "negfunds": Bounce.NEGATIVE_FUNDS}
"""By ton-core's names of TrBouncePhase."""


class UnreadableTransactionError(ValueError):
    """The provider's bytes are no transaction of this account."""


class OddContentError(ValueError):
    """A transaction of this account, of which more than the header cannot be read."""


class Kind(StrEnum):
    """What a transaction is to us."""

    TRANSFER = "transfer"
    """TON or jettons came in."""
    BOUNCED = "bounced"
    """Our own transfer, come back: its value is booked as unattributed."""
    RETURNED = "returned"
    """Came in and went back to its sender."""
    OUTGOING = "outgoing"
    """Started by an external message, to send something."""
    SERVICE = "service"
    """No message, TON left over from a transfer of ours, or nothing in it."""
    FOREIGN_JETTON = "foreign jetton"
    """Says that jettons came, but is not from a jetton wallet of ours."""
    UNREADABLE = "unreadable"
    """A message came in that cannot be read; `problem` says why."""


@dataclass(frozen=True, slots=True)
class Position:
    """A transaction of one account. `lt` 0: before its first."""

    lt: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """One transaction. `amount` and `attached` are what is booked; both 0: nothing is."""

    at: Position
    before: Position
    """The account's transaction before this one."""
    utime: int
    """Seconds since the epoch (UTC)."""
    kind: Kind
    currency: str = "TON"
    amount: int = 0
    """A deposit, in smallest units of `currency`: to its owner, or unattributed."""
    sender: str = ""
    """Whose deposit it is, raw form. Empty: a jetton wallet named nobody."""
    comment: str | None = None
    plain: bool = True
    """False: whatever the comment and the address say, a person decides whose it is."""
    attached: int = 0
    """Nanotons of a jetton notification or of excesses: to the account `operating`."""
    problem: str = ""
    created: bool = False
    """The account did not exist before this transaction: `before` is none, also where it existed once."""


@dataclass(frozen=True, slots=True)
class _Header:
    at: Position
    before: Position
    utime: int
    outgoing: int
    """Number of outgoing messages."""
    state: AccountState
    messages: Cell
    description: Cell


def read_transaction(cell: Cell, account: str, jetton_wallets: Mapping[str, str]) -> Receipt:
    """`account` and the keys of `jetton_wallets` (to currencies) are raw addresses.

    Raises UnreadableTransactionError.
    """
    workchain, _, account_hash = account.partition(":")
    header = _read_header(cell, bytes.fromhex(account_hash))
    try:
        receipt = _read_rest(header, int(workchain), bytes.fromhex(account_hash), jetton_wallets)
    except OddContentError as error:
        receipt = Receipt(header.at, header.before, header.utime, Kind.UNREADABLE, problem=str(error))
    created = header.state is AccountState.NONEXIST and header.before.lt == 0
    return replace(receipt, created=True) if created else receipt


def _read_rest(
    header: _Header, workchain: int, account_hash: bytes, jetton_wallets: Mapping[str, str]
) -> Receipt:
    try:
        return _classify(header, workchain, account_hash, jetton_wallets)
    except UnreadableTransactionError:
        raise
    except Exception as error:  # ton-core raises anything from IndexError to TlbError
        raise OddContentError(storable(f"cannot be read: {type(error).__name__}: {error}")) from error


def _read_header(cell: Cell, account_hash: bytes) -> _Header:
    bits = cell.begin_parse()
    if cell.is_exotic or cell.level_mask.mask:
        raise UnreadableTransactionError("a pruned cell")
    if bits.remaining_bits < HEADER_BITS or bits.remaining_refs < 3 or bits.load_uint(4) != 0b0111:
        raise UnreadableTransactionError("not a transaction")
    if bits.load_bytes(32) != account_hash:
        raise UnreadableTransactionError("a transaction of another account")
    lt = bits.load_uint(64)
    before_hash = bits.load_bytes(32)
    before_lt = bits.load_uint(64)
    utime = bits.load_uint(32)
    outgoing = bits.load_uint(15)
    state = STATES[bits.load_uint(2)]
    # The first reference holds the messages, the last one the description.
    return _Header(
        Position(lt, cell.hash),
        Position(before_lt, before_hash),
        utime,
        outgoing,
        state,
        cell.refs[0],
        cell.refs[-1],
    )


def _classify(
    header: _Header, workchain: int, account_hash: bytes, jetton_wallets: Mapping[str, str]
) -> Receipt:
    def other(kind: Kind, attached: int = 0) -> Receipt:
        return Receipt(header.at, header.before, header.utime, kind, attached=attached)

    messages = header.messages.begin_parse()
    if not messages.load_bit():
        return other(Kind.SERVICE)  # tick-tock, storage, split, merge
    message_cell = messages.load_ref()
    if message_cell.begin_parse().load_bit():
        return other(Kind.OUTGOING)  # ext_in_msg_info: an external message carries no value
    message = MessageAny.deserialize(message_cell.begin_parse())
    info = message.info
    assert isinstance(info, InternalMsgInfo)
    if not _is_account(info.dest, workchain, account_hash):
        raise UnreadableTransactionError("its message is for another account")
    description = TransactionDescr.deserialize(header.description.begin_parse())
    delivery = read_delivery(description, info, header.state)
    sender = info.src.to_str(is_user_friendly=False)
    content = read_body(message.body, ours=sender in jetton_wallets)
    if not content.jettons and not info.value_coins:
        return other(Kind.SERVICE)
    decision = decide(delivery, content.body)
    attached = info.value_coins if decision.ton is Booking.OPERATING else 0
    if content.jettons and decision.jettons is not Booking.IGNORED:
        return Receipt(
            header.at,
            header.before,
            header.utime,
            Kind.TRANSFER,
            jetton_wallets[sender],
            content.jettons,
            content.sender,
            content.comment,
            plain=decision.jettons is Booking.CREDITED,
            attached=attached,
        )
    if decision.ton in (Booking.CREDITED, Booking.UNATTRIBUTED):
        # Where a contract sent the value on in the same transaction, a person decides.
        plain = decision.ton is Booking.CREDITED and not _sends_value(header, messages)
        return Receipt(
            header.at,
            header.before,
            header.utime,
            Kind.BOUNCED if delivery.bounced else Kind.TRANSFER,
            "TON",
            info.value_coins,
            sender,
            None if delivery.bounced else content.comment,
            plain,
        )
    return other(_unbooked_kind(delivery, content), attached)


def _unbooked_kind(delivery: Delivery, content: Content) -> Kind:
    """The kind of a transaction that makes no deposit."""
    if went_back(delivery):
        return Kind.RETURNED
    return Kind.FOREIGN_JETTON if content.body is Body.FOREIGN_NOTIFICATION else Kind.SERVICE


def read_delivery(description: Any, info: InternalMsgInfo, state: AccountState) -> Delivery:
    """The phases of `trans_ord`, and `orig_status`. Raises ValueError for another kind of transaction."""
    if description.type_ != "ordinary":
        raise ValueError(f"a {description.type_} transaction with a message")
    phase = description.compute_ph
    if phase.type_ == "skipped":
        compute = Compute(phase.reason.type_)
    else:
        compute = Compute.OK if phase.success else Compute.FAILED
    return Delivery(
        bounce=info.bounce,
        bounced=info.bounced,
        state=AccountState.SUSPENDED if compute is Compute.SUSPENDED else state,
        compute=compute,
        bounce_phase=Bounce.NONE if description.bounce is None else BOUNCES[description.bounce.type_],
    )


def _is_account(address: Address, workchain: int, account_hash: bytes) -> bool:
    """True if a message to `address` reaches the account; an anycast prefix rewrites its first bits."""
    skipped = address.anycast.depth if address.anycast is not None else 0
    kept = 256 - skipped
    mask = (1 << kept) - 1
    same = int.from_bytes(address.hash_part, "big") ^ int.from_bytes(account_hash, "big")
    return address.wc == workchain and not same & mask


def _sends_value(header: _Header, messages: Slice) -> bool:
    """True if an outgoing message is internal. An external one is a log entry and carries no value."""
    if not header.outgoing:
        return False
    internal = messages.load_dict(
        15, value_deserializer=lambda source: not source.load_ref().begin_parse().load_bit()
    )
    return any((internal or {}).values())


def raw_address(text: str) -> str:
    """Any form of an address as workchain:hash. Raises ValueError."""
    try:
        address = Address(text)
        if len(address.hash_part) != 32 or address.wc not in (0, -1):
            raise ValueError(f"workchain {address.wc}, {len(address.hash_part)} bytes")
        raw: str = address.to_str(is_user_friendly=False)
    except Exception as error:  # ton-core raises anything from IndexError to AddressError
        raise ValueError(f"not a TON address: {text[:80]!r}") from error
    return raw
