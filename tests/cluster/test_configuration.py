"""The configuration at a take-over: read again, and the last good one if the file is invalid."""

from __future__ import annotations

import signal

from dozor.storage.postgres.pool import Pool
from tests.cluster.members import LEADS, TTL, Members


async def test_an_invalid_file_at_a_take_over_leaves_the_last_good_one_and_is_reported(
    members: Members, pool: Pool
) -> None:
    members.write()
    first = await members.leader()
    second = await members.standby()
    members.config.write_text(members.config.read_text() + "nonsense: 1\n")
    first.signal(signal.SIGTERM)
    await second.says(LEADS, within=TTL)
    await members.runs_in(second, within=10)
    await second.says("nonsense", within=10)
    kinds = set()
    for _ in range(100):
        kinds = {row["kind"] for row in await pool.fetch("SELECT kind FROM dozor.notifications")}
        if "reload_refused" in kinds:
            break
        await pool.fetchval("SELECT pg_sleep(0.1)")
    assert "reload_refused" in kinds
    # The hand-over itself sends nothing: only the first start did not find a predecessor.
    assert "runner_started" not in {
        row["kind"] for row in await pool.fetch("SELECT kind FROM dozor.notifications WHERE key LIKE '2%'")
    }
    assert await first.ends() == 0
    assert await second.stop() == 0


async def test_a_changed_file_is_used_by_the_next_leader(members: Members) -> None:
    members.write()
    first = await members.leader()
    second = await members.standby()
    members.write(
        {"t": {"run": "spanned:run", "every": "100ms"}, "u": {"run": "spanned:run", "every": "100ms"}}
    )
    first.signal(signal.SIGTERM)
    await members.runs_in(second, within=20, task="u")
    assert await first.ends() == 0
    assert await second.stop() == 0
