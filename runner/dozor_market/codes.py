"""Codes that payers write as the comment of a transfer.

`issue_code` makes one of letters and digits that cannot be mistaken for each other. `issue_invoice` takes a
code that the caller chose, and refuses one that looks like an issued code.
"""

from __future__ import annotations

import secrets
from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.calls import once
from dozor_market.ledger import LedgerError, transaction, worded

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without 0 and O, 1, I and L, and without U, which is read as V. Case does not count."""
LENGTH: Final = 10
"""Characters: 30 ** 10, about 49 bits."""
SHORTEST: Final = 6
LONGEST: Final = 40
MAX_CODE: Final = 120
"""Characters of a code that the caller chose."""
ATTEMPTS: Final = 20

LOCK_CODES_SQL: Final = "SELECT pg_advisory_xact_lock(hashtextextended('market.invoices', 0))"
# Codes that differ in case or in 0 and O, 1, I and L only are one code to a person.
LOOKALIKE_SQL: Final = """
SELECT code FROM market.invoices
 WHERE translate(upper(code), 'OIL', '011') = translate(upper($1::text), 'OIL', '011') LIMIT 1"""
ISSUE_SQL: Final = "INSERT INTO market.invoices (code, user_id) VALUES ($1, $2) RETURNING id"
CODE_SQL: Final = "SELECT code FROM market.invoices WHERE id = $1"


class CodeError(LedgerError):
    """No code was issued; the message says why."""


def new_code(length: int = LENGTH) -> str:
    """A random code. Raises CodeError for a length outside SHORTEST to LONGEST."""
    if type(length) is not int or not SHORTEST <= length <= LONGEST:
        raise CodeError(msg("error-market-code-length", length=repr(length)))
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


async def issue_code(
    connection: Connection, user_id: int, *, length: int = LENGTH, key: str | None = None
) -> str:
    """Issue a new code for a user's deposits and return it. `key`: idempotency key (calls.py).

    Raises CodeError, KeyReusedError, and LedgerError when there is no such user.
    """
    what = msg("error-market-code", user=str(user_id))
    async with worded(what), once(connection, key, "code", user_id=user_id, length=length) as call:
        if call.repeated:
            code: str = await connection.fetchval(CODE_SQL, call.result)
            return code
        await connection.execute(LOCK_CODES_SQL)
        for _ in range(ATTEMPTS):
            code = new_code(length)
            if await connection.fetchval(LOOKALIKE_SQL, code) is None:
                call.result = await connection.fetchval(ISSUE_SQL, code, user_id)
                return code
    raise CodeError(msg("error-market-no-free-code", times=ATTEMPTS))


async def issue_invoice(connection: Connection, code: str, user_id: int) -> int:
    """Register `code`, chosen by the caller, for a user's deposits. Returns the invoice's id.

    Raises CodeError when it is not printable ASCII or looks like one that was issued before, and LedgerError
    when there is no such user.
    """
    if not _printable(code):
        raise CodeError(msg("error-market-code-shape", value=repr(code)[: MAX_CODE + 10]))
    async with worded(msg("error-market-code", user=str(user_id))), transaction(connection):
        await connection.execute(LOCK_CODES_SQL)
        other = await connection.fetchval(LOOKALIKE_SQL, code)
        if other is not None:
            raise CodeError(msg("error-market-code-taken", code=code, other=other))
        invoice: int = await connection.fetchval(ISSUE_SQL, code, user_id)
    return invoice


def _printable(code: object) -> bool:
    return (
        isinstance(code, str)
        and 1 <= len(code) <= MAX_CODE
        and code.isascii()
        and code.isprintable()
        and code == code.strip()
    )
