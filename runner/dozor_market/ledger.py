"""The ledger's door: post a movement, read a balance, audit the whole.

Balance, immutability, uniqueness of references and no-overdraft are the database's own constraints
(migration 0010); this module only words them. Amounts are integers of the smallest unit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import asyncpg

from dozor.errors import DozorError
from dozor.storage.postgres.pool import Connection

MAX_AMOUNT: Final = 2**63 - 1
"""What a bigint holds; 9.2 billion TON in nanotons."""


class LedgerError(DozorError):
    """Money cannot be moved as asked. Nothing was moved."""


class AmountError(LedgerError):
    """Not a positive integer that fits a bigint."""


class AlreadyPostedError(LedgerError):
    """A movement with this reference exists: the event has been applied before."""


class InsufficientFundsError(LedgerError):
    """An account that must not go below zero would."""


class AccountKind(StrEnum):
    """See the comment on market.accounts.kind."""

    AVAILABLE = "available"
    HELD = "held"
    COLLATERAL = "collateral"
    HOUSE = "house"
    EXTERNAL = "external"
    UNATTRIBUTED = "unattributed"
    OPERATING = "operating"


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of a movement: `amount` added to the account of that user (None: the house) and kind."""

    user_id: int | None
    kind: AccountKind
    amount: int


CREATE_USER: Final = "INSERT INTO market.users (name) VALUES ($1) RETURNING id"
BALANCE: Final = """
SELECT balance FROM market.accounts
 WHERE user_id IS NOT DISTINCT FROM $1::bigint AND kind = $2 AND currency = $3"""
POST: Final = """
WITH movement AS (INSERT INTO market.movements (reference) VALUES ($1) RETURNING id),
     side AS (SELECT (SELECT a.id FROM market.accounts a
                       WHERE a.kind = s.kind AND a.currency = $2
                         AND (a.user_id = s.user_id OR s.user_id IS NULL AND a.user_id IS NULL)
                     ) AS account_id,
                     s.amount
                FROM unnest($3::bigint[], $4::text[], $5::bigint[]) AS s (user_id, kind, amount)),
     posted AS (INSERT INTO market.postings (movement_id, account_id, currency, amount)
                SELECT movement.id, side.account_id, $2, side.amount FROM movement, side)
SELECT id FROM movement"""
FAULTS: Final = """
SELECT format('movement %s: postings in %s sum to %s', movement_id, currency, sum(amount)) AS fault
  FROM market.postings GROUP BY movement_id, currency HAVING sum(amount) <> 0
UNION ALL
SELECT format('account %s: balance %s, postings sum to %s', a.id, a.balance, coalesce(p.total, 0))
  FROM market.accounts a
  LEFT JOIN (SELECT account_id, sum(amount) AS total FROM market.postings GROUP BY 1) p ON p.account_id = a.id
 WHERE a.balance <> coalesce(p.total, 0)
UNION ALL
SELECT format('account %s: %s is below zero', id, balance) FROM market.accounts
 WHERE balance < 0 AND kind <> 'external'
UNION ALL
SELECT format('%s: balances sum to %s', currency, sum(balance)) FROM market.accounts
 GROUP BY currency HAVING sum(balance) <> 0
UNION ALL
SELECT format('account %s: holds %s, open bids and presales need %s', a.id, a.balance, coalesce(h.total, 0))
  FROM market.accounts a LEFT JOIN market.holds h ON h.account_id = a.id
 WHERE a.kind = 'held' AND a.balance <> coalesce(h.total, 0)"""


def check_amount(amount: object) -> int:
    """`amount` if it is a positive int that fits a bigint. Raises AmountError (bool and float too)."""
    if type(amount) is not int:
        raise AmountError(f"an amount is an integer of the smallest unit, not {amount!r}")
    if not 0 < amount <= MAX_AMOUNT:
        raise AmountError(f"an amount is between 1 and {MAX_AMOUNT}, not {amount}")
    return amount


@asynccontextmanager
async def worded(reference: str) -> AsyncIterator[None]:
    """The database's refusals as LedgerErrors. The transaction around it is lost, as PostgreSQL has it."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "movements_once":
            raise AlreadyPostedError(f"{reference} has been posted before") from error
        raise LedgerError(f"{reference}: {error}") from error
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "accounts_no_overdraft":
            raise InsufficientFundsError(f"{reference}: not enough money") from error
        raise LedgerError(f"{reference}: {error}") from error
    except (asyncpg.ForeignKeyViolationError, asyncpg.NotNullViolationError) as error:
        raise LedgerError(f"{reference}: no such account") from error
    except asyncpg.NumericValueOutOfRangeError as error:
        raise AmountError(f"{reference}: a balance would not fit a bigint") from error


async def create_user(connection: Connection, name: str) -> int:
    """A new user with every account, empty."""
    user: int = await connection.fetchval(CREATE_USER, name)
    return user


async def post(connection: Connection, reference: str, currency: str, postings: Sequence[Posting]) -> int:
    """Write one movement of `currency`. Returns its id.

    Raises AlreadyPostedError, InsufficientFundsError, AmountError, and LedgerError for what is unbalanced,
    empty or names no account.
    """
    async with worded(reference), connection.transaction():
        movement: int = await connection.fetchval(
            POST,
            reference,
            currency,
            [posting.user_id for posting in postings],
            [posting.kind.value for posting in postings],
            [posting.amount for posting in postings],
        )
    return movement


async def transfer(
    connection: Connection,
    reference: str,
    currency: str,
    amount: int,
    *,
    source: tuple[int | None, AccountKind],
    target: tuple[int | None, AccountKind],
) -> int:
    """Post `amount` from one account to another. Raises as `post` does."""
    check_amount(amount)
    return await post(connection, reference, currency, [Posting(*source, -amount), Posting(*target, amount)])


async def read_balance(connection: Connection, user_id: int | None, kind: AccountKind, currency: str) -> int:
    """The balance in smallest units. Raises LedgerError when there is no such account."""
    balance: int | None = await connection.fetchval(BALANCE, user_id, kind.value, currency)
    if balance is None:
        raise LedgerError(f"no account {kind} of user {user_id} in {currency}")
    return balance


async def audit(connection: Connection) -> list[str]:
    """Every fault of the ledger, in words; empty when money is conserved. Reads all of it."""
    return [row["fault"] for row in await connection.fetch(FAULTS)]
