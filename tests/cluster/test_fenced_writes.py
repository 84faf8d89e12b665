"""Every statement of a leader that writes passes the fence, apart from a short list."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.server import BotApi
from tests.cluster.members import Members
from tests.house.sources import module_name, python_files
from tests.system.telegram import ADMIN, CHAT, chat_has, open_telegram, section
from tests.waiting import stretched

# Each statement that writes a table of ours without dozor.fence in its transaction is noted.
NOTING = """
CREATE TABLE public.unfenced (relation text, query text);
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('dozor.epoch', true), '') = '' THEN
        INSERT INTO public.unfenced VALUES (TG_TABLE_NAME, current_query());
    END IF;
    RETURN NULL;
END
$$;
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'dozor' LOOP
        EXECUTE format('CREATE TRIGGER noting AFTER INSERT OR UPDATE OR DELETE ON dozor.%I
                        FOR EACH STATEMENT EXECUTE FUNCTION public.note()', name);
    END LOOP;
END
$$;
"""
UNFENCED = {
    "lease": "taking, renewing and resigning are conditional on the row itself",
    "runners": "the row that a take-over inserts in the statement that takes the lease",
    "replicas": "presence: each process writes its own row",
    "handover": "a process that has resigned removes its own rows",
    "commands": "people submit commands through any process",
    "pool_runs": "a worker's heartbeats and ends, by (id, token); the leader writes through its fenced pool",
    "pool_alerts": "alerts of runs on a worker, in the statement of its heartbeats",
}
"""Tables that may be written without the fence, and why."""

CONNECTIONS = {
    "dozor.app.member": "presence, and the end of a hand-over",
    "dozor.app.idle_web": "the web server's pool: it reads, and submits commands",
    "dozor.app.worker": "a worker: it claims and ends runs by (id, token), whoever leads",
    "dozor.cluster.leadership": "the lease itself",
    "dozor.storage.journal": "fenced, and the probe",
    "dozor.storage.postgres.checker_pool": "of people's own checkers, see ctx.fence",
    "dozor.storage.postgres.database": "reads whether the server can be written",
    "dozor.storage.postgres.listen": "LISTEN",
    "dozor.storage.postgres.migrate": "the schema",
    "dozor.storage.postgres.named_databases": "of people's own databases",
    "dozor.storage.postgres.pools": "core is fenced; web submits commands, probes ask",
    "dozor.storage.postgres.pool": "the definitions",
}
"""Modules of a running process that open connections, and what for."""


@pytest.fixture
async def telegram() -> AsyncIterator[BotApi]:
    async with open_telegram() as api:
        yield api


async def test_a_leader_that_does_everything_writes_through_the_fence(
    members: Members, telegram: BotApi, pool: Pool
) -> None:
    await pool.execute(NOTING)
    (members.folder / "failing.py").write_text(
        "async def fail(ctx):\n    ctx.progress(1, 2)\n    ctx.alert('words', 'info')\n"
        "    raise RuntimeError('as ordered')\n"
    )
    members.write(
        {
            "t": {"run": "spanned:run", "every": "100ms"},
            "failing": {"run": "failing:fail", "every": "1m", "restart_delay": "100ms"},
        },
        telegram=section(telegram),
    )
    leader = await members.leader()
    await chat_has(telegram, "🛑")
    for command in (
        "/pause t",
        "/resume t",
        "/silence failing 1h",
        "/restart failing",
        "/status",
        "/nonsense",
    ):
        telegram.say(ADMIN, command, chat_id=CHAT)

    async def commands_done() -> int:
        return int(await pool.fetchval("SELECT count(*) FROM dozor.commands WHERE state = 'done'"))

    async with asyncio.timeout(stretched(30)):
        while await commands_done() < 4:
            await pool.fetchval("SELECT pg_sleep(0.1)")
    for table in ("tasks", "incidents", "notifications", "audit", "destinations"):
        assert await pool.fetchval(f"SELECT count(*) FROM dozor.{table}"), table
    assert await leader.stop() == 0
    found = await pool.fetch("SELECT DISTINCT relation, left(query, 200) AS query FROM public.unfenced")
    loose = [f"{row['relation']}: {row['query']}" for row in found if row["relation"] not in UNFENCED]
    assert not loose, "\n".join(loose)
    takes = [row["query"] for row in found if row["relation"] == "runners"]
    assert all("WITH free AS" in query for query in takes), takes
    assert {row["relation"] for row in found} >= {"lease", "runners", "replicas"}


def test_connections_are_opened_only_where_the_list_says() -> None:
    found = set()
    for path in python_files("runner", "bot"):
        name = module_name(path)
        if re.match(r"dozor\.(cli|testing|toolkit)\b|dozor_market\b", name):
            continue  # commands of their own, and people's tests
        text = path.read_text()
        if "dozor.storage.postgres.pool" not in text and "asyncpg.connect(" not in text:
            continue
        imported = {
            alias.name
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom) and node.module == "dozor.storage.postgres.pool"
            for alias in node.names
        }
        if imported & {"connect", "create_pool"} or "asyncpg.connect(" in text:
            found.add(name)
    assert found == set(CONNECTIONS), found ^ set(CONNECTIONS)
