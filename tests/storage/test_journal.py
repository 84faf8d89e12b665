"""The one door to the database: together or not at all, in order, bounded, and only with the lock."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import asyncpg
import pytest

from dozor.clock import SteadyClock
from dozor.errors import DatabaseUnavailableError, RunnerBusyError
from dozor.storage import write_buffer as waiting
from dozor.storage.journal import Checkpoint, Commit, Dropped, Journal, StateSource
from dozor.storage.postgres.pool import Pool, connect
from dozor.storage.tables import notifications, runners
from dozor.storage.tables.command_results import CommandResultRow
from tests.server import PostgresControl
from tests.storage.rows import NOW, declare, incident, note, run, task
from tests.waiting import until


async def keys(pool: Pool) -> list[str]:
    return [row["key"] for row in await pool.fetch("SELECT key FROM dozor.notifications ORDER BY id")]


async def test_a_commit_is_written_whole_in_one_transaction(journal: Journal, pool: Pool) -> None:
    journal.append(
        Commit(
            tasks=(task(failures=3),), runs=(run(1),), incidents=(incident(1),), notifications=(note("k"),)
        )
    )
    await journal.write()
    xmins = await pool.fetch(
        "SELECT xmin::text FROM dozor.tasks WHERE name = 'a' UNION SELECT xmin::text FROM dozor.runs"
        " UNION SELECT xmin::text FROM dozor.incidents UNION SELECT xmin::text FROM dozor.notifications"
    )
    assert len(xmins) == 1
    assert await pool.fetchval("SELECT consecutive_failures FROM dozor.tasks WHERE name = 'a'") == 3


async def test_nothing_of_a_batch_is_written_if_a_part_of_it_cannot_be_for_now(
    journal: Journal, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = notifications.enqueue, 2

    async def sometimes(connection: Any, rows: Any, tried: Any) -> None:
        nonlocal failures
        await real(connection, rows, tried)
        if failures:
            failures -= 1
            assert await pool.fetchval("SELECT count(*) FROM dozor.runs") == 0
            raise ConnectionResetError("the network")

    monkeypatch.setattr(notifications, "enqueue", sometimes)
    monkeypatch.setattr(waiting, "FEW", 0)
    journal.append(Commit(runs=(run(1),), notifications=(note("k"),)))
    await journal.write()
    assert failures == 0
    assert await pool.fetchval("SELECT count(*) FROM dozor.runs") == 1
    assert await keys(pool) == ["k"]


async def test_a_commit_whose_outcome_was_unknown_is_written_again_and_changes_nothing(
    journal: Journal, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server commits, and the answer is lost on the way."""
    command = await pool.fetchval(
        "INSERT INTO dozor.commands (name, task, actor, expires_at)"
        " VALUES ('pause', 'a', 'cli:ann', now() + interval '1 min') RETURNING id"
    )
    real, lost = journal._transact, 1

    async def lose(*batch: Any) -> None:
        nonlocal lost
        await real(*batch)
        if lost:
            lost -= 1
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    monkeypatch.setattr(journal, "_transact", lose)
    whole = Commit(
        tasks=(task(failures=2),),
        runs=(run(1),),
        incidents=(incident(1),),
        notifications=(note("k"),),
        answers=(CommandResultRow(command, "done", "done"),),
    )
    journal.append(whole)
    await journal.write()
    assert lost == 0
    for table in ("runs", "incidents", "notifications", "audit"):
        assert await pool.fetchval(f"SELECT count(*) FROM dozor.{table}") == 1, table
    assert journal.backlog == 0


