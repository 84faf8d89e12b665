"""Deposits whose owner a person found out: from the unattributed account to the user, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.ledger import AccountKind, LedgerError, transfer

LOCK: Final = "SELECT state, currency, amount FROM market.deposits WHERE id = $1 FOR UPDATE"
ATTRIBUTE: Final = "UPDATE market.deposits SET state = 'attributed', user_id = $2 WHERE id = $1"
USER: Final = "SELECT true FROM market.users WHERE id = $1"
ISSUE: Final = "INSERT INTO market.invoices (code, user_id) VALUES ($1, $2) RETURNING id"


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


async def attribute(connection: Connection, deposit_id: int, user_id: int) -> Attributed:
    """Give an unmatched deposit to a user. Raises AttributionError."""
    async with connection.transaction():
        deposit = await connection.fetchrow(LOCK, deposit_id)
        if deposit is None:
            raise AttributionError(msg("error-no-deposit", deposit=deposit_id))
        if deposit["state"] != "unmatched":
            raise AttributionError(msg("error-deposit-state", deposit=deposit_id, state=deposit["state"]))
        if await connection.fetchval(USER, user_id) is None:
            raise AttributionError(msg("error-no-user", user=user_id))
        await transfer(
            connection,
            f"deposit:{deposit_id}:attributed",
            deposit["currency"],
            deposit["amount"],
            source=(None, AccountKind.UNATTRIBUTED),
            target=(user_id, AccountKind.AVAILABLE),
        )
        await connection.execute(ATTRIBUTE, deposit_id, user_id)
    return Attributed(deposit_id, user_id, deposit["currency"], deposit["amount"])


async def issue_invoice(connection: Connection, code: str, user_id: int) -> int:
    """`code` is what the payer writes as the comment. Returns the invoice's id."""
    invoice: int = await connection.fetchval(ISSUE, code, user_id)
    return invoice
