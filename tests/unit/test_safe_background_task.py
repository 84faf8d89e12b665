"""`safe_background_task`: the source document's scenarios and tests, to the letter of its log lines."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from dozor import safe_background_task
from tests.waiting import until

if TYPE_CHECKING:
    from loguru import Message

NAME = "presale_checker"
STARTING = ("INFO", f"Запуск фоновой задачи: {NAME}")
CANCELLED = ("INFO", f"Фоновая задача {NAME} отменена")


def _failed(attempt: int, text: str = "boom", limit: int = 5) -> tuple[str, str]:
    return "ERROR", f"Ошибка в фоновой задаче {NAME} (попытка {attempt}/{limit}): {text}"


def _restarting(delay: str) -> tuple[str, str]:
    return "INFO", f"Перезапуск задачи {NAME} через {delay} секунд..."


def _stopped(failures: int) -> tuple[str, str]:
    return "CRITICAL", f"Фоновая задача {NAME} остановлена после {failures} последовательных ошибок"


class Log:
    """What loguru was told: (level, line), and the traceback of each error."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.tracebacks: list[str] = []

    def take(self, message: Message) -> None:
        record = message.record
        self.lines.append((record["level"].name, record["message"]))
        if record["exception"] is not None:
            self.tracebacks.append(str(message))


@pytest.fixture
def log() -> Iterator[Log]:
    log = Log()
    sink = logger.add(log.take, level="TRACE", diagnose=False, format="{message}")
    yield log
    logger.remove(sink)


class Script:
    """A checker: each run takes the next step; the last step is repeated for ever."""

    def __init__(self, *steps: BaseException | None) -> None:
        self._steps = steps
        self.runs = 0

    async def __call__(self) -> None:
        step = self._steps[min(self.runs, len(self._steps) - 1)]
        self.runs += 1
        await asyncio.sleep(0)
        if step is not None:
            raise step


BOOM = RuntimeError("boom")


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


def _start(
    checker: Callable[[], Awaitable[object]], delay: float = 0.0, limit: int = 5
) -> asyncio.Task[None]:
    return asyncio.create_task(
        safe_background_task(
            task_name=NAME, task_func=checker, restart_delay=delay, max_consecutive_failures=limit
        )
    )


# -- the four tests of the source document


async def test_source_test_1_success_runs_again_after_the_delay_and_logs_no_error(log: Log) -> None:
    checker = Script(None)
    task = _start(checker, delay=0.01)
    await until(lambda: checker.runs >= 3)
    assert not task.done()
    await _cancel(task)
    assert log.lines == [STARTING] * checker.runs + [CANCELLED]


async def test_source_test_2_recovery_from_an_error_restarts_the_task(log: Log) -> None:
    checker = Script(BOOM, None)
    task = _start(checker, delay=0.01)
    await until(lambda: checker.runs >= 2)
    await _cancel(task)
    assert log.lines[:4] == [STARTING, _failed(1), _restarting("0.01"), STARTING]
    assert log.lines[4:] == [STARTING] * (checker.runs - 2) + [CANCELLED]


async def test_source_test_3_stop_after_the_maximum_of_consecutive_failures(log: Log) -> None:
    checker = Script(BOOM)
    await asyncio.wait_for(_start(checker, limit=3), 10)
    assert checker.runs == 3
    assert log.lines == [
        *(STARTING, _failed(1, limit=3), _restarting("0")),
        *(STARTING, _failed(2, limit=3), _restarting("0")),
        *(STARTING, _failed(3, limit=3), _stopped(3)),
    ]


async def test_source_test_4_a_success_resets_the_counter(log: Log) -> None:
    checker = Script(BOOM, BOOM, None, BOOM, BOOM, BOOM)
    await asyncio.wait_for(_start(checker, limit=3), 10)
    assert checker.runs == 6
    attempts = [line for level, line in log.lines if level == "ERROR"]
    assert attempts == [_failed(n, limit=3)[1] for n in (1, 2, 1, 2, 3)]
    assert log.lines[-1] == _stopped(3)


# -- its three scenarios, with its defaults: 60 seconds, 5 failures


