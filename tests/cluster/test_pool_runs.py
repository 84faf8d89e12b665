"""Runs on workers: who gets them, how they end, and what an overtaken worker can no longer do."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from dozor.cluster import pool_runs, worker
from dozor.cluster.placement import pending_upgrade
from dozor.config.sections.tasks import Every
from dozor.errors import Superseded
from dozor.storage.postgres.pool import create_pool
from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from dozor.supervision.telemetry.observer import TroubleKind
from tests.cluster.pools import is_in, leading, working
from tests.supervision.stage import spec
from tests.waiting import until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no notification announces is found sooner."""
    monkeypatch.setattr(pool_runs, "POLL_EVERY", 0.2)
    monkeypatch.setattr(worker, "BEAT_EVERY", 0.2)


ROWS_SQL = "SELECT count(*) FROM dozor.pool_runs WHERE state <> 'taken'"


async def test_the_migration_makes_what_the_installed_pgqueuer_declares(cluster_database: str) -> None:
    pool = await create_pool(cluster_database)
    assert await pending_upgrade(pool) == ()
    pool.terminate()


async def test_each_due_time_is_run_once_by_one_of_two_workers(cluster_database: str) -> None:
    begun: list[tuple[str, Any]] = []

    def on(worker: str) -> Any:
        async def check(ctx: Any) -> None:
            begun.append((worker, ctx.scheduled_at))
            await asyncio.sleep(0.01)

        return check

    names = [f"t{number}" for number in range(10)]
    async with (
        leading(
            cluster_database, *(spec(name, on("leader"), schedule=Every(0.05)) for name in names)
        ) as leader,
        working(cluster_database, *(spec(name, on("a")) for name in names), name="a", slots=3),
        working(cluster_database, *(spec(name, on("b")) for name in names), name="b", slots=3),
    ):
        await until(lambda: len(begun) >= 60, within=30)
        await until(lambda: sum(leader.seen.successes.values()) >= 60, within=30)
    assert {worker for worker, _ in begun} == {"a", "b"}
    assert len({due for _, due in begun}) == len(begun)


async def test_a_failure_on_a_worker_is_counted_by_the_leader_with_its_traceback(
    cluster_database: str,
) -> None:
    async def check() -> None:
        raise ValueError("of the checker")

    task = spec("t", check, max_consecutive_failures=2)
    async with leading(cluster_database, task) as leader, working(cluster_database, task):
        await until(lambda: is_in(leader, "t", State.STOPPED), within=20)
        failure = leader.state("t").failure_record.failure
        assert failure is not None
        assert (failure.error_type, failure.error_text) == ("ValueError", "of the checker")
        assert "in check" in failure.traceback
        assert len(leader.seen.failures("t")) == 2


async def test_a_time_limit_is_kept_by_the_worker(cluster_database: str) -> None:
    async def check() -> None:
        await asyncio.sleep(60)

    task = spec("t", check, timeout=0.2, max_consecutive_failures=1)
    async with leading(cluster_database, task) as leader, working(cluster_database, task):
        await until(lambda: is_in(leader, "t", State.STOPPED), within=20)
        failure = leader.state("t").failure_record.failure
        assert failure is not None
        assert failure.timed_out
        assert "sleep" in failure.traceback


