"""One page of `/status`, counted, sorted and limited by the database.

The health of a task is decided twice, in SQL and by `health_of`, from one table; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dozor.control.queries.status import COLUMNS, StatusReport, TaskStatus, read_status_of
from dozor.control.task_states import STATES, Health, health_of
from dozor.storage.postgres.pool import Connection

BROKEN = (Health.STOPPED, Health.FAILING)

_UNWELL = " ".join(
    f"WHEN state = '{state.value}' THEN {traits.health.value}"
    for state, traits in STATES.items()
    if traits.health is not Health.WELL
)
HEALTH = (
    f"CASE {_UNWELL} WHEN consecutive_failures > 0 THEN {Health.FAILING.value} ELSE {Health.WELL.value} END"
)

COUNTS_SQL = f"SELECT {HEALTH} AS health, count(*) AS count FROM dozor.tasks WHERE configured GROUP BY 1"  # noqa: S608 -- constants alone

PAGE_SQL = f"""
SELECT {COLUMNS} FROM dozor.tasks
WHERE configured AND (NOT $1::boolean OR {HEALTH} <= 1)
ORDER BY {HEALTH}, failing_since NULLS LAST, position, name LIMIT $2 OFFSET $3
"""  # noqa: S608 -- constants alone


@dataclass(frozen=True, slots=True)
class StatusPage:
    """`report.tasks`: those on page `number` (from 0) of `pages`. `counts`: of all tasks."""

    report: StatusReport
    counts: Mapping[Health, int]
    number: int
    pages: int

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def health(task: TaskStatus) -> Health:
    return health_of(task.state, task.consecutive_failures)


async def read_page(connection: Connection, number: int, size: int, *, failing: bool) -> StatusPage:
    """The worst first; `failing`: only what is stopped or fails. A page that is no more is the last one."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        counts = {Health(row["health"]): row["count"] for row in await connection.fetch(COUNTS_SQL)}
        shown = sum(count for kind, count in counts.items() if not failing or kind in BROKEN)
        pages = max(1, -(-shown // size))
        number = min(number, pages - 1)
        rows = await connection.fetch(PAGE_SQL, failing, size, number * size)
        return StatusPage(await read_status_of(connection, rows), counts, number, pages)
