"""What is deleted after a while, and what never is."""

from __future__ import annotations

from dozor.storage.postgres.pool import Pool
from dozor.storage.retention import AUDIT_DAYS, KEEP_DAYS, prune
from dozor.storage.tables import incidents

INCIDENT = """
INSERT INTO dozor.incidents (id, kind, severity, state, fingerprint, summary, opened_at, updated_at,
    resolved_at)
VALUES ($1::bigint, 'hung', 'critical', $2::text, '', '', now() - make_interval(days => $3),
        now() - make_interval(days => $3),
        CASE WHEN $2::text = 'resolved' THEN now() - make_interval(days => $3) END)
"""
LIVING = """
INSERT INTO dozor.living_messages (destination, incident_id, first_id, message_id, shown_at)
SELECT '', id, 1, 1, updated_at - make_interval(secs => $2) FROM dozor.incidents WHERE id = $1
"""


async def test_incidents_long_over_go_open_ones_and_the_newest_stay(pool: Pool) -> None:
    old = KEEP_DAYS + 1
    for number, state, days in (
        (1, "open", old),
        (2, "resolved", old),
        (3, "resolved", 3),
        (4, "resolved", old),
    ):
        await pool.execute(INCIDENT, number, state, days)
    await prune(pool)
    assert [row["id"] for row in await pool.fetch("SELECT id FROM dozor.incidents ORDER BY id")] == [1, 3, 4]
    async with pool.acquire() as connection:
        assert await incidents.last_id(connection) == 4, "no id is given twice"


async def test_what_chats_show_of_the_past_is_forgotten_once_it_is_shown(pool: Pool) -> None:
    for number, state, days, behind in (
        (1, "open", 40, 0),
        (2, "resolved", 3, 0),
        (3, "resolved", 1, 0),
        (4, "resolved", 3, 60),  # still to be edited
        (5, "resolved", 20, 60),  # nobody takes the edit
    ):
        await pool.execute(INCIDENT, number, state, days)
        await pool.execute(LIVING, number, float(behind))
    await prune(pool)
    rows = await pool.fetch("SELECT incident_id FROM dozor.living_messages ORDER BY 1")
    assert [row["incident_id"] for row in rows] == [1, 3, 4]


async def test_runners_long_gone_go_the_last_one_on_watch_stays(pool: Pool) -> None:
    started = "now() - make_interval(days => $2)"
    for number, days, watched in ((1, KEEP_DAYS + 2, 60), (2, KEEP_DAYS + 1, 60), (3, KEEP_DAYS + 1, 0)):
        await pool.execute(
            "INSERT INTO dozor.runners (id, host, pid, version, started_at, seen_at, ended_at) "
            "OVERRIDING SYSTEM VALUE "
            f"VALUES ($1, 'h', 1, 'v', {started}, {started} + make_interval(secs => $3), {started})",
            number,
            days,
            watched,
        )
    await prune(pool)
    rows = await pool.fetch("SELECT id FROM dozor.runners ORDER BY id")
    assert [row["id"] for row in rows] == [2, 3]


async def test_audit_rows_of_more_than_a_year_go(pool: Pool) -> None:
    for actor, days in (("old", AUDIT_DAYS + 1), ("kept", AUDIT_DAYS - 1), ("new", 0)):
        await pool.execute(
            "INSERT INTO dozor.audit (at, actor, source, action, result) "
            "VALUES (now() - make_interval(days => $2), $1, 'web', 'pause', 'denied')",
            actor,
            days,
        )
    await prune(pool)
    rows = await pool.fetch("SELECT actor FROM dozor.audit ORDER BY id")
    assert [row["actor"] for row in rows] == ["kept", "new"]