async def test_what_is_cancelled_in_the_middle_stays_in_hand(
    journal: Journal, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, entered = journal._transact, asyncio.Event()

    async def hang(*batch: Any) -> None:
        entered.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(journal, "_transact", hang)
    journal.append(Commit(notifications=(note("first"),)))
    writing = asyncio.create_task(journal.write())
    await entered.wait()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert [row.key for row in journal.unwritten_notifications] == ["first"]
    monkeypatch.setattr(journal, "_transact", real)
    journal.append(Commit(notifications=(note("second"),)))
    await journal.write()
    assert await keys(pool) == ["first", "second"]


async def test_an_outage_loses_nothing_and_merges_states(postgres_control: PostgresControl) -> None:
    journal = await Journal.open(postgres_control.dsn, "test", SteadyClock(), checkpoint_every=0.05)
    await declare(journal, "a")
    changes: list[bool] = []
    journal.health.subscribe(changes.append)
    attempts, report_down = list[str](), journal.health.report_down

    def report(reason: str) -> None:
        attempts.append(reason)
        report_down(reason)

    journal.health.report_down = report  # type: ignore[method-assign]
    writing = asyncio.create_task(journal.run())
    postgres_control.kill()
    for number in range(50):
        journal.append(
            Commit(
                tasks=(task(failures=number),), runs=(run(number),), notifications=(note(f"k{number:02}"),)
            )
        )
        journal.append(Commit(incidents=(incident(1, failures=number),)))
    await until(lambda: len(attempts) >= 3, within=20)
    assert not journal.health.up
    journal.append(Commit(tasks=(task(failures=77),), notifications=(note("last"),)))
    postgres_control.start()
    async with asyncio.timeout(20):
        await journal.flush()
    assert changes == [False, True]
    check = await connect(postgres_control.dsn)
    assert [r["key"] for r in await check.fetch("SELECT key FROM dozor.notifications ORDER BY id")] == [
        *(f"k{number:02}" for number in range(50)),
        "last",
    ]
    assert await check.fetchval("SELECT consecutive_failures FROM dozor.tasks") == 77
    assert await check.fetchval("SELECT count(*) FROM dozor.runs") == 50
    assert await check.fetchval("SELECT failures FROM dozor.incidents") == 49
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    journal.abandon()
    check.terminate()
    await asyncio.sleep(0)


async def test_an_overflow_drops_the_oldest_counts_it_and_says_it_once(
    journal: Journal, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING_NOTIFICATIONS", 10)
    monkeypatch.setattr(waiting, "MAX_WAITING_RUNS", 5)
    said: list[Dropped] = []

    def on_dropped(dropped: Dropped) -> Commit:
        said.append(dropped)
        return Commit(notifications=(note(f"dropped {len(said)}"),))

    real, attempts = journal._transact, 0

    async def away(*batch: Any) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            journal.append(Commit(notifications=(note(f"later {attempts}"),)))
            raise ConnectionRefusedError("away")
        await real(*batch)

    monkeypatch.setattr(journal, "_transact", away)
    for number in range(30):
        journal.append(Commit(runs=(run(number),), notifications=(note(f"k{number}"),)))
    await journal.write(StateSource(dropped=on_dropped))
    written = await keys(pool)
    about_loss = [key for key in written if key.startswith("dropped")]
    assert len(about_loss) == 1
    # All that is not in the database is counted: 33 were appended.
    assert said[-1] == Dropped(runs=25, notifications=33 - (len(written) - 1))
    assert written[-2:] == ["later 3", about_loss[0]]
    assert await pool.fetchval("SELECT count(*) FROM dozor.runs") == 5


async def test_open_incidents_are_never_dropped_and_resolved_ones_only_when_memory_ends(
    journal: Journal, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITING_INCIDENTS", 20)
    said: list[Dropped] = []

    def on_dropped(dropped: Dropped) -> Commit:
        said.append(dropped)
        return Commit()

    for number in range(1, 41):
        over = {"state": "resolved", "resolved_at": NOW} if number % 2 else {}
        journal.append(Commit(incidents=(incident(number, **over),)))
    await journal.write(StateSource(dropped=on_dropped))
    assert await pool.fetchval("SELECT count(*) FROM dozor.incidents WHERE state = 'open'") == 20
    assert said[-1].incidents == 40 - await pool.fetchval("SELECT count(*) FROM dozor.incidents")


async def test_what_postgresql_can_never_store_is_left_out_and_reported_the_rest_is_written(
    journal: Journal, pool: Pool
) -> None:
    bad = note("bad", severity="shrill")
    journal.append(Commit(tasks=(task(failures=1),), notifications=(note("before"), bad, note("after"))))
    await journal.write()
    assert await keys(pool) == ["before", "after"]
    assert await pool.fetchval("SELECT consecutive_failures FROM dozor.tasks WHERE name = 'a'") == 1
    assert journal.health.up


async def test_a_second_runner_is_refused_with_who_holds_the_database(
    journal: Journal, database: str
) -> None:
    with pytest.raises(RunnerBusyError, match=f"runner {journal.registration.runner_id}, process"):
        await Journal.open(database, "test", SteadyClock())


def ended_uncleanly(journal: Journal) -> bool:
    before = journal.registration.before
    return before is not None and not before.clean


async def test_a_waiting_runner_takes_over_and_knows_how_the_other_ended(
    journal: Journal, database: str
) -> None:
    in_line = asyncio.create_task(Journal.open(database, "test", SteadyClock(), wait=True))
    await asyncio.sleep(0.05)
    journal.abandon()
    async with asyncio.timeout(10):
        second = await in_line
    assert ended_uncleanly(second)
    await second.close()
    third = await Journal.open(database, "test", SteadyClock())
    assert not ended_uncleanly(third)
    await third.close()


async def test_a_server_that_answers_nothing_after_the_connection_is_said_to_be_so(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dozor.storage.journal.WRITE_TIMEOUT", 0.5)
    async with pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE dozor.runners IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DatabaseUnavailableError, match=r"no answer for 0\.5 s"):
            await Journal.open(database, "test", SteadyClock())


async def test_a_runner_whose_session_was_cut_takes_its_own_lock_back(
    journal: Journal, database: str, pool: Pool
) -> None:
    await pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'dozor runner%'"
    )
    journal.append(Commit(notifications=(note("k"),)))
    async with asyncio.timeout(10):
        await journal.write()
    assert await keys(pool) == ["k"]
    with pytest.raises(RunnerBusyError):
        await Journal.open(database, "test", SteadyClock())


async def test_a_runner_that_was_replaced_writes_nothing_more(
    journal: Journal, database: str, pool: Pool
) -> None:
    journal.abandon()
    other = await Journal.open(database, "test", SteadyClock())
    journal.append(Commit(notifications=(note("stale"),)))
    with pytest.raises(RunnerBusyError, match="taken over"):
        await journal.write()
    assert await keys(pool) == []
    await other.close()


async def test_a_runner_that_was_replaced_writes_nothing_even_when_the_other_has_ended(
    journal: Journal, database: str, pool: Pool
) -> None:
    """The lock is free again, and yet what this runner knows is older than what the database has."""
    journal.abandon()
    other = await Journal.open(database, "test", SteadyClock())
    await other.close()
    journal.append(Commit(tasks=(task(failures=4),)))
    with pytest.raises(RunnerBusyError, match="taken over"):
        await journal.write()
    assert await pool.fetchval("SELECT consecutive_failures FROM dozor.tasks WHERE name = 'a'") == 0


async def test_a_checkpoint_never_overwrites_a_newer_transition(
    journal: Journal, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The states in hand when the database went away are older than the transition appended since."""
    states = [Checkpoint(full=[task("a", 1), task("b", 1)])]
    source = StateSource(take_checkpoint=lambda: states.pop() if states else Checkpoint())
    real, away = journal._transact, 1

    async def once(*batch: Any) -> None:
        nonlocal away
        if away:
            away -= 1
            journal.append(Commit(tasks=(task("a", 2),)))
            raise ConnectionResetError("away")
        await real(*batch)

    monkeypatch.setattr(journal, "_transact", once)
    await journal.write(source)
    rows = await pool.fetch("SELECT name, consecutive_failures AS n FROM dozor.tasks ORDER BY name")
    assert [(row["name"], row["n"]) for row in rows] == [("a", 2), ("b", 1)]


async def test_flush_returns_when_the_database_has_it(journal: Journal, pool: Pool) -> None:
    writing = asyncio.create_task(journal.run())
    told = asyncio.Event()
    journal.subscribe(told.set)
    journal.append(Commit(notifications=(note("k"),)))
    async with asyncio.timeout(5):
        await journal.flush()
        await told.wait()
    assert await keys(pool) == ["k"]
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_the_end_is_written_down(journal: Journal, pool: Pool) -> None:
    journal.append(Commit(notifications=(note("k"),)))
    await journal.close()
    assert await keys(pool) == ["k"]
    row = await pool.fetchrow("SELECT clean, ended_at FROM dozor.runners")
    assert row["clean"]
    assert row["ended_at"] is not None
    check = await connect(journal._dsn)
    assert await runners.try_lock(check)
    check.terminate()
    await asyncio.sleep(0)


async def test_a_start_knows_when_the_last_watch_ended_and_how(
    journal: Journal, database: str, pool: Pool
) -> None:
    assert journal.registration.before is None
    await journal.write()
    await journal.close()
    await pool.execute("UPDATE dozor.runners SET ended_at = ended_at - interval '100 s'")
    second = await Journal.open(database, "test", SteadyClock())
    before = second.registration.before
    assert before is not None
    assert before.clean
    assert 100 <= before.ago < 130
    assert second.registration.starts == 2
    await second.write()
    await second.close(clean=False)
    third = await Journal.open(database, "test", SteadyClock())
    assert ended_uncleanly(third)
    await third.close()


async def test_a_start_that_was_killed_before_it_wrote_anything_was_no_watch(
    journal: Journal, database: str, pool: Pool
) -> None:
    await journal.write()
    await journal.close()
    await pool.execute("UPDATE dozor.runners SET ended_at = ended_at - interval '100 s'")
    still_born = await Journal.open(database, "test", SteadyClock())
    still_born.abandon()
    async with asyncio.timeout(10):
        third = await Journal.open(database, "test", SteadyClock(), wait=True)
    before = third.registration.before
    assert before is not None
    assert not before.clean
    assert before.ago >= 100
    assert third.registration.starts == 3
    await third.close()


async def test_the_error_of_a_write_that_its_end_leaves_behind_is_not_reported_later(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio reports what nobody has retrieved when the task is collected, in the midst of anything else."""
    begun, go_on, reported = asyncio.Event(), asyncio.Event(), list[dict[str, Any]]()

    async def refused(source: StateSource) -> bool:
        begun.set()
        await go_on.wait()
        raise RunnerBusyError("another one works")

    monkeypatch.setattr(journal, "write", refused)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    running = asyncio.create_task(journal.run())
    journal.append(Commit(tasks=(task(),)))
    await begun.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    left = journal._writing
    assert left is not None
    go_on.set()
    await asyncio.wait([left])
    journal._writing = None
    del left
    gc.collect()
    assert reported == []
