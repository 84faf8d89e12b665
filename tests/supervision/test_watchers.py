"""The watchdog, the limits, the probes, the alarm, and the frames of the pipe: each by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC

import pytest
from loguru import logger

from dozor.alerting.fallback.emergency import EmergencySender
from dozor.alerting.incidents.facts import trouble_facts
from dozor.alerting.rendering import phrases
from dozor.clock import SteadyClock
from dozor.config import ChatTarget, TelegramConfig
from dozor.config.sections.supervision import DependencyConfig, LimitsConfig
from dozor.config.values.incident_kinds import Severity
from dozor.config.values.sizes import format_size, parse_size
from dozor.language import Language, Translator
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor.supervision.execution.process.ipc import FrameError, Unpacker, pack
from dozor.supervision.monitoring.dependencies import Dependencies, answer
from dozor.supervision.monitoring.limits import Limits, Use
from dozor.supervision.monitoring.loop_watchdog import Watchdog
from dozor.supervision.telemetry.observer import UNKNOWN_BLOCKER, Trouble, TroubleKind
from tests.bot.botapi.server import BotApi
from tests.supervision.stage import Seen, spec, state_of, supervising
from tests.system.telegram import CHAT, TOKEN, texts
from tests.waiting import until


async def nothing() -> None:
    pass


def busy(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def test_the_watchdog_names_the_task_whose_step_blocks_the_loop() -> None:
    alarms: list[tuple[Trouble, bool]] = []
    over: list[Trouble] = []
    blocked = threading.Event()

    async def blocks() -> None:
        blocked.set()
        busy(0.6)
        blocked.clear()

    watchdog = Watchdog(0.2, lambda trouble: alarms.append((trouble, blocked.is_set())), over.append)
    watchdog.start()
    try:
        async with supervising(spec("guilty", blocks), *(spec(f"t{n}", nothing) for n in range(5))):
            await until(lambda: bool(over))
    finally:
        watchdog.stop()
    trouble, still_blocked = alarms[0]
    assert still_blocked
    assert trouble.subject == "guilty"
    assert trouble.chain[-1].endswith("in busy")
    assert over[0].subject == "guilty"
    assert over[0].seconds == pytest.approx(0.6, abs=0.35)


async def test_a_loop_that_is_not_blocked_raises_nothing() -> None:
    alarms: list[Trouble] = []
    watchdog = Watchdog(0.5, alarms.append, alarms.append)
    watchdog.start()
    await asyncio.sleep(1.2)  # two limits
    watchdog.stop()
    assert not alarms
    assert len(watchdog.lags) >= 5


def trouble() -> Trouble:
    return Trouble(
        kind=TroubleKind.BLOCKED_LOOP,
        subject="guilty",
        task="guilty",
        seconds=1.2,
        chain=("guilty.py:3 in check",),
    )


async def test_the_alarm_goes_out_from_a_thread(telegram: BotApi) -> None:
    config = TelegramConfig.model_validate(
        {"token": TOKEN, "api_url": telegram.url, "chat": ChatTarget(CHAT)}
    )
    alarm = EmergencySender(config, Translator(Language.EN), str)
    assert await asyncio.to_thread(alarm.send, trouble())
    assert texts(telegram) == ["🔴 The event loop has been blocked for 1 s by guilty\nguilty.py:3 in check"]
    assert not await asyncio.to_thread(alarm.send, trouble()), "one at a time"


async def test_the_alarm_falls_back_to_the_console_without_a_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    alarm = EmergencySender(
        TelegramConfig(), Translator(Language.EN), lambda text: text.replace("guilty", "***")
    )
    assert await asyncio.to_thread(alarm.send, trouble())
    assert "blocked for 1 s by ***" in capsys.readouterr().err


UNKNOWN = replace(trouble(), subject=UNKNOWN_BLOCKER, task=None)


@pytest.mark.parametrize(
    ("language", "seconds", "expected"),
    [
        (Language.EN, 1.2, "⚠️ The event loop was blocked for 1 s"),
        (Language.EN, None, "⚠️ The event loop gets blocked"),
        (Language.RU, 1.2, "⚠️ Цикл событий был заблокирован 1 с"),
        (Language.RU, None, "⚠️ Цикл событий блокируется"),
    ],
)
def test_a_loop_blocked_by_no_task_names_no_culprit(
    language: Language, seconds: float | None, expected: str
) -> None:
    facts = trouble_facts(replace(UNKNOWN, seconds=seconds))
    facts = replace(facts, trouble="blocked_loop", subject=UNKNOWN.subject)
    say = phrases.Phrasebook(Translator(language), UTC, 0.0)
    header, _ = phrases.trouble(say, "", facts, Severity.WARNING)
    assert header == expected


async def test_neither_does_the_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    alarm = EmergencySender(TelegramConfig(), Translator(Language.EN), str)
    assert await asyncio.to_thread(alarm.send, UNKNOWN)
    said = capsys.readouterr().err
    assert said.startswith("🔴 The event loop has been blocked for 1 s\n")


async def test_the_watchdog_says_that_no_task_is_to_blame() -> None:
    alarms: list[Trouble] = []
    watchdog = Watchdog(0.2, alarms.append, lambda trouble: None)
    watchdog.start()
    await asyncio.sleep(0)
    busy(0.6)
    await until(lambda: bool(alarms), within=10)
    watchdog.stop()
    [found] = alarms
    assert (found.subject, found.task) == (UNKNOWN_BLOCKER, None)
    assert found.reason == "not by the run of a task; it was at"


def test_a_limit_is_raised_once_and_cleared_when_it_is_clearly_kept_again() -> None:
    seen = Seen()
    limits = Limits(LimitsConfig(), seen, None, lambda: None)
    for used in (90, 101, 150, 95, 89, 101):
        limits.judge(Use("memory", used, 100, f"{used} of 100"))
    assert [one.reason for one in seen.troubles] == ["101 of 100", "101 of 100"]
    assert [one.reason for one in seen.over] == ["89 of 100"]


async def test_what_the_runner_uses_is_measured(pool: Pool) -> None:
    config = LimitsConfig.model_validate({"memory": "1MB", "asyncio_tasks": 1, "loop_lag": "1ms"})
    limits = Limits(config, Seen(), pool, lambda: 0.2)
    uses = {use.what: use for use in [*limits.own_use(), *await limits.database_use()]}
    assert set(uses) == {"memory", "asyncio_tasks", "open_files", "loop_lag", "database_connections"}
    assert uses["memory"].used > 10_000_000
    assert uses["database_connections"].used >= 1
    assert all(use.words for use in uses.values())


async def _serve(reply: bytes) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("status", "problem"),
    [("200 OK", None), ("404 Not Found", None), ("503 Service Unavailable", "HTTP status 503")],
)
async def test_an_http_probe(status: str, problem: str | None) -> None:
    server = await _serve(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    async with server:
        port = server.sockets[0].getsockname()[1]
        config = DependencyConfig.model_validate({"http": f"http://127.0.0.1:{port}/health"})
        assert await answer(config, None) == problem


async def test_a_probe_of_something_deaf_has_a_time_limit() -> None:
    server = await _serve(b"nonsense")
    async with server:
        port = server.sockets[0].getsockname()[1]
        nonsense = DependencyConfig.model_validate({"http": f"http://127.0.0.1:{port}/", "timeout": "500ms"})
        assert await answer(nonsense, None) is not None


@pytest.mark.parametrize(
    ("query", "problem"),
    [("SELECT true", None), ("SELECT 1", None), ("SELECT false", "the query answered false")],
)
async def test_a_query_probe(pool: Pool, query: str, problem: str | None) -> None:
    assert await answer(DependencyConfig.model_validate({"query": query}), pool) == problem


async def test_a_failure_while_a_dependency_is_down_is_none_of_the_checkers(pool: Pool) -> None:
    """Nobody has asked the dependency yet: the failure itself makes us ask."""

    async def fails() -> None:
        raise ValueError("provider said nothing")

    config = {"provider": DependencyConfig.model_validate({"tcp": "127.0.0.1:1", "every": "1h"})}
    needs = spec("needs", fails, requires=frozenset({"provider"}))
    async with supervising(needs, spec("free", fails, max_consecutive_failures=None)) as (supervisor, seen):
        Dependencies(config, supervisor, seen, SteadyClock(), pool)
        await until(lambda: state_of(supervisor, "needs").state is State.HELD)
        assert state_of(supervisor, "needs").failures == 0
        assert not seen.failures("needs")
        await until(lambda: len(seen.failures("free")) > 3)
        supervisor.dependency_changed(up=True, name="provider")
        assert state_of(supervisor, "needs").state is State.WAITING


def test_frames_come_whole_however_the_bytes_come() -> None:
    frames = [{"type": "log", "text": "привет \ud800"}, {"type": "ended"}]
    data = b"".join(pack(frame) for frame in frames)
    unpacker = Unpacker()
    found = [frame for byte in data for frame in unpacker.feed(bytes([byte]))]
    assert found == frames
    assert Unpacker().feed(data) == frames


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\x02[]", b"\0\0\0\x01x", b"\0\0\0\x02{}"])
def test_bytes_that_are_no_frame_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        Unpacker().feed(data)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MB", 512_000_000), ("1GiB", 2**30), ("1.5 gb", 1_500_000_000), (64_000_000, 64_000_000)],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size
    assert abs(parse_size(format_size(size)) - size) < 1000


@pytest.mark.parametrize("text", ["", "many", "10", True, None, "-5MB", "5 parsecs"])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


def test_the_alarm_leaves_before_anything_is_logged() -> None:
    order: list[str] = []
    number = logger.add(lambda message: order.append("log"), level="CRITICAL")
    watchdog = Watchdog(0.2, lambda trouble: order.append("alarm"), lambda trouble: None)
    try:
        watchdog._tell(Trouble(kind=TroubleKind.BLOCKED_LOOP, subject="slow", seconds=1.0))
    finally:
        logger.remove(number)
    assert order == ["alarm", "log"]
