"""What a transaction of our wallet means. Pure: a cell goes in, a Receipt comes out.

The layouts are those of TON's block.tlb and of TEP-74 (jettons), read by ton-core; the hash is computed from
the cell, never taken from the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ton_core import Address, Cell, InternalMsgInfo, Slice, Transaction

from dozor.language import msg

TEXT_COMMENT: Final = 0
TRANSFER_NOTIFICATION: Final = 0x7362D09C
"""TEP-74: the jetton wallet tells its owner what has come."""
EXCESSES: Final = 0xD53276DB
"""TEP-74: change of a transfer of ours."""
COMMENT_BYTES: Final = 1024
"""Longer comments are nobody's invoice."""


class UnreadableTransactionError(ValueError):
    """The provider's bytes are no transaction of this account."""


class Kind(StrEnum):
    """What a transaction is to us."""

    TRANSFER = "transfer"
    """Came in: to be credited."""
    BOUNCED = "bounced"
    """Our own transfer, come back."""
    ABORTED = "aborted"
    OUTGOING = "outgoing"
    """Started from outside, to send something."""
    SERVICE = "service"
    """No message, change of a transfer of ours, or nothing in it."""
    FOREIGN_JETTON = "foreign jetton"
    """Says that jettons came, but is not from a jetton wallet of ours."""


@dataclass(frozen=True, slots=True)
class Position:
    """A transaction of one account. `lt` 0: before its first."""

    lt: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """One transaction. `amount`, in smallest units of `currency`, and `sender` are a TRANSFER's alone."""

    at: Position
    before: Position
    """The account's transaction before this one."""
    utime: int
    """Seconds since the epoch (UTC)."""
    kind: Kind
    currency: str = "TON"
    amount: int = 0
    sender: str = ""
    comment: str | None = None
    plain: bool = True
    """Carries a comment or nothing. Otherwise a person decides what it is for."""


def read_transaction(cell: Cell, account: str, jetton_wallets: Mapping[str, str]) -> Receipt:
    """`account` and the keys of `jetton_wallets` (to currencies) are raw addresses.

    Raises UnreadableTransactionError.
    """
    try:
        transaction = Transaction.deserialize(cell.begin_parse())
        if not isinstance(transaction, Transaction):
            raise UnreadableTransactionError(msg("error-transaction-pruned"))
        workchain, _, account_hash = account.partition(":")
        if transaction.account_addr_hex != account_hash:
            raise UnreadableTransactionError(msg("error-transaction-foreign"))
        return _classify(transaction, cell.hash, int(workchain), jetton_wallets)
    except UnreadableTransactionError:
        raise
    except Exception as error:  # whatever ton-core raises at nonsense, the bytes are at fault
        raise UnreadableTransactionError(msg("error-transaction-not", error=type(error).__name__)) from error


def _classify(tx: Any, cell_hash: bytes, workchain: int, jetton_wallets: Mapping[str, str]) -> Receipt:
    at, before = Position(tx.lt, cell_hash), Position(tx.prev_trans_lt, tx.prev_trans_hash)

    def other(kind: Kind) -> Receipt:
        return Receipt(at, before, tx.now, kind)

    if tx.in_msg is None:
        return other(Kind.SERVICE)
    info = tx.in_msg.info
    if not isinstance(info, InternalMsgInfo):
        return other(Kind.OUTGOING)
    if info.dest.hash_part != tx.account_addr or info.dest.wc != workchain:
        raise UnreadableTransactionError(msg("error-transaction-message"))
    if info.bounced:
        return other(Kind.BOUNCED)
    if tx.description.type_ != "ordinary" or tx.description.aborted:
        return other(Kind.ABORTED)
    sender = info.src.to_str(is_user_friendly=False)
    body = tx.in_msg.body.begin_parse()
    operation = body.load_uint(32) if body.remaining_bits >= 32 else None
    if operation == EXCESSES:
        return other(Kind.SERVICE)
    if operation == TRANSFER_NOTIFICATION:
        currency = jetton_wallets.get(sender)
        if currency is None:
            return other(Kind.FOREIGN_JETTON)
        amount, jetton_sender, comment = _read_notification(body)
        if amount == 0:
            return other(Kind.SERVICE)
        return Receipt(at, before, tx.now, Kind.TRANSFER, currency, amount, jetton_sender, comment)
    comment = _read_text(body) if operation == TEXT_COMMENT else None
    plain = operation in (None, TEXT_COMMENT) and not tx.out_msgs
    if info.value_coins == 0:
        return other(Kind.SERVICE)
    return Receipt(at, before, tx.now, Kind.TRANSFER, "TON", info.value_coins, sender, comment, plain)


def _read_notification(body: Slice) -> tuple[int, str, str | None]:
    """transfer_notification after its operation: query id, amount, sender, payload (here or in a ref)."""
    body.skip_bits(64)
    amount: int = body.load_coins()
    sender = body.load_address()
    comment = None
    if body.remaining_bits >= 1:
        payload = body.load_ref().begin_parse() if body.load_bit() and body.remaining_refs else body
        if payload.remaining_bits >= 32 and payload.load_uint(32) == TEXT_COMMENT:
            comment = _read_text(payload)
    return amount, sender.to_str(is_user_friendly=False) if isinstance(sender, Address) else "", comment


def _read_text(body: Slice) -> str | None:
    """A comment over one or more cells ("snake"), stripped; None when it is empty, not UTF-8, or too long."""
    data = b""
    while True:
        if body.remaining_bits % 8:
            return None
        data += body.load_bytes(body.remaining_bits // 8)
        if len(data) > COMMENT_BYTES:
            return None
        if not body.remaining_refs:
            break
        body = body.load_ref().begin_parse()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text.replace("\0", "").strip() or None


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