async def test_a_pause_cancels_the_run_on_the_worker_and_takes_a_queued_one_back(
    cluster_database: str,
) -> None:
    cancelled = asyncio.Event()

    async def check(ctx: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    long, queued = spec("long", check), spec("queued", check)
    async with leading(cluster_database, long, queued) as leader, working(cluster_database, long) as worker:
        await until(lambda: bool(worker.runs.assigned), within=20)
        leader.supervisor.command("queued", Pause("test"))
        leader.supervisor.command("long", Pause("test"))
        task = leader.supervisor.find("queued")
        assert task is not None
        long_task = leader.supervisor.find("long")
        assert long_task is not None
        assert long_task.run is not None
        leader.supervisor.silent(long_task, long_task.run)  # as after the grace period
        await until(cancelled.is_set, within=20)
        if task.run is not None:
            leader.supervisor.silent(task, task.run)
        await until(lambda: task.run is None and long_task.run is None, within=20)
        assert is_in(leader, "queued", State.PAUSED)


async def test_what_a_run_reports_reaches_the_leader(cluster_database: str) -> None:
    async def check(ctx: Any) -> None:
        ctx.progress(3, 10)
        ctx.alert("look here", "critical")
        await ctx.stopping.wait()

    task = spec("t", check)
    async with leading(cluster_database, task) as leader, working(cluster_database, task):
        found = leader.supervisor.find("t")
        assert found is not None
        await until(lambda: found.progress == (3.0, 10.0), within=20)
        await until(lambda: leader.seen.alerts == [("look here", "critical")], within=20)
        await until(lambda: leader.journal.committed == leader.journal.appended, within=20)
        await until(lambda: leader.runs.counts.get("running") == 1, within=20)


async def test_a_silent_worker_is_given_up_and_what_it_returns_later_changes_nothing(
    cluster_database: str,
) -> None:
    """The run that was overtaken reported success in PgQueuer 1.6 and deleted the one in progress."""
    fences: list[str] = []
    release = asyncio.Event()

    async def stuck(ctx: Any) -> None:
        async with ctx.fence() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        with suppress(asyncio.CancelledError):
            await release.wait()
        try:
            async with ctx.fence():
                fences.append("written")
        except Superseded:
            fences.append("superseded")

    async def well(ctx: Any) -> None:
        await asyncio.sleep(0.05)

    first, second = spec("t", stuck, max_consecutive_failures=5), spec("t", well, max_consecutive_failures=5)
    async with (
        leading(cluster_database, first, silent_after=1.0) as leader,
        working(cluster_database, first, name="a", silent_after=60.0) as a,
    ):
        await until(lambda: bool(a.runs.assigned), within=20)
        a.closing = True  # it takes nothing more
        a._wake.set()
        beat = a._send

        async def away(held: Any) -> Any:
            return [] if held else await beat(held)

        a._send = away  # type: ignore[method-assign]  # its heartbeats do not arrive
        await until(lambda: leader.failure("t") == "WorkerLost", within=20)
        async with working(cluster_database, second, name="b"):
            await until(lambda: leader.seen.successes.get("t", 0) >= 1, within=20)
            release.set()
            await until(lambda: bool(fences), within=20)
            before = len(leader.seen.failures("t"))
            await until(lambda: leader.seen.successes.get("t", 0) >= 3, within=20)
    assert fences == ["superseded"]
    assert len(leader.seen.failures("t")) == before == 1


async def test_a_new_leader_adopts_the_runs_of_the_old_one(cluster_database: str) -> None:
    begun: list[str] = []
    release = asyncio.Event()

    async def check(ctx: Any) -> None:
        begun.append(ctx.run_id)
        await release.wait()

    task = spec("t", check, schedule=Every(3600.0))
    async with working(cluster_database, task) as worker:
        async with leading(cluster_database, task):
            await until(lambda: bool(worker.runs.assigned), within=20)
        async with leading(cluster_database, task, stored=True) as leader:
            assert is_in(leader, "t", State.RUNNING)
            release.set()
            await until(lambda: leader.seen.successes.get("t", 0) == 1, within=20)
            assert len(begun) == 1
            await until(lambda: is_in(leader, "t", State.WAITING), within=20)


async def test_the_run_after_an_adopted_one_is_due_by_the_clock_of_the_new_leader(
    cluster_database: str,
) -> None:
    """The former leader's clock was an hour ahead."""
    begun = 0
    release = asyncio.Event()

    async def check() -> None:
        nonlocal begun
        begun += 1
        await release.wait()

    task = spec("t", check, schedule=Every(0.2))
    pool = await create_pool(cluster_database)
    async with working(cluster_database, task):
        async with leading(cluster_database, task):
            await until(lambda: begun == 1, within=20)
        await pool.execute(
            "UPDATE dozor.pool_runs "
            "SET due_at = due_at + interval '1 h', queued_at = queued_at + interval '1 h'"
        )
        async with leading(cluster_database, task, stored=True) as leader:
            found = leader.supervisor.find("t")
            assert found is not None
            assert found.run is not None
            release.set()
            await until(lambda: leader.seen.successes.get("t", 0) >= 2, within=20)
    pool.terminate()


@pytest.mark.parametrize("written", [True, False])
async def test_an_adopted_run_keeps_its_id_and_is_counted_once(
    cluster_database: str, *, written: bool
) -> None:
    """`written`: whether the former leader has written the state that the run began with."""
    begun: list[str] = []
    release = asyncio.Event()

    async def check(ctx: Any) -> None:
        begun.append(ctx.run_id)
        await release.wait()

    task = spec("t", check, schedule=Every(3600.0))
    pool = await create_pool(cluster_database)
    async with working(cluster_database, task) as worker:
        async with leading(cluster_database, task):
            await until(lambda: bool(worker.runs.assigned), within=20)
        if not written:
            await pool.execute(
                "UPDATE dozor.tasks SET state = 'waiting', running_since = NULL, runs_total = 0, "
                "last_started_at = NULL"
            )
        async with leading(cluster_database, task, stored=True) as leader:
            found = leader.supervisor.find("t")
            assert found is not None
            assert found.run is not None
            assert found.run.remote == begun[0]
            release.set()
            await until(lambda: leader.seen.successes.get("t", 0) == 1, within=20)
    assert [row["id"] for row in await pool.fetch("SELECT id FROM dozor.runs WHERE task = 't'")] == begun
    row = await pool.fetchrow("SELECT runs_total, last_started_at FROM dozor.tasks WHERE name = 't'")
    assert row["runs_total"] == 1
    assert row["last_started_at"] is not None
    pool.terminate()


async def test_a_worker_without_the_task_or_with_other_arguments_passes_the_run_on(
    cluster_database: str,
) -> None:
    begun: list[str] = []

    async def check(ctx: Any, limit: int) -> None:
        begun.append(ctx.run_id)

    async def wrong(ctx: Any, limit: int) -> None:
        begun.append("wrong")

    task = spec("t", check, args={"limit": 1}, schedule=Every(0.2))
    async with (
        leading(cluster_database, task) as leader,
        working(cluster_database, spec("t", wrong, args={"limit": 2}), name="other arguments"),
        working(cluster_database, spec("u", wrong), name="without the task"),
        working(cluster_database, task, name="right"),
    ):
        await until(lambda: leader.seen.successes.get("t", 0) >= 3, within=30)
    assert "wrong" not in begun


async def test_a_worker_works_again_within_five_seconds_after_all_its_sessions_were_ended(
    cluster_database: str,
) -> None:
    async def check() -> None:
        await asyncio.sleep(0)

    task = spec("t", check, schedule=Every(0.1))
    async with leading(cluster_database, task) as leader, working(cluster_database, task):
        await until(lambda: leader.seen.successes.get("t", 0) >= 3, within=20)
        ended = await leader.pool.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name IN ('test worker', 'dozor listen')"
        )
        assert ended > 0
        before = leader.seen.successes["t"]
        await until(lambda: leader.seen.successes["t"] > before + 2, within=5.0)


