"""Which value of an inbound message stays with our account, and where it is booked. Pure.

Sources:

- block.tlb of ton-blockchain/ton: `trans_ord`, `TrComputePhase`, `ComputeSkipReason`, `TrBouncePhase`,
  `AccountStatus`, `int_msg_info`.
- crypto/block/transaction.cpp and validator/impl/collator.cpp of the same repository: a bounce phase is
  prepared only for a message with `bounce` set, when the compute phase was skipped or failed, when the new
  state exceeds the limits, or when the action phase asks for it. Only `tr_phase_bounce_ok` creates the
  message that carries the value back. `tr_phase_bounce_nofunds`: the value does not cover the fee of
  that message, and the value stays.
- docs.ton.org, "Execution phases" and "Internal messages": text and binary comments, `bounced` messages.
- TEP-74: `transfer_notification` and `excesses`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never


class AccountState(StrEnum):
    """State of our account before the transaction (`orig_status`)."""

    NONEXIST = "nonexist"
    UNINIT = "uninit"
    FROZEN = "frozen"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    """Not deployed, and its initialisation is suspended by config parameter 44. block.tlb has no status of
    this name: the transaction shows it as a compute phase skipped with `cskip_suspended`."""


class Compute(StrEnum):
    """Result of the compute phase."""

    OK = "ok"
    FAILED = "exit code"
    NO_STATE = "no_state"
    BAD_STATE = "bad_state"
    NO_GAS = "no_gas"
    SUSPENDED = "suspended"


class Bounce(StrEnum):
    """The bounce phase."""

    NONE = "none"
    NEGATIVE_FUNDS = "negative funds"
    NO_FUNDS = "no funds"
    OK = "ok"


class Body(StrEnum):
    """What the message's body says."""

    EMPTY = "empty"
    """No operation: fewer than 32 bits."""
    TEXT = "text"
    """Operation 0, then UTF-8 text."""
    EMPTY_TEXT = "empty text"
    """Operation 0, then nothing, or nothing but white space."""
    BINARY = "binary"
    """Operation 0, then a binary comment (first byte 0xff), or bytes that are not UTF-8 or too many."""
    NOTIFICATION = "transfer_notification"
    """TEP-74, from a jetton wallet registered for this account."""
    FOREIGN_NOTIFICATION = "foreign transfer_notification"
    """TEP-74, from any other address: anybody can send one."""
    EXCESSES = "excesses"
    """TEP-74: the TON left over from a jetton transfer."""
    ENCRYPTED = "encrypted"
    """Operation 0x2167da4b: a comment that only the recipient's key decrypts."""
    UNKNOWN = "unknown operation"
    """Any other operation."""


class Booking(StrEnum):
    """Where a value goes in the ledger."""

    CREDITED = "credited"
    """To the user whose own address it came to, or whose invoice the comment names. Without either it is
    booked as UNATTRIBUTED."""
    UNATTRIBUTED = "unattributed"
    """To the account `unattributed`, with an alert: a person finds the owner."""
    OPERATING = "operating"
    """To the marketplace's own account `operating`."""
    IGNORED = "ignored"
    """Not booked: it did not stay with us, or there is nothing."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the chain processed one inbound internal message."""

    bounce: bool
    """The sender asked for the value back if the message cannot be processed."""
    bounced: bool
    """The message is itself an earlier message of ours that came back. Only validators set this flag."""
    state: AccountState
    compute: Compute
    bounce_phase: Bounce


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the TON of a message goes, and where the jettons that it announces go."""

    ton: Booking
    jettons: Booking = Booking.IGNORED


_NOTHING: Final = Decision(Booking.IGNORED)


def went_back(delivery: Delivery) -> bool:
    """True if the value left our account again, which a successful bounce phase alone does.

    Nothing else of `delivery` decides. A transaction is `aborted` whenever its compute or action phase did
    not succeed, yet the credit phase has added the value to the balance (docs.ton.org, "Execution phases"):

    - compute skipped `no_state`: the first deposit to an address whose wallet is not deployed yet;
    - `no_gas`: too little value to pay for gas, as with the 1 nanoton of most jetton notifications;
    - `bad_state`, `suspended`, and a frozen account: the contract cannot run, its balance grows;
    - an exit code: the contract refused, and without `bounce` the value stays;
    - bounce phase without funds: the value does not cover the fee of the message that would return it.
    """
    match delivery.bounce_phase:
        case Bounce.OK:
            return True
        case Bounce.NONE | Bounce.NO_FUNDS | Bounce.NEGATIVE_FUNDS:
            return False
        case _:
            assert_never(delivery.bounce_phase)


def decide(delivery: Delivery, body: Body) -> Decision:
    """Where the value of a message with this body goes.

    - A successful bounce phase: the TON is not ours any more. Jettons announced by our jetton wallet are: its
      balance does not depend on the notification (the reference wallet of TEP-74 does not take them back when
      a notification bounces, another implementation may), so a person decides.
    - `bounced`: a transfer of ours has come back. Its body holds the beginning of what we sent (after
      0xffffffff), never a payer's comment, so it is booked as unattributed.
    - `transfer_notification` and `excesses`: the attached TON is network change, not a deposit.
    - Plain transfers (empty body or a comment of any form, also binary or encrypted): to the owner, if one
      is known. A comment that cannot be read names no invoice; on a user's own address none is needed.
    - An unknown operation: unattributed, also on a user's own address.
    """
    if went_back(delivery):
        return Decision(Booking.IGNORED, Booking.UNATTRIBUTED) if body is Body.NOTIFICATION else _NOTHING
    if delivery.bounced:
        return Decision(Booking.UNATTRIBUTED)
    match body:
        case Body.NOTIFICATION:
            return Decision(Booking.OPERATING, Booking.CREDITED)
        case Body.FOREIGN_NOTIFICATION | Body.EXCESSES:
            return Decision(Booking.OPERATING)
        case Body.EMPTY | Body.TEXT | Body.EMPTY_TEXT | Body.BINARY | Body.ENCRYPTED:
            return Decision(Booking.CREDITED)
        case Body.UNKNOWN:
            return Decision(Booking.UNATTRIBUTED)
        case _:
            assert_never(body)
