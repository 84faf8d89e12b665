"""A run of a task that a reload has removed ends with the term of its leader as any other run."""

from __future__ import annotations

import signal

from dozor.storage.postgres.pool import Pool
from tests.cluster.members import Members
from tests.waiting import until

OTHER = {"t": {"run": "spanned:run", "every": "100ms"}}
SUPERSEDED = "UPDATE dozor.lease SET holder = gen_random_uuid(), expires_at = now() - interval '1 s'"


async def test_a_leader_that_is_superseded_ends_the_run_of_a_removed_task(
    members: Members, pool: Pool
) -> None:
    members.write({**OTHER, "l": {"run": "spanned:patient", "args": {"seconds": 300}, "every": "1h"}})
    leader = await members.leader("--grace", "300")
    await members.runs_in(leader, within=20, task="l")
    members.write(OTHER)
    leader.signal(signal.SIGHUP)
    await leader.says(': − l", "module": "dozor.control.reload"')  # by SIGHUP, or the reload of the take-over
    assert members.spans("l")[0].ended is None
    await pool.execute(SUPERSEDED)
    await until(lambda: members.spans("l")[0].ended is not None, within=20)
    await leader.says("This process leads the cluster", times=2)
    assert await leader.stop() == 0
