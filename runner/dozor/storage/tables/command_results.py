"""Table `dozor.commands`, the runner's side: results of commands, with their audit rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dozor.storage.postgres.pool import Connection


@dataclass(frozen=True, slots=True)
class CommandResultRow:
    """`state`: done, refused or expired; `result`: a reason code.

    `run_number`: the task's how-manieth run the command has started, None if it started none.
    """

    command_id: int
    state: str
    result: str
    run_number: int | None = None


ANSWER_SQL = """
WITH answered AS (
    UPDATE dozor.commands c SET state = n.state, result = n.result, run_number = n.run_number,
        finished_at = now()
    FROM unnest($1::int8[], $2::text[], $3::text[], $4::int8[]) AS n(id, state, result, run_number)
    WHERE c.id = n.id AND c.state = 'pending'
    RETURNING c.actor, c.place, c.name, c.task, c.result)
INSERT INTO dozor.audit (actor, source, place, action, target, result)
SELECT actor, split_part(actor, ':', 1), place, name, task, result FROM answered
"""


async def answer(connection: Connection, answers: Sequence[CommandResultRow]) -> None:
    """Settle these commands; one that is settled already is not changed."""
    await connection.execute(
        ANSWER_SQL,
        [a.command_id for a in answers],
        [a.state for a in answers],
        [a.result for a in answers],
        [a.run_number for a in answers],
    )
