"""Idempotency keys: a call that is repeated with its key returns what it returned before and moves nothing.

A caller that got no answer repeats the call with the same key. The key is stored in the transaction of the
call, so that a call that was refused or rolled back leaves none and may be repeated. The same key with other
arguments, or for another call, is refused. Two calls with one key at once: the second waits for the first.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor_market.ledger import LedgerError, transaction

MAX_KEY: Final = 200
"""Characters."""
SHOWN: Final = 200
"""Characters of a wrong key that an error quotes."""

CLAIM_KEY_SQL: Final = """
INSERT INTO market.calls (key, call, arguments) VALUES ($1, $2, $3)
    ON CONFLICT (key) DO NOTHING RETURNING true"""
EARLIER_CALL_SQL: Final = "SELECT call, arguments, result FROM market.calls WHERE key = $1"
KEEP_RESULT_SQL: Final = "UPDATE market.calls SET result = $2 WHERE key = $1"


class KeyReusedError(LedgerError):
    """The idempotency key belongs to another call, or to the same one with other arguments."""


class KeyShapeError(LedgerError):
    """Not a text of 1 to MAX_KEY characters."""


@dataclass(slots=True)
class Call:
    """A call within its transaction. `result`: the id that it returns.

    repeated: the call was made before and `result` is what it returned then; nothing must be done.
    """

    repeated: bool = False
    result: int | None = None


@asynccontextmanager
async def once(
    connection: Connection, key: str | None, call: str, **arguments: object
) -> AsyncIterator[Call]:
    """The transaction of a call (`ledger.transaction`), with its key claimed first and its result kept last.

    `key` None: no key, the call is made whatever was called before. Arguments: None, bool, int, str and
    datetimes with a zone. Raises KeyReusedError, KeyShapeError, IsolationError.
    """
    check_key(key)
    async with transaction(connection):
        if key is None:
            yield Call()
            return
        text = _as_text(arguments)
        if await connection.fetchval(CLAIM_KEY_SQL, key, call, text) is None:
            earlier = await connection.fetchrow(EARLIER_CALL_SQL, key)
            if earlier is None or (earlier["call"], earlier["arguments"]) != (call, text):
                # Without the earlier arguments: they may be another user's sealed bid.
                name = "" if earlier is None else earlier["call"]
                raise KeyReusedError(msg("error-market-key-reused", key=repr(key), call=name))
            yield Call(repeated=True, result=earlier["result"])
            return
        made = Call()
        yield made
        await connection.execute(KEEP_RESULT_SQL, key, made.result)


def check_key(key: object) -> None:
    """Raises KeyShapeError unless `key` is None or can be kept as a key."""
    if key is None:
        return
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY or "\0" in key or not _encodable(key):
        raise KeyShapeError(msg("error-market-key-shape", most=MAX_KEY, value=repr(key)[:SHOWN]))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_text(arguments: dict[str, object]) -> str:
    return json.dumps(arguments, sort_keys=True, ensure_ascii=True, default=_plain)


def _plain(value: object) -> str:
    """Equal moments are equal arguments, whatever their zone."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
