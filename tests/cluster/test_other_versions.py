"""`dozor migrate --post`: refused while a program of another version works on the database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from dozor.app.surroundings import VERSION
from dozor.cli.doctoring.database import check_schema
from dozor.cli.doctoring.finding import Level
from dozor.cli.migrate import _migrate
from dozor.cluster import replicas
from dozor.cluster.lease import Holder
from dozor.cluster.replicas import Beat, ReplicaRole
from dozor.cluster.versions import other_versions
from dozor.errors import SchemaError
from dozor.process.identity import ProcessIdentity
from dozor.storage.postgres import migration_sets
from dozor.storage.postgres.migration_sets import CORE, Migration
from dozor.storage.postgres.pool import connect, disconnect
from dozor.storage.tables import runners

DROPS = Migration(9999, "9999_drops.post.sql", "DROP TABLE dozor.quarantine")
SETS = (replace(CORE, files=(*CORE.load(), DROPS)),)


def member(name: str, version: str) -> Holder:
    return Holder(uuid4(), name, version, ProcessIdentity.own())


def beat(role: ReplicaRole = ReplicaRole.STANDBY, every: float = 60.0) -> Beat:
    return Beat(role=role, epoch=None, beats_every=every, config_digest="")


async def test_members_of_other_versions_that_are_present_are_named(database: str) -> None:
    connection = await connect(database)
    try:
        assert await other_versions(connection, "0.2.0") == ()
        await replicas.beat(connection, member("web-1", "0.2.0"), beat(), 0.0)
        await replicas.beat(connection, member("lost", "0.1.9"), beat(every=0.0), 0.0)
        assert await other_versions(connection, "0.2.0") == ()
        await replicas.beat(connection, member("web-2", "0.1.9"), beat(ReplicaRole.WORKER), 0.0)
        assert await other_versions(connection, "0.2.0") == ("web-2, version 0.1.9",)
    finally:
        await disconnect(connection)


async def test_a_runner_without_a_cluster_is_named(database: str) -> None:
    connection, runner = await connect(database), await connect(database)
    try:
        assert await runners.try_lock(runner)
        await runners.register(runner, "0.1.9")
        assert await other_versions(connection, "0.1.9") == ()
        (named,) = await other_versions(connection, "0.2.0")
        assert named.endswith(", version 0.1.9")
    finally:
        await disconnect(runner)
        await disconnect(connection)


async def test_an_unknown_holder_of_the_lock_counts(database: str) -> None:
    connection, runner = await connect(database), await connect(database)
    try:
        assert await runners.try_lock(runner)
        (named,) = await other_versions(connection, "0.2.0")
        assert named.endswith(", version ?")
    finally:
        await disconnect(runner)
        await disconnect(connection)


async def test_a_database_without_tables_has_no_programs(empty_database: str) -> None:
    connection = await connect(empty_database)
    assert await other_versions(connection, "0.2.0") == ()
    await disconnect(connection)


async def test_the_command_waits_for_the_end_of_older_programs(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    task = "run: tests.supervision.process_checkers:plain, every: 1m, args: {path: x}"
    config.write_text(f"database: {{url: '{database}'}}\nlanguage: en\ntasks: {{t: {{{task}}}}}\n")
    monkeypatch.setattr(migration_sets, "sets_for", lambda _: SETS)

    async def run(*, check: bool = False, post: bool = False) -> str:
        await _migrate(config, only_check=check, post=post, schemas=())
        return capsys.readouterr().out

    waits = f"once no older version is in use, to be applied with --post: {DROPS.name}\n"
    assert await run() == f"{waits}The schema is up to date\n"
    assert await run(check=True) == f"{waits}The schema is up to date\n"
    with pytest.raises(SystemExit) as caught:
        await run(check=True, post=True)
    assert caught.value.code == 1
    assert capsys.readouterr().out == waits
    connection = await connect(database)
    try:
        (schema, *_) = await check_schema(database, connection, embedded=False, sets=SETS)
        assert (schema.level, schema.remedy) == (
            Level.WARNING,
            "once every process has this version, run `dozor migrate --post`",
        )
        assert DROPS.name in schema.text
        older = member("web-1", "0.1.9")
        await replicas.beat(connection, older, beat(), 0.0)
        with pytest.raises(SchemaError, match=r"web-1, version 0\.1\.9\. Upgrade or stop these first"):
            await run(post=True)
        assert await connection.fetchval("SELECT to_regclass('dozor.quarantine') IS NOT NULL")
        await replicas.gone(connection, older.id)
        await replicas.beat(connection, member("web-2", VERSION), beat(), 0.0)
        assert await run(post=True) == f"applied: {DROPS.name}\n"
        assert await connection.fetchval("SELECT to_regclass('dozor.quarantine') IS NULL")
    finally:
        await disconnect(connection)
    assert await run(check=True, post=True) == "The schema is up to date\n"
