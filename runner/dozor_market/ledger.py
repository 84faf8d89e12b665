"""The ledger: post a movement, read a balance, audit the whole.

Balance, immutability, uniqueness of references and no-overdraft are the database's own constraints
(migration 0010); this module only words them. Amounts are integers of the smallest unit.

Every call runs in READ COMMITTED, whatever the database's default is (`transaction`): the calls lock rows and
then read what was committed before, which a snapshot taken earlier does not show.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import asyncpg

from dozor.errors import DozorError
from dozor.language import msg
from dozor.storage.postgres.pool import Connection, Row

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


class IsolationError(LedgerError):
    """The caller's transaction has another isolation level than READ COMMITTED."""


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
    """One side of a movement: `amount` added to the account of that user (None: the marketplace) and kind."""

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
ISOLATION: Final = "SELECT current_setting('transaction_isolation')"
FAULTS: Final = """
SELECT 'unbalanced' AS fault, movement_id AS id, NULL::bigint AS user_id, NULL AS kind, currency,
       sum(amount) AS found, 0::numeric AS expected
  FROM market.postings GROUP BY movement_id, currency HAVING sum(amount) <> 0
UNION ALL
SELECT 'balance', a.id, a.user_id, a.kind, a.currency, a.balance, coalesce(p.total, 0)
  FROM market.accounts a
  LEFT JOIN (SELECT account_id, sum(amount) AS total FROM market.postings GROUP BY 1) p ON p.account_id = a.id
 WHERE a.balance <> coalesce(p.total, 0)
UNION ALL
SELECT 'overdrawn', id, user_id, kind, currency, balance, 0 FROM market.accounts
 WHERE balance < 0 AND kind <> 'external'
UNION ALL
SELECT 'total', NULL, NULL, NULL, currency, sum(balance), 0 FROM market.accounts
 GROUP BY currency HAVING sum(balance) <> 0
UNION ALL
SELECT 'holds', a.id, a.user_id, a.kind, a.currency, a.balance, coalesce(h.total, 0)
  FROM market.accounts a LEFT JOIN market.holds h ON h.account_id = a.id
 WHERE a.kind = 'held' AND a.balance <> coalesce(h.total, 0)
UNION ALL
SELECT 'missing', NULL, u.id, k.kind, c.code, NULL, NULL
  FROM market.users u CROSS JOIN market.currencies c
 CROSS JOIN unnest(ARRAY['available', 'held', 'collateral']) AS k (kind)
 WHERE NOT EXISTS (SELECT FROM market.accounts a
                    WHERE a.user_id = u.id AND a.kind = k.kind AND a.currency = c.code)
UNION ALL
SELECT 'missing', NULL, NULL, k.kind, c.code, NULL, NULL
  FROM market.currencies c
 CROSS JOIN unnest(ARRAY['house', 'external', 'unattributed', 'operating']) AS k (kind)
 WHERE NOT EXISTS (SELECT FROM market.accounts a
                    WHERE a.user_id IS NULL AND a.kind = k.kind AND a.currency = c.code)"""
FAULT_TEXTS: Final = {
    "unbalanced": "error-ledger-fault-unbalanced",
    "balance": "error-ledger-fault-balance",
    "overdrawn": "error-ledger-fault-overdrawn",
    "total": "error-ledger-fault-total",
    "holds": "error-ledger-fault-holds",
    "missing": "error-ledger-fault-missing",
}
"""Texts by the word in column `fault` of FAULTS."""


def check_amount(amount: object) -> int:
    """`amount` if it is a positive int that fits a bigint. Raises AmountError (bool and float too)."""
    if type(amount) is not int:
        raise AmountError(msg("error-ledger-not-amount", value=repr(amount)))
    if not 0 < amount <= MAX_AMOUNT:
        raise AmountError(msg("error-ledger-amount-range", most=str(MAX_AMOUNT), value=str(amount)))
    return amount


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """A transaction in READ COMMITTED, or a savepoint in the caller's transaction.

    Raises IsolationError when the caller's transaction has another level.
    """
    if connection.is_in_transaction():
        async with connection.transaction():
            level: str = await connection.fetchval(ISOLATION)
            if level not in ("read committed", "read uncommitted"):  # PostgreSQL treats both alike
                raise IsolationError(msg("error-ledger-isolation", level=level.upper()))
            yield
    else:
        async with connection.transaction(isolation="read_committed"):
            yield


@asynccontextmanager
async def worded(reference: str) -> AsyncIterator[None]:
    """The database's refusals as LedgerErrors. The transaction around it is lost, as PostgreSQL has it.

    `reference`: what was asked for, in the language of the process.
    """
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "movements_once":
            raise AlreadyPostedError(msg("error-ledger-posted-before", what=reference)) from error
        raise LedgerError(msg("error-ledger-refused", what=reference, reason=error)) from error
    except asyncpg.CheckViolationError as error:
        if error.constraint_name == "accounts_no_overdraft":
            raise InsufficientFundsError(msg("error-ledger-no-money", what=reference)) from error
        raise LedgerError(msg("error-ledger-refused", what=reference, reason=error)) from error
    except (asyncpg.ForeignKeyViolationError, asyncpg.NotNullViolationError) as error:
        raise LedgerError(msg("error-ledger-no-account", what=reference)) from error
    except asyncpg.NumericValueOutOfRangeError as error:
        raise AmountError(msg("error-ledger-balance-range", what=reference)) from error


async def create_user(connection: Connection, name: str) -> int:
    """A new user with every account, empty."""
    async with transaction(connection):
        user: int = await connection.fetchval(CREATE_USER, name)
    return user


async def post(connection: Connection, reference: str, currency: str, postings: Sequence[Posting]) -> int:
    """Write one movement of `currency`. Returns its id.

    Raises AlreadyPostedError, InsufficientFundsError, AmountError, and LedgerError for what is unbalanced,
    empty or names no account.
    """
    async with worded(reference), transaction(connection):
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
        raise LedgerError(
            msg("error-ledger-no-such-account", kind=kind.value, user=str(user_id), currency=currency)
        )
    return balance


async def audit(connection: Connection) -> list[str]:
    """Every fault of the ledger, in words; empty when money is conserved. Reads all of it."""
    return [_fault(row) for row in await connection.fetch(FAULTS)]


def _fault(row: Row) -> str:
    columns = {name: str(value) for name, value in row.items() if name != "fault"}
    columns["owner"] = (
        msg("error-ledger-house")
        if row["user_id"] is None
        else msg("error-ledger-user", user=columns["user_id"])
    )
    return msg(FAULT_TEXTS[row["fault"]], **columns)
