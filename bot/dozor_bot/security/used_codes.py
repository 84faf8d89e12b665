"""Which one-time codes were used, in the database: a code is not good again after a restart."""

from __future__ import annotations

from dozor.storage.postgres.pool import Pool

USE_SQL = """
INSERT INTO dozor.used_codes AS u (user_id, step, message_id) VALUES ($1, $2, $3)
ON CONFLICT (user_id) DO UPDATE SET step = excluded.step, message_id = excluded.message_id
WHERE u.step < excluded.step OR (u.step = excluded.step AND u.message_id = excluded.message_id)
RETURNING true
"""


async def use_code(pool: Pool, user_id: int, step: int, message_id: int) -> bool:
    """Note that the code of `step` is used up by this message. False: it, or a later one, was used before."""
    async with pool.acquire(timeout=5.0) as connection:
        return bool(await connection.fetchval(USE_SQL, user_id, step, message_id))
