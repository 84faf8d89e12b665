"""`dozor run`, `status`, `doctor` behind a pgbouncer in transaction mode."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pgbouncer import PgBouncer
from tests.system.stage import QUICK, Stage
from tests.waiting import until

TASKS = {"t": dict(QUICK)}


@pytest.fixture
def pooled(short_dir: Path, database: str) -> Iterator[str]:
    bouncer = PgBouncer(short_dir / f"b{uuid.uuid4().hex[:8]}", database, sizes=5)
    yield bouncer.dsn
    bouncer.close()


def write(stage: Stage, url: str, **more: str) -> None:
    """The configuration of a stage, with more keys of `database`."""
    import yaml

    stage.write(TASKS, url=url, language="en")
    whole = yaml.safe_load(stage.config.read_text())
    whole["database"].update(more)
    stage.config.write_text(yaml.safe_dump(whole))


async def test_a_pooler_that_shares_sessions_is_refused_at_the_start_and_by_doctor(
    stage: Stage, pooled: str
) -> None:
    write(stage, pooled)
    process = stage.run()
    assert await process.ends() == 1
    assert "Write database.pooling: transaction with direct_url" in process.text
    assert "Traceback" not in process.text
    answer = await stage.cli("doctor", "--json")
    [found] = [one for one in json.loads(answer.text) if one["about"] == "sessions"]
    assert (found["level"], answer.code) == ("failed", 1)
    assert "pool_mode = session" in found["text"]


async def test_the_lock_is_held_past_the_pooler_and_commands_are_heard(
    stage: Stage, pooled: str, database: str
) -> None:
    write(stage, pooled, pooling="transaction", direct_url=database)
    await stage.watch()
    await until(lambda: len(stage.runs("t")) > 2, within=30)
    answer = await stage.cli("pause", "t")
    assert answer.code == 0, answer.text
    assert (await stage.status("t"))["state"] == "paused"
    second = stage.run()
    assert await second.ends() == 1
    assert "is on watch already" in second.text or "works on this database" in second.text, second.text
    doctor = await stage.cli("doctor", "--json")
    [found] = [one for one in json.loads(doctor.text) if one["about"] == "sessions"]
    assert found["level"] == "ok"
