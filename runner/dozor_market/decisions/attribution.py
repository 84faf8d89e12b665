"""Deposits whose owner a person found out, or corrected: to the user from the unattributed account, or from
another user, once each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.calls import once
from dozor_market.codes import issue_invoice
from dozor_market.decisions.auditing import Audit, with_reason
from dozor_market.ledger import AccountKind, LedgerError, transaction, transfer

__all__ = [
    "Attributed",
    "AttributionError",
    "Reassigned",
    "attribute",
    "issue_invoice",
    "reassign",
]

LOCK: Final = """
SELECT state, currency, amount, user_id, reassigned FROM market.deposits WHERE id = $1 FOR UPDATE"""
ATTRIBUTE: Final = "UPDATE market.deposits SET state = 'attributed', user_id = $2 WHERE id = $1"
REASSIGN: Final = """
UPDATE market.deposits SET state = 'attributed', user_id = $2, reassigned = reassigned + 1 WHERE id = $1"""
SOURCES: Final = {"unmatched": AccountKind.UNATTRIBUTED, "internal": AccountKind.EXTERNAL}
"""The account that the money of a deposit comes from, by state. An internal one is not posted yet."""
USER: Final = "SELECT true FROM market.users WHERE id = $1"


class AttributionError(LedgerError):
    """The deposit stays as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Attributed:
    """A deposit that was given to a user; `amount` in smallest units. As text: for the audit."""

    deposit_id: int
    user_id: int
    currency: str
    amount: int

    def __str__(self) -> str:
        return (
            f"{self.amount} units of {self.currency} from deposit {self.deposit_id} "
            f"went to user {self.user_id}"
        )


@dataclass(frozen=True, slots=True)
class Reassigned:
    """A deposit that was moved from one user to another; `amount` in smallest units."""

    deposit_id: int
    from_user: int
    user_id: int
    currency: str
    amount: int

    def __str__(self) -> str:
        return (
            f"{self.amount} units of {self.currency} from deposit {self.deposit_id} "
            f"went from user {self.from_user} to user {self.user_id}"
        )


async def attribute(
    connection: Connection, deposit_id: int, user_id: int, *, key: str | None = None
) -> Attributed:
    """Give an unmatched deposit to a user, or an internal one: a payout of ours to the user's own address.

    `key`: idempotency key (calls.py).
    Raises AttributionError, KeyReusedError.
    """
    async with once(connection, key, "attribution", deposit_id=deposit_id, user_id=user_id) as call:
        deposit = await connection.fetchrow(LOCK, deposit_id)
        if deposit is None:
            raise AttributionError(msg("error-no-deposit", deposit=deposit_id))
        done = Attributed(deposit_id, user_id, deposit["currency"], deposit["amount"])
        if call.repeated:
            return done
        if deposit["state"] not in SOURCES:
            raise AttributionError(msg("error-deposit-state", deposit=deposit_id, state=deposit["state"]))
        if await connection.fetchval(USER, user_id) is None:
            raise AttributionError(msg("error-no-user", user=user_id))
        await transfer(
            connection,
            f"deposit:{deposit_id}:attributed",
            deposit["currency"],
            deposit["amount"],
            source=(None, SOURCES[deposit["state"]]),
            target=(user_id, AccountKind.AVAILABLE),
        )
        await connection.execute(ATTRIBUTE, deposit_id, user_id)
        call.result = deposit_id
    return done


async def reassign(
    connection: Connection, deposit_id: int, user_id: int, *, audit: Audit, reason: str = ""
) -> Reassigned:
    """Move a deposit from the user who got it to another one, with an entry in the audit.

    Raises AttributionError, and InsufficientFundsError when the first user has spent the money.
    """
    async with transaction(connection):
        deposit = await connection.fetchrow(LOCK, deposit_id)
        if deposit is None:
            raise AttributionError(msg("error-no-deposit", deposit=deposit_id))
        if deposit["user_id"] is None:
            raise AttributionError(
                msg("error-market-reassign-state", deposit=str(deposit_id), state=deposit["state"])
            )
        if deposit["user_id"] == user_id:
            raise AttributionError(
                msg("error-market-reassign-same", deposit=str(deposit_id), user=str(user_id))
            )
        if await connection.fetchval(USER, user_id) is None:
            raise AttributionError(msg("error-no-user", user=user_id))
        await transfer(
            connection,
            f"deposit:{deposit_id}:reassigned:{deposit['reassigned'] + 1}",
            deposit["currency"],
            deposit["amount"],
            source=(deposit["user_id"], AccountKind.AVAILABLE),
            target=(user_id, AccountKind.AVAILABLE),
        )
        await connection.execute(REASSIGN, deposit_id, user_id)
        done = Reassigned(deposit_id, deposit["user_id"], user_id, deposit["currency"], deposit["amount"])
        await audit.record(connection, "reassign", f"deposit {deposit_id}", with_reason(str(done), reason))
    return done