async def test_a_pool_without_workers_is_an_incident_until_one_comes(
    cluster_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dozor.cluster.untaken.NOT_TAKEN_AFTER", 1.0)

    async def check() -> None:
        await asyncio.sleep(0)

    task = spec("t", check)
    async with leading(cluster_database, task) as leader:
        await until(lambda: bool(leader.seen.troubles), within=20)
        raised = leader.seen.troubles[0]
        assert (raised.kind, raised.subject) == (TroubleKind.NO_WORKER, "default")
        async with working(cluster_database, task):
            await until(lambda: bool(leader.seen.over), within=20)


async def test_a_task_that_no_worker_has_is_an_incident_while_others_of_its_pool_run(
    cluster_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dozor.cluster.untaken.NOT_TAKEN_AFTER", 1.0)

    async def check() -> None:
        await asyncio.sleep(0)

    known, lacking = spec("known", check, schedule=Every(0.1)), spec("lacking", check)
    async with leading(cluster_database, known, lacking) as leader, working(cluster_database, known):
        await until(lambda: bool(leader.seen.troubles), within=20)
        raised = leader.seen.troubles[0]
        assert (raised.kind, raised.subject, raised.task) == (TroubleKind.NO_WORKER, "lacking", "lacking")
        assert not leader.seen.over
        async with working(cluster_database, known, lacking, name="newer"):
            await until(lambda: bool(leader.seen.over), within=20)
        assert leader.seen.over[0].task == "lacking"
        assert len(leader.seen.troubles) == 1


async def test_nothing_is_left_of_runs_that_are_over(cluster_database: str) -> None:
    async def check() -> None:
        await asyncio.sleep(0)

    task = spec("t", check, schedule=Every(0.02))
    async with leading(cluster_database, task) as leader, working(cluster_database, task):
        await until(lambda: leader.seen.successes.get("t", 0) >= 20, within=20)
        leader.supervisor.command("t", Pause("test"))

        async def rows() -> int:
            return int(
                await leader.pool.fetchval(
                    "SELECT (SELECT count(*) FROM dozor.pool_runs)"
                    " + (SELECT count(*) FROM dozor_queue.pgqueuer_log)"
                    " + (SELECT count(*) FROM dozor_queue.pgqueuer)"
                )
            )

        async with asyncio.timeout(20):
            while await rows():  # noqa: ASYNC110 -- rows of the database
                await asyncio.sleep(0.1)


async def test_a_hang_on_a_worker_is_reported_and_so_is_its_end(cluster_database: str) -> None:
    """The run ignores its cancellation: it hangs until it ends, and then it does not any more."""
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    task = spec("t", stubborn, timeout=0.3, max_consecutive_failures=None)
    async with leading(cluster_database, task) as leader, working(cluster_database, task) as worker:
        await until(lambda: "t" in worker._hangs.hung, within=20)
        await until(lambda: [one.kind for one in leader.seen.troubles] == [TroubleKind.HUNG], within=20)
        assert not leader.seen.over
        release.set()
        await until(lambda: not worker._hangs.hung, within=20)
        await until(lambda: [one.kind for one in leader.seen.over] == [TroubleKind.HUNG], within=20)
