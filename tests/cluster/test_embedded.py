"""A member inside somebody else's application: no timer ends the process, and `failed` says what happened."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dozor import Runner
from dozor.cluster import lease
from dozor.errors import LeaseLostError
from dozor.storage.postgres.pool import Pool
from tests.cluster.members import Members
from tests.waiting import until

DEAF = """
import asyncio
from pathlib import Path
async def f():
    while not Path(__file__).with_name("release").exists():
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            pass
"""


async def test_it_leads_and_hands_over(members: Members, pool: Pool) -> None:
    members.write()
    async with Runner.from_config(members.config) as runner:
        await until(lambda: runner.leads)
        await until(lambda: len(members.spans()) > 1)
    row = await lease.read(pool)
    assert row.resigned
    assert await pool.fetchval("SELECT clean FROM dozor.runners WHERE id = $1", row.term.epoch)
    assert await pool.fetchval("SELECT count(*) FROM dozor.replicas") == 0


async def test_a_run_that_does_not_end_when_another_leads_fails_the_runner_and_not_the_process(
    members: Members, pool: Pool
) -> None:
    (members.folder / "deaf_checker.py").write_text(DEAF)
    members.write({"deaf": {"run": "deaf_checker:f"}, "t": {"run": "spanned:run", "every": "100ms"}})
    runner = Runner.from_config(Path(members.config), grace=0.1)
    async with runner:
        await until(lambda: runner.leads)
        await until(lambda: len(members.spans()) > 1)
        await pool.execute("UPDATE dozor.lease SET epoch = 999, holder = gen_random_uuid()")
        async with asyncio.timeout(20):
            assert isinstance(await runner.failed, LeaseLostError)
        assert not runner.leads
        assert runner.unstopped == ("deaf",)
        assert await pool.fetchval("SELECT epoch FROM dozor.lease") == 999
        (members.folder / "release").touch()
        await asyncio.sleep(0.3)  # the run looks for the file every 0.1 s
