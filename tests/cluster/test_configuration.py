"""The configuration at a take-over: read again, and the last good one if the file is invalid."""

from __future__ import annotations

import signal

from dozor.storage.postgres.pool import Pool
from tests.cluster.members import LEADS, TTL, Members


async def test_the_next_leader_uses_the_changed_file_or_the_last_good_one_if_it_is_invalid(
    members: Members, pool: Pool
) -> None:
    members.write()
    first = await members.leader()
    second = await members.standby()
    run = {"run": "spanned:run", "every": "100ms"}
    members.write({"t": run, "u": run})
    first.signal(signal.SIGTERM)
    await members.runs_in(second, within=20, task="u")
    assert await first.ends() == 0

    third = await members.standby()
    members.config.write_text(members.config.read_text() + "nonsense: 1\n")
    second.signal(signal.SIGTERM)
    await third.says(LEADS, within=TTL)
    await members.runs_in(third, within=10, task="u")
    await third.says("nonsense", within=10)
    kinds = set()
    for _ in range(100):
        kinds = {row["kind"] for row in await pool.fetch("SELECT kind FROM dozor.notifications")}
        if "reload_refused" in kinds:
            break
        await pool.fetchval("SELECT pg_sleep(0.1)")
    assert "reload_refused" in kinds
    # The hand-over itself sends nothing: only the first start did not find a predecessor.
    assert "runner_started" not in {
        row["kind"]
        for row in await pool.fetch("SELECT kind FROM dozor.notifications WHERE key NOT LIKE '1%'")
    }
    assert await second.ends() == 0
    assert await third.stop() == 0
