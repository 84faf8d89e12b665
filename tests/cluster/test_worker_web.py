"""The web server of a worker: whether it lives, can take runs, and what the database holds."""

from __future__ import annotations

import asyncio
import signal

from dozor.app.worker import worker_snapshot
from dozor.control.readiness import evaluate
from dozor.storage.postgres.pool import Pool
from tests.cluster.members import Members
from tests.cluster.test_standby_web import ask, free_port, until_answer
from tests.server import PostgresControl

WORKS = ": worker "


def ready(silent: float) -> bool:
    return evaluate(worker_snapshot(100.0, 3.0, 1e9, 100.0 + silent, {})).ready


def test_a_worker_is_ready_until_the_database_was_silent_for_longer_than_the_lease() -> None:
    assert ready(0.0)
    assert ready(3.0)
    assert not ready(3.1)
    failing = worker_snapshot(100.0, 3.0, 1e9, 100.0, {"worker": "ValueError: x"})
    assert evaluate(failing).reasons == ("worker: ValueError: x",)


async def test_a_worker_answers_with_its_health_and_metrics_and_what_the_tables_hold(
    members: Members,
) -> None:
    (members.folder / "failing.py").write_text("async def f():\n    raise RuntimeError('as ordered')\n")
    tasks = {
        "t": {"run": "spanned:run", "every": "200ms", "placement": "pool"},
        "f": {"run": "failing:f", "restart_delay": "50ms", "placement": "pool"},
    }
    port = free_port()
    members.write(tasks)
    await members.leader("--role", "leader")
    members.write(tasks, web={"listen": f"127.0.0.1:{port}"})
    worker = members.start("--role", "worker")
    await worker.says(WORKS)
    await until_answer(port, "/healthz", '"alive": true')
    await until_answer(port, "/readyz", '"ready": true')
    await until_answer(port, "/metrics", r'dozor_replicas\{role="worker"\} 1\.0')
    assert "dozor_leader 0.0" in await until_answer(port, "/metrics", "dozor_leader")
    assert '"role": "worker"' in await until_answer(port, "/api/status", '"name": "f", "state": "stopped"')
    await until_answer(port, "/metrics", r'dozor_task_state\{[^}]*task="f"[^}]*stopped[^}]*\} 1')
    await until_answer(port, "/health/tasks", '"task": "f"', status=503)
    assert "<html" in await until_answer(port, "/", "<html")
    tasks["added"] = tasks["t"]
    del tasks["f"]
    members.write(tasks, web={"listen": f"127.0.0.1:{port}"})
    worker.signal(signal.SIGHUP)
    answer = await until_answer(port, "/api/status", '"name": "added"')
    assert '"name": "f"' not in answer
    assert await worker.stop() == 0


async def test_a_worker_that_lost_the_database_is_alive_and_not_ready_until_it_is_back(
    own: Members, postgres_control: PostgresControl
) -> None:
    server, port = postgres_control, free_port()
    own.write(
        {"t": {"run": "spanned:run", "every": "200ms", "placement": "pool"}},
        web={"listen": f"127.0.0.1:{port}"},
    )
    worker = own.start("--role", "worker")
    await worker.says(WORKS)
    await until_answer(port, "/readyz", '"ready": true')
    server.freeze()
    await until_answer(port, "/readyz", "database", status=503)
    assert (await ask(port, "/healthz"))[0] == 200
    server.thaw()
    await until_answer(port, "/readyz", '"ready": true')
    server.stop()
    await until_answer(port, "/readyz", "database", status=503)
    server.start()
    await until_answer(port, "/readyz", '"ready": true')


async def test_a_process_whose_worker_cannot_take_runs_is_not_ready_whatever_else_it_does(
    members: Members, pool: Pool
) -> None:
    """Here the database refuses a statement; every other part goes on."""
    ports = {role: free_port() for role in ("leader", "standby", "worker")}

    def listen(role: str) -> None:
        members.write(web={"listen": f"127.0.0.1:{ports[role]}"})

    listen("leader")
    leader = await members.leader()
    listen("standby")
    await members.standby()
    listen("worker")
    worker = members.start("--role", "worker")

    async def answer(pattern: str, status: int) -> None:
        """Of all three at the same time: a part that fails again and again is started later and later."""
        await asyncio.gather(
            *(until_answer(port, "/readyz", pattern, status=status) for port in ports.values())
        )

    await answer('"ready": true', 200)
    await pool.execute("ALTER TABLE dozor_queue.pgqueuer RENAME TO elsewhere")
    await answer("worker: UndefinedTableError", 503)
    await pool.execute("ALTER TABLE dozor_queue.elsewhere RENAME TO pgqueuer")
    await answer('"ready": true', 200)
    assert await worker.stop() == 0
    assert await leader.stop() == 0
