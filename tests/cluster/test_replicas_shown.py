"""Leader, standbys and workers: `dozor replicas`, the line of `/status` and of the page."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from click.testing import CliRunner

from dozor.cli import cli
from dozor.cluster import lease, replicas
from dozor.cluster.lease import Holder
from dozor.cluster.replicas import Beat, ReplicaRole
from dozor.cluster.trust_window import TrustWindow
from dozor.cluster.view import ClusterView
from dozor.control.queries.cluster import cluster_line, known_cluster, read_cluster
from dozor.control.queries.status import read_status
from dozor.control.queries.status_page import read_page
from dozor.language import Language, Translator
from dozor.process.identity import ProcessIdentity
from dozor.storage.postgres.pool import Pool
from dozor_bot.views.status import View, status_message
from tests.cluster.members import Members


def holder(name: str) -> Holder:
    return Holder(uuid4(), name, "0.2", ProcessIdentity.own())


def clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M}"


async def fill(pool: Pool) -> str:
    """b leads, a and c stand by, w1 works, z is lost; the minute in which b took the lease."""
    leader = holder("b")
    term = await lease.take(pool, leader, 30.0)
    assert term is not None
    standby = Beat(role=ReplicaRole.STANDBY, epoch=None, beats_every=1.0, config_digest="x")
    for who, what in (
        (holder("a"), standby),
        (leader, replace(standby, role=ReplicaRole.LEADER, epoch=term.epoch)),
        (holder("c"), standby),
        (holder("w1"), replace(standby, role=ReplicaRole.WORKER, slots=20, running=3)),
        (holder("z"), standby),
    ):
        await replicas.beat(pool, who, what, 0.0)
    await pool.execute("UPDATE dozor.replicas SET seen_at = now() - interval '1 h' WHERE name = 'z'")
    return clock((await lease.read(pool)).since)


async def test_the_line(pool: Pool) -> None:
    since = await fill(pool)
    report = await read_cluster(pool)
    assert report is not None
    line = cluster_line(report, Translator(Language.EN), clock)
    epoch = report.epoch
    assert line == f"Leader b (epoch {epoch}) since {since} · standby a, c · workers w1 3/20 · lost z"
    assert cluster_line(report, Translator(Language.RU), clock).startswith(
        f"Лидер b (эпоха {epoch}) с {since}"
    )
    known = known_cluster(ClusterView(epoch=epoch, replicas=report.replicas))
    assert known is not None
    assert cluster_line(known, Translator(Language.EN), clock).startswith(f"Leader b (epoch {epoch}) since ")


async def test_nobody_leads_once_the_lease_has_expired(pool: Pool) -> None:
    await fill(pool)
    await pool.execute("UPDATE dozor.lease SET expires_at = now() - interval '1 s'")
    report = await read_cluster(pool)
    assert report is not None
    assert report.leader is None
    assert cluster_line(report, Translator(Language.EN), clock).startswith("No leader · standby a, c")


async def test_a_lease_that_is_not_renewed_in_time_is_shown(pool: Pool) -> None:
    await fill(pool)
    await pool.execute("UPDATE dozor.lease SET renewed_at = now() - interval '13 s'")
    report = await read_cluster(pool)
    assert report is not None
    line = cluster_line(report, Translator(Language.EN), clock)
    assert " · lease not renewed for 13 s · standby a, c" in line
    assert "аренда не продлена 13 с" in cluster_line(report, Translator(Language.RU), clock)
    assert report.to_json()["unrenewed_for_s"] >= 13
    window = TrustWindow(30.0)
    window.extend(window.now() - 13.0)
    view = ClusterView(leads=True, epoch=report.epoch, replicas=report.replicas, window=window)
    known = known_cluster(view)
    assert known is not None
    assert "lease not renewed for 13 s" in cluster_line(known, Translator(Language.EN), clock)


async def test_without_a_cluster_nothing_is_shown(pool: Pool) -> None:
    async with pool.acquire() as connection:
        assert (await read_status(connection)).cluster is None
    assert known_cluster(ClusterView()) is None


async def test_the_line_is_in_the_answer_to_status(pool: Pool) -> None:
    await fill(pool)
    async with pool.acquire() as connection:
        page = await read_page(connection, 0, 10, failing=False)
    message = status_message(page, Translator(Language.EN), UTC, View())
    assert "\nLeader b (epoch " in "".join(span.text for span in message.spans)


async def test_dozor_replicas(pool: Pool, database: str, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"language: en\ndatabase: {{url: '{database}'}}\ntasks: {{t: {{run: 'json:dumps'}}}}\n")
    command = ["replicas", "-c", str(config)]

    async def run(*more: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, cli, [*command, *more])
        return done.exit_code, done.output

    code, text = await run()
    assert code == 1
    assert "The cluster has no process" in text
    await fill(pool)
    code, text = await run()
    assert code == 0, text
    assert text.startswith("Leader b (epoch ")
    assert "lost, last seen 1h" in text
    code, text = await run("--json")
    found = json.loads(text)
    assert (code, found["leader"]) == (0, "b")
    by_name = {one["name"]: one for one in found["replicas"]}
    assert {name: one["role"] for name, one in by_name.items()} == {
        "a": "standby", "b": "leader", "c": "standby", "w1": "worker", "z": "standby",
    }  # fmt: skip
    assert [name for name, one in by_name.items() if one["lost"]] == ["z"]
    assert (by_name["w1"]["running"], by_name["w1"]["slots"]) == (3, 20)
    await pool.execute("UPDATE dozor.lease SET expires_at = now() - interval '1 s'")
    code, text = await run()
    assert (code, text.startswith("No leader")) == (1, True)


async def test_members_with_one_file_have_one_digest_and_a_changed_file_gives_all_of_them_another(
    members: Members, pool: Pool
) -> None:
    members.write()
    await members.leader()
    await members.standby(env={"PYTHONHASHSEED": "2"})  # sets are in another order there
    first = await digest_of_all(pool, 2)
    members.write({"t": {"run": "spanned:run", "every": "200ms"}})
    await members.standby()
    await digest_of_all(pool, 3, other_than=first)


async def digest_of_all(pool: Pool, members: int, *, other_than: str = "") -> str:
    """Wait until there are so many `members`, and all have read the same file."""
    async with asyncio.timeout(20):
        while True:
            rows = await pool.fetch("SELECT DISTINCT config_digest FROM dozor.replicas")
            count = await pool.fetchval("SELECT count(*) FROM dozor.replicas")
            found = {str(row["config_digest"]) for row in rows}
            if count == members and len(found) == 1 and other_than not in found:
                return found.pop()
            await asyncio.sleep(0.05)
