"""`safe_background_task(..., alerts=...)`: what is raised and when, and `TelegramAlert` over real HTTP."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from loguru import logger

from dozor import CriticalStop, Recovery, RepeatedErrors, TelegramAlert, safe_background_task
from dozor.alerting.fallback import telegram_alert
from dozor.supervision import background
from dozor.supervision.background import BackgroundAlert
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi
from tests.simulation.loop import run_virtually
from tests.waiting import until

GROUP, FORUM = -500, -1001


class Checker:
    """Fails as long as the script says so; then it succeeds, and ends the task after the last entry."""

    def __init__(self, *script: bool) -> None:
        self.script = list(script)
        self.runs = 0

    async def run(self) -> None:
        good = self.script[self.runs] if self.runs < len(self.script) else True
        self.runs += 1
        if self.runs > len(self.script):
            await asyncio.Event().wait()
        if not good:
            raise LookupError(f"no {self.runs}")


async def play(checker: Checker, alerts: Any, *, limit: int = 5, delay: float = 0.0) -> None:
    task = asyncio.create_task(safe_background_task("rates", checker.run, delay, limit, alerts=alerts))
    await until(lambda: task.done() or checker.runs > len(checker.script))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def kinds(*script: bool, limit: int = 5) -> list[tuple[type, int, str]]:
    seen: list[BackgroundAlert] = []

    async def take(alert: BackgroundAlert) -> None:
        assert (alert.task, alert.limit) == ("rates", limit)
        seen.append(alert)

    await play(Checker(*script), take, limit=limit)
    return [(type(one), one.failures, str(one.error)) for one in seen]


NO, YES = False, True


async def test_repeated_errors_recovery_and_the_stop() -> None:
    assert await kinds(NO, NO, YES, NO, NO) == []
    assert await kinds(NO, NO, NO, NO, YES, YES) == [(RepeatedErrors, 3, "no 3"), (Recovery, 4, "no 4")]
    assert await kinds(NO, NO, NO, NO, NO) == [(RepeatedErrors, 3, "no 3"), (CriticalStop, 5, "no 5")]
    assert await kinds(NO, NO, NO, limit=3) == [(CriticalStop, 3, "no 3")]
    twice = await kinds(NO, NO, NO, YES, NO, NO, NO, YES)
    assert [kind for kind, _, _ in twice] == [RepeatedErrors, Recovery] * 2


async def test_whatever_alerts_does_the_task_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "ALERT_SECONDS", 0.05)

    async def raises(alert: BackgroundAlert) -> None:
        raise SystemExit(3)

    async def hangs(alert: BackgroundAlert) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if ignored.done():
                    raise
                ignored.set_result(None)

    def plain(alert: BackgroundAlert) -> None:
        raise ZeroDivisionError

    for alerts in (raises, hangs, plain):
        ignored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        checker = Checker(NO, NO, NO, NO, YES, YES)
        await play(checker, alerts)
        assert checker.runs == 7
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    with pytest.raises(TypeError, match="alerts"):
        await safe_background_task("rates", checker.run, alerts=5)  # type: ignore[arg-type]


def test_a_slow_alert_does_not_delay_the_next_run() -> None:
    began: list[float] = []

    class Timed(Checker):
        async def run(self) -> None:
            began.append(asyncio.get_running_loop().time())
            await super().run()

    async def slow(alert: BackgroundAlert) -> None:
        await asyncio.sleep(0.2)

    run_virtually(play(Timed(NO, NO, NO, YES), slow, delay=0.3))
    assert began[3] - began[2] == pytest.approx(0.3, abs=0.01)


async def test_a_cancelled_task_does_not_wait_for_its_alert() -> None:
    started = asyncio.Event()

    async def hangs(alert: BackgroundAlert) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(safe_background_task("rates", Checker(NO, NO, NO).run, 0, alerts=hangs))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1)


# -- TelegramAlert


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BotApi]:
    monkeypatch.setattr(telegram_alert, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(telegram_alert, "CALL_SECONDS", 0.5)
    monkeypatch.setattr(telegram_alert, "IDLE_SECONDS", 0.1)
    api = BotApi()
    api.world.add_chat(GROUP, "group", "On call")
    api.world.add_chat(FORUM, "supergroup", "Team", is_forum=True, topics={17: True, 18: False})
    async with api:
        yield api


def alert(**more: Any) -> RepeatedErrors:
    values = {"task": "rates", "failures": 3, "limit": 5, "error": LookupError("no price"), **more}
    return RepeatedErrors(**values)


def texts(api: BotApi, chat: int = GROUP) -> list[str]:
    return [message.text for message in api.world.sent(chat)]


async def test_a_streak_is_told_in_the_chat(api: BotApi) -> None:
    send = TelegramAlert(api.token, GROUP, language="en", api_url=api.url)
    await play(Checker(NO, NO, NO, NO, YES), send)
    assert texts(api) == ["⚠️ rates: 3 errors in a row (3/5)\nLookupError: no 3", "✅ rates works again"]
    await play(Checker(NO), send, limit=1)
    assert texts(api)[-1] == "🛑 rates stopped: 1 error\nLookupError: no 1"
    [bold] = api.world.sent(GROUP)[0].entities
    assert (bold["type"], bold["offset"], bold["length"]) == (
        "bold",
        0,
        len("⚠️ rates: 3 errors in a row (3/5)"),
    )


async def test_in_russian_and_in_a_topic(api: BotApi) -> None:
    send = TelegramAlert(api.token, f"{FORUM}:17", api_url=api.url)
    await send(alert())
    [message] = api.world.sent(FORUM)
    assert message.thread_id == 17
    assert message.text == "⚠️ rates: 3 ошибки подряд (3/5)\nLookupError: no price"


FAULTS: dict[str, Callable[[BotApi], None]] = {
    "429": lambda api: api.fail(FaultKind.RETRY_AFTER, seconds=1),
    "500": lambda api: api.fail(FaultKind.SERVER_ERROR),
    "reset": lambda api: api.fail(FaultKind.RESET),
    "nonsense": lambda api: api.fail(FaultKind.NONSENSE),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_passes_is_waited_out(api: BotApi, fault: str) -> None:
    FAULTS[fault](api)
    await TelegramAlert(api.token, GROUP, language="en", api_url=api.url)(alert())
    [text] = texts(api)
    assert text.startswith("⚠️ rates")
    assert len(api.calls) == 2


async def test_no_answer_is_repeated_and_marked(api: BotApi) -> None:
    api.fail(FaultKind.HANG_AFTER_ACCEPT, seconds=5.0)
    await TelegramAlert(api.token, GROUP, language="en", api_url=api.url)(alert())
    first, second = texts(api)
    assert "duplicate" not in first
    assert second == f"{first}\n(possibly a duplicate: the first attempt got no answer)"


async def test_a_group_that_became_a_supergroup_is_followed(api: BotApi) -> None:
    api.world.chats[GROUP].migrated_to = FORUM
    send = TelegramAlert(api.token, GROUP, api_url=api.url)
    await send(alert())
    await send(alert())
    assert len(texts(api, FORUM)) == 2
    assert len(api.calls) == 3, "the new id is remembered"


async def test_a_closed_topic_is_replaced_by_the_chat(api: BotApi) -> None:
    for topic in (18, 99):
        await TelegramAlert(api.token, f"{FORUM}:{topic}", api_url=api.url)(alert())
    assert [message.thread_id for message in api.world.sent(FORUM)] == [None, None]


async def test_formatting_that_is_refused_is_left_out(api: BotApi) -> None:
    api.fail(FaultKind.BAD_ENTITIES)
    await TelegramAlert(api.token, GROUP, api_url=api.url)(alert())
    [message] = api.world.sent(GROUP)
    assert message.entities == []


async def test_a_hostile_text_arrives(api: BotApi) -> None:
    send = TelegramAlert(api.token, GROUP, language="en", api_url=api.url)
    for text in ("\ud800 half", "x" * 100_000, "\x00\x1b[2J", "🦔" * 5000):
        await send(alert(error=LookupError(text), task="a\nb\udfff"))
    assert len(texts(api)) == 4


async def test_what_is_refused_is_given_up_and_the_token_stays_secret(api: BotApi) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    try:
        api.world.chats[GROUP].kicked = True
        await TelegramAlert(api.token, GROUP, api_url=api.url)(alert())
        await TelegramAlert("42:wrong-token", GROUP, api_url=api.url)(
            alert(error=OSError("bot42:wrong-token"))
        )
        assert len(api.calls) == 2
        assert "kicked" in "".join(lines)
        assert "wrong-token" not in "".join(lines)
    finally:
        logger.remove(sink)
    assert texts(api) == []


async def test_it_goes_on_when_nobody_waits_any_more(api: BotApi) -> None:
    await api.stop()
    send = TelegramAlert(api.token, GROUP, language="en", api_url=api.url)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(send(alert()), 0.3)
    await api.start()
    await until(lambda: texts(api) != [], within=10)
    await until(lambda: send._thread is None, within=10)


@pytest.mark.parametrize(
    ("token", "chat"), [("", GROUP), ("secret", GROUP), ("42:abc", ""), ("42:abc", "@group"), ("42:abc", 0)]
)
def test_what_cannot_be_used_is_refused_at_once(token: str, chat: Any) -> None:
    with pytest.raises(ValueError) as refused:
        TelegramAlert(token, chat)
    assert "secret" not in str(refused.value)
    assert "{value}" not in str(refused.value)


def test_neither_aiogram_nor_a_database_driver_is_imported() -> None:
    code = (
        "import sys; from dozor import TelegramAlert, safe_background_task; TelegramAlert('42:abc', -5);"
        "print(sorted({'aiogram', 'asyncpg', 'aiohttp', 'yaml'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "[]\n", ran.stdout + ran.stderr