class Clock:
    """Stands for `asyncio.sleep` in long pauses: notes them and goes on at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pauses: list[float] = []
        self._sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", self)

    async def __call__(self, seconds: float) -> None:
        if seconds:
            self.pauses.append(seconds)
        await self._sleep(0)


def test_the_signature_and_its_defaults_are_the_source_documents() -> None:
    parameters = inspect.signature(safe_background_task).parameters
    positional = [name for name, one in parameters.items() if one.kind is not one.KEYWORD_ONLY]
    assert positional == ["task_name", "task_func", "restart_delay", "max_consecutive_failures"]
    assert parameters["restart_delay"].default == 60
    assert parameters["max_consecutive_failures"].default == 5


async def test_scenario_1_a_temporary_error_is_logged_and_the_task_restarts_after_60_seconds(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    checker = Script(ConnectionError("timed out"), None, *[BOOM] * 5)
    await safe_background_task(task_name=NAME, task_func=checker)
    assert log.lines[:4] == [STARTING, _failed(1, "timed out"), _restarting("60"), STARTING]
    assert clock.pauses == [60] * 6
    assert "ConnectionError: timed out" in log.tracebacks[0]


async def test_scenario_2_five_failures_in_a_row_stop_the_task_critically(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    checker = Script(BOOM)
    await safe_background_task(task_name=NAME, task_func=checker)
    expected: list[tuple[str, str]] = []
    for attempt in range(1, 6):
        expected += [STARTING, _failed(attempt), _restarting("60")]
    assert log.lines == [*expected[:-1], _stopped(5)]
    assert clock.pauses == [60] * 4
    assert checker.runs == 5


async def test_scenario_3_four_failures_then_a_success_then_four_failures_never_stop_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    checker = Script(*[BOOM] * 4, None, *[BOOM] * 4, None, *[BOOM] * 5)
    await safe_background_task(task_name=NAME, task_func=checker)
    attempts = [line for level, line in log.lines if level == "ERROR"]
    assert attempts == [_failed(n)[1] for n in (1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 5)]
    assert [line for line in log.lines if line[0] == "CRITICAL"] == [_stopped(5)]


# -- what may be raised


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt("stop"), asyncio.CancelledError("library"), StopIteration()]
)
async def test_whatever_a_checker_raises_is_its_failure_and_ends_nothing_else(
    log: Log, error: BaseException
) -> None:
    async def raising() -> None:
        if isinstance(error, StopIteration):
            raise RuntimeError("coroutine raised StopIteration")
        raise error

    await asyncio.wait_for(_start(raising, limit=2), 10)
    assert [level for level, _ in log.lines if level != "INFO"] == ["ERROR", "ERROR", "CRITICAL"]
    assert CANCELLED not in log.lines


async def test_a_base_exception_of_the_checkers_own_kind_is_a_failure(log: Log) -> None:
    class Rude(BaseException):
        def __str__(self) -> str:
            raise ValueError("no words")

    async def raising() -> None:
        raise Rude

    await asyncio.wait_for(_start(raising, limit=1), 10)
    assert log.lines[1] == _failed(1, "<str() of Rude raised ValueError>", limit=1)


async def test_a_future_that_somebody_else_cancelled_is_a_failure_not_our_end(log: Log) -> None:
    async def waiting() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel("by the library")
        await future

    await asyncio.wait_for(_start(waiting, limit=2), 10)
    assert log.lines[-1] == _stopped(2)


@pytest.mark.parametrize("moment", ["while it runs", "while it waits to restart"])
async def test_our_own_cancellation_is_logged_and_goes_on_to_the_caller(log: Log, moment: str) -> None:
    runs, ended = 0, False

    async def checker() -> None:
        nonlocal runs, ended
        runs += 1
        if moment == "while it runs":
            try:
                await asyncio.Event().wait()
            finally:
                ended = True
        raise BOOM

    task = _start(checker, delay=60)
    lines = 1 if moment == "while it runs" else 3
    await until(lambda: len(log.lines) == lines)
    await _cancel(task)
    assert log.lines[-1] == CANCELLED
    assert log.lines.count(CANCELLED) == 1
    assert (runs, ended) == (1, moment == "while it runs")


@pytest.mark.parametrize("swallow", [False, True])
async def test_a_checker_that_makes_an_error_or_a_success_of_our_cancellation_still_ends(
    log: Log, swallow: bool
) -> None:
    async def checker() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if not swallow:
                raise BOOM from None

    task = _start(checker, delay=0.01)
    await until(lambda: bool(log.lines))
    await asyncio.sleep(0)
    await _cancel(task)
    assert log.lines[-1] == CANCELLED


async def test_every_failure_carries_its_whole_traceback_without_values_of_variables(log: Log) -> None:
    async def deep() -> None:
        secret = "5up3r"
        raise ValueError("deep down") from KeyError(len(secret))

    await asyncio.wait_for(_start(deep, limit=1), 10)
    [text] = log.tracebacks
    assert "Traceback (most recent call last)" in text
    assert "in deep" in text
    assert "KeyError: 5" in text
    assert "direct cause" in text


async def test_braces_and_percents_in_an_error_are_shown_as_they_are(log: Log) -> None:
    await asyncio.wait_for(_start(Script(ValueError("{name} %s <red>{}</red>")), limit=1), 10)
    assert log.lines[1] == _failed(1, "{name} %s <red>{}</red>", limit=1)


async def test_a_plain_function_is_a_failure_that_says_what_would_be_right(log: Log) -> None:
    def plain() -> int:
        return 1

    await asyncio.wait_for(_start(plain, limit=1), 10)  # type: ignore[arg-type]
    assert "must be an async function: it returned int" in log.lines[1][1]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"task_func": 5}, TypeError),
        ({"restart_delay": -1}, ValueError),
        ({"max_consecutive_failures": 0}, ValueError),
    ],
)
async def test_senseless_arguments_are_refused(arguments: dict[str, object], error: type[Exception]) -> None:
    whole = {"task_name": NAME, "task_func": Script(None), **arguments}
    with pytest.raises(error):
        await safe_background_task(**whole)  # type: ignore[arg-type]


async def test_an_async_classmethod_serves_as_in_the_source_document(log: Log) -> None:
    class Account:
        runs = 0

        @classmethod
        async def run_presale_checker(cls) -> None:
            cls.runs += 1

    task = _start(Account.run_presale_checker, delay=0.01)
    await until(lambda: Account.runs >= 2)
    await _cancel(task)


BARE = """
import asyncio, sys
from dozor import safe_background_task

async def checker():
    raise RuntimeError("boom")

asyncio.run(safe_background_task("presale_checker", checker, restart_delay=0, max_consecutive_failures=2))
print(sorted({"aiogram", "aiohttp", "asyncpg", "bot"} & set(sys.modules)))
"""


def test_it_needs_no_database_no_configuration_and_no_telegram(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BARE],
        cwd=str(tmp_path),
        env={"LANG": "C.UTF-8", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert _stopped(2)[1] in done.stderr
