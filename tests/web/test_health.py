"""Health endpoints through each failure."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from loguru import logger

from dozor.app.leading.telegram import TelegramSide
from dozor.clock import ClockChange
from dozor.control import readiness
from dozor.control.readiness import evaluate
from dozor.supervision.core.events import Pause, Restart
from dozor.supervision.timers import TimerHeap
from dozor.web import health, server
from tests.bot.botapi.server import BotApi
from tests.server import PostgresControl
from tests.waiting import until
from tests.web.site import Work, open_site

ONE = "one: {run: 'm:f', every: 50ms, restart_delay: 10ms, max_consecutive_failures: 2}"


async def test_all_is_well(database: str, tmp_path: Path, work: Work) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        await until(lambda: work.runs > 0)
        status, alive = await site.get_json("/healthz")
        assert (status, alive["alive"]) == (200, True)
        assert alive["last_tick_s"] < 1
        assert await site.get_json("/readyz") == (
            200,
            {"ready": True, "reasons": [], "telegram_last_poll_s": None},
        )
        assert await site.get_json("/health/tasks") == (200, {"ok": True, "tasks": 1, "unwell": []})


async def test_a_stopped_task_is_unwell_until_it_is_restarted(
    database: str, tmp_path: Path, work: Work
) -> None:
    work.error = ValueError("no")
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        answer = await site.becomes("/health/tasks", 503)
        assert answer["unwell"] == [
            {"task": "one", "state": "stopped", "reason": "stopped: dozor restart one"}
        ]
        assert (await site.get_json("/readyz"))[0] == 200, "the runner itself is well"
        work.error = None
        site.runner.supervisor.command("one", Restart("test"))
        await site.becomes("/health/tasks", 200)


async def test_an_overdue_task_is_unwell(database: str, tmp_path: Path, work: Work) -> None:
    work.error = ValueError("no")
    tasks = (
        "one: {run: 'm:f', every: 50ms, restart_delay: 20ms, max_consecutive_failures: null,"
        " overdue_after: 300ms}"
    )
    async with open_site(tmp_path, database, {"one": work.run}, tasks=tasks) as site:
        answer = await site.becomes("/health/tasks", 503)
        assert answer["unwell"][0]["reason"].startswith("overdue by")
        work.error = None
        await site.becomes("/health/tasks", 200)


async def test_a_paused_task_is_not_overdue(database: str, tmp_path: Path, work: Work) -> None:
    tasks = "one: {run: 'm:f', every: 50ms, overdue_after: 200ms}"
    async with open_site(tmp_path, database, {"one": work.run}, tasks=tasks) as site:
        site.runner.supervisor.command("one", Pause("test"))
        await asyncio.sleep(0.4)
        assert (await site.get_json("/health/tasks"))[0] == 200


async def test_a_control_loop_that_does_not_look_any_more_is_dead(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "LATE_AFTER", 0.3)
    monkeypatch.setattr(readiness, "STALLED_AFTER", 1.0)
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        await until(lambda: work.runs > 0)
        monkeypatch.setattr(TimerHeap, "_tick", lambda timetable: None)
        answer = await site.becomes("/healthz", 503)
        assert answer["late_s"] >= 0.3
        await until(lambda: any(r.startswith("supervision:") for r in site.runner.readiness().reasons))
        assert (await site.get_json("/readyz"))[0] == 503


async def test_a_lost_database_makes_it_unready_and_nothing_else(
    postgres_control: PostgresControl, tmp_path: Path, work: Work
) -> None:
    async with open_site(tmp_path, postgres_control.dsn, {"one": work.run}, tasks=ONE) as site:
        await until(lambda: work.runs > 0)
        await asyncio.to_thread(postgres_control.stop)
        answer = await site.becomes("/readyz", 503)
        assert answer["reasons"][0].startswith("database: away for")
        assert (await site.get_json("/healthz"))[0] == 200, "restarting the process would mend nothing"
        assert (await site.get_json("/health/tasks"))[0] == 200
        runs = work.runs
        await until(lambda: work.runs > runs)
        status, report = await site.get_json("/api/status")
        assert (status, report["tasks"][0]["runs_total"] >= runs) == (200, True), "answered from memory"
        code, text = await site.get("/metrics")
        assert code == 200
        assert "dozor_database_up 0.0" in text
        await asyncio.to_thread(postgres_control.start)
        await site.becomes("/readyz", 200, within=20)


async def test_a_deaf_bot_makes_it_unready(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "DEAF_AFTER", 1.0)
    api = BotApi()
    api.world.add_user(111, "Anna")
    async with api:
        more = f"telegram: {{token: '{api.token}', api_url: '{api.url}', chat: 111, admins: [111]}}"
        async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=more) as site:
            assert any("not polled yet" in r for r in (await site.becomes("/readyz", 503))["reasons"])
            await site.becomes("/readyz", 200, within=20)
            await api.stop()
            answer = await site.becomes("/readyz", 503)
            assert any(reason.startswith("telegram:") for reason in answer["reasons"])


async def test_a_refused_token_makes_it_unready(database: str, tmp_path: Path, work: Work) -> None:
    async with BotApi() as api:
        more = f"telegram: {{token: '77:wrong-token', api_url: '{api.url}', chat: 111, admins: [111]}}"
        async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=more) as site:
            await until(
                lambda: any("refuses" in r or "401" in r for r in site.runner.readiness().reasons), within=30
            )
            status, answer = await site.get_json("/readyz")
            assert status == 503
            assert "wrong-token" not in str(answer)
            assert (await site.get_json("/healthz"))[0] == 200


async def test_a_port_in_use_is_said_once_and_taken_when_it_is_free(
    database: str,
    tmp_path: Path,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)))
    monkeypatch.setattr(server, "TRY_AGAIN", 0.1)
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    more = f"web: {{listen: '127.0.0.1:{port}'}}"

    async def free() -> None:
        await until(lambda: work.runs > 5)
        await asyncio.sleep(0.5)
        taken.close()
        await taken.wait_closed()

    freeing = asyncio.create_task(free())
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE, more=more) as site:
        await freeing
        assert (await site.get_json("/healthz"))[0] == 200
    logger.remove(sink)
    said = [line for line in lines if "cannot listen" in line]
    assert len(said) == 1
    assert "choose another port in web.listen" in said[0]


async def test_every_answer_carries_security_headers(database: str, tmp_path: Path, work: Work) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks=ONE) as site:
        for path in ("/healthz", "/metrics", "/api/status", "/nowhere"):
            async with site.http.get(site.url + path) as answer:
                assert answer.headers["X-Content-Type-Options"] == "nosniff", path
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"], path


async def test_a_clock_that_is_set_forward_makes_nothing_late(
    database: str, tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_site(tmp_path, database, {"one": work.run}, tasks="one: {run: 'm:f', every: 1h}") as site:
        await site.becomes("/readyz", 200)
        polled_at = site.runner._clock.now()
        monkeypatch.setattr(TelegramSide, "wanted", property(lambda self: True))
        monkeypatch.setattr(TelegramSide, "polled_at", property(lambda self: polled_at))
        for seconds in (86_400.0, -86_400.0):
            site.runner._clock.follow(ClockChange(slept=0.0, step=seconds))
            # Before any part has made progress: in the same turn of the loop.
            assert evaluate(site.runner.vitals()).reasons == ()
