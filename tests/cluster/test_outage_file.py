"""The outage file of a process that was overtaken: set aside, and an incident lists what it had sent."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from dozor import Runner
from dozor.storage.postgres.pool import Pool
from dozor.storage.spool import ASIDE, NAME, Spool, SpoolState
from tests.cluster.members import Members
from tests.storage.rows import incident, note, task
from tests.waiting import until


async def test_it_is_set_aside_and_what_it_had_sent_is_listed(members: Members, pool: Pool) -> None:
    members.write(state_dir=str(members.folder))
    path = members.folder / NAME
    for number in (1, 2, 3):  # the third one leads after the one that left the file; all wrote something
        await pool.execute(
            "INSERT INTO dozor.runners (host, pid, version, started_at, seen_at, ended_at, clean)"
            " VALUES ('h', $1, 'v', now() - interval '1 h', now() - interval '1 m', now(), true)",
            number,
        )
    await Spool(path).keep(_left_by(2))
    async with Runner.from_config(Path(members.config)) as runner:
        await until(lambda: runner.leads)
        assert not path.exists()
        assert path.with_name(NAME + ASIDE).exists()
        found = [one for one in runner.incident_manager.open_incidents if one.fingerprint == "outage file"]
    assert len(found) == 1
    assert re.search("t: repeated_errors", found[0].summary)
    assert "never sent" not in found[0].summary
    assert await pool.fetchval("SELECT count(*) FROM dozor.incidents WHERE id = 77") == 0


def _left_by(runner_id: int) -> SpoolState:
    sent = replace(note("sent"), task="t", kind="repeated_errors")
    return SpoolState(
        runner_id=runner_id,
        tasks=(task("t", failures=5, state="stopped"),),
        incidents=(incident(77),),
        notifications=(sent, replace(note("never"), task="never sent")),
        delivered={"sent": 12},
        elsewhere=frozenset(),
        unknown=frozenset(),
    )
