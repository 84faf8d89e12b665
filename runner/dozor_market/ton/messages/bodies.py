"""The body of an inbound message: its operation, its comment, the jettons it announces. Pure.

Sources: docs.ton.org, "Internal messages" (operation, text and binary comments, comments over several cells);
TEP-74 (`transfer_notification#7362d09c`, `excesses#d53276db`, comments in `forward_payload`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ton_core import Address, Cell, Slice

from dozor_market.ton.messages.arrival import Body

TEXT_COMMENT: Final = 0
TRANSFER_NOTIFICATION: Final = 0x7362D09C
"""TEP-74: the jetton wallet notifies its owner of what has come."""
EXCESSES: Final = 0xD53276DB
"""TEP-74: what a jetton transfer did not use up."""
ADDR_STD: Final = 0b10
ADDRESS_BITS: Final = 2 + 1 + 8 + 256
BINARY_COMMENT: Final = 0xFF
ENCRYPTED_COMMENT: Final = 0x2167DA4B
"""docs.ton.org, "Internal messages": a text that only the recipient's key decrypts."""
COMMENT_BYTES: Final = 1024
"""Longer comments are nobody's invoice."""
COMMENT_CELLS: Final = 512
"""The chain limits the depth of a message to 512 cells."""


class TruncatedBodyError(ValueError):
    """The body ends before its fields do."""


@dataclass(frozen=True, slots=True)
class Content:
    """`jettons` (smallest units) and `sender` (raw form, or empty) are a NOTIFICATION's alone."""

    body: Body
    comment: str | None = None
    jettons: int = 0
    sender: str = ""


def read_body(cell: Cell, *, ours: bool) -> Content:
    """`ours`: the message is from a jetton wallet of this account.

    Raises TruncatedBodyError for a notification of ours that is cut off.
    """
    if cell.is_exotic:  # a library or a proof in place of the body
        return Content(Body.UNKNOWN)
    body = cell.begin_parse()
    if body.remaining_bits < 32:
        return Content(Body.EMPTY)  # wallet contracts take it as a transfer without a comment
    operation = body.load_uint(32)
    if operation == TEXT_COMMENT:
        return Content(*_read_comment(body))
    if operation == ENCRYPTED_COMMENT:
        return Content(Body.ENCRYPTED)
    if operation == EXCESSES:
        return Content(Body.EXCESSES)
    if operation == TRANSFER_NOTIFICATION:
        return _read_notification(body) if ours else Content(Body.FOREIGN_NOTIFICATION)
    return Content(Body.UNKNOWN)


def _read_notification(body: Slice) -> Content:
    """transfer_notification after its operation: query id, amount, sender, payload (here or in a ref)."""
    _need(body, 64 + 4)
    body.skip_bits(64)
    _need(body, 4 + 8 * body.preload_uint(4))
    amount: int = body.load_coins()
    _need(body, 2)
    _need(body, ADDRESS_BITS if body.preload_uint(2) == ADDR_STD else 2)
    sender: Any = body.load_address()
    name = sender.to_str(is_user_friendly=False) if isinstance(sender, Address) else ""
    return Content(Body.NOTIFICATION, _read_payload(body), amount, name)


def _read_payload(body: Slice) -> str | None:
    """forward_payload: (Either Cell ^Cell). Some jettons leave it out. None: it is not a text comment."""
    if not body.remaining_bits:
        return None
    if body.load_bit():
        if not body.remaining_refs:
            return None
        cell = body.load_ref()
        if cell.is_exotic:
            return None
        body = cell.begin_parse()
    if body.remaining_bits < 32 or body.load_uint(32) != TEXT_COMMENT:
        return None
    return _read_comment(body)[1]


def _read_comment(body: Slice) -> tuple[Body, str | None]:
    """A comment after its operation, over one or more cells ("snake"); the text without space around it."""
    data = b""
    for _ in range(COMMENT_CELLS):
        if body.remaining_bits % 8:
            return Body.BINARY, None
        data += body.load_bytes(body.remaining_bits // 8)
        if len(data) > COMMENT_BYTES or data[:1] == bytes([BINARY_COMMENT]):
            return Body.BINARY, None
        if not body.remaining_refs:
            break
        cell = body.load_ref()
        if cell.is_exotic:
            return Body.BINARY, None
        body = cell.begin_parse()
    else:
        return Body.BINARY, None
    try:
        text = data.decode().replace("\0", "").strip()
    except UnicodeDecodeError:
        return Body.BINARY, None
    return (Body.TEXT, text) if text else (Body.EMPTY_TEXT, None)


def _need(body: Slice, bits: int) -> None:
    """Slice reads what is left where fewer bits than asked for are left."""
    if body.remaining_bits < bits:
        raise TruncatedBodyError(f"{body.remaining_bits} bits left, {bits} needed")
