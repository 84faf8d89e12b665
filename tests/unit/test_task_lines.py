"""Lines about tasks are the same with and without loguru between them and Dozor's JSON handler."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from dozor import task_lines
from dozor.log_writer import LogWriter, StreamSink
from dozor.logs import LogFormat, LogGuard, configure
from dozor.redaction import Redactor
from dozor.task_lines import TASK_LINES, DirectHandler

SECRET = "hunter2-of-the-tests"


class Log:
    """The JSON log of a runner, and how many of its lines came through loguru."""

    def __init__(self, level: str = "INFO", form: LogFormat = LogFormat.JSON) -> None:
        self.stream = io.StringIO()
        self.writer = LogWriter(StreamSink(self.stream), note=str)
        self.guard: LogGuard = configure(
            Redactor([SECRET]),
            level=level,
            stream=self.stream,
            form=form,
            details=lambda task: {"run_id": "17-41", "attempt": 3, "incident": 5},
            writer=self.writer,
        )

    def lines(self) -> list[str]:
        assert self.writer.flush(5)
        return self.stream.getvalue().splitlines()

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    TASK_LINES.direct = None
    logger.remove()
    logger.configure(patcher=lambda record: None, extra={})
    logger._core.patcher = None  # type: ignore[attr-defined]
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level


class Counted:
    """loguru's logger as `dozor.task_lines` sees it."""

    def __init__(self) -> None:
        self._lines = 0

    def __getattr__(self, name: str) -> Any:
        self._lines += name == "opt"
        return getattr(logger, name)

    def lines(self) -> int:
        """How many it was given."""
        return self._lines


@pytest.fixture
def through_loguru(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    monkeypatch.setattr(task_lines, "logger", counted)
    return counted


def failure(text: str = "the provider\ndoes not {answer}") -> BaseException:
    try:
        raise ConnectionError(text)
    except ConnectionError as error:
        return error


def write_all() -> None:
    TASK_LINES.write("INFO", "presales", "Starting background task: presales")
    TASK_LINES.write("ERROR", "presales", "Ошибка (попытка 3): {braces} <red>", failure())
    TASK_LINES.write("CRITICAL", "presales", f"stopped, with {SECRET}", failure(f"password of {SECRET}"))
    TASK_LINES.write("INFO", "surrogate \ud800", "half a character \udc00 and a NUL \0")


def without_time(entries: list[dict[str, Any]]) -> list[list[tuple[str, Any]]]:
    """With the order of the keys."""
    assert all(len(entry["at"]) == len("2026-11-28T18:00:00.123+00:00") for entry in entries)
    return [[item for item in entry.items() if item[0] != "at"] for entry in entries]


def test_a_line_is_the_same_without_loguru(through_loguru: Counted) -> None:
    direct = Log()
    write_all()
    assert not through_loguru.lines()
    usual = Log()
    TASK_LINES.direct = None
    write_all()
    assert through_loguru.lines() == 4
    assert without_time(direct.entries()) == without_time(usual.entries())
    assert len(direct.entries()) == 4
    assert SECRET not in "".join(direct.lines())
    assert "ConnectionError: the provider" in direct.entries()[1]["traceback"]


def test_a_sink_that_somebody_else_has_added_gets_the_line() -> None:
    log = Log()
    theirs: list[str] = []
    number = logger.add(lambda message: theirs.append(message.record["message"]), format="{message}")
    TASK_LINES.write("INFO", "presales", "first")
    logger.remove(number)
    TASK_LINES.write("INFO", "presales", "second")
    assert theirs == ["first"]
    assert [entry["message"] for entry in log.entries()] == ["first", "second"]


def test_a_patcher_and_extra_values_apply_to_the_line() -> None:
    log = Log()
    logger.configure(extra={"region": "eu"})
    TASK_LINES.write("INFO", "presales", "first")
    logger.configure(patcher=lambda record: record["extra"].update(shop="north"), extra={})
    TASK_LINES.write("INFO", "presales", "second")
    first, second = log.entries()
    assert first["region"] == "eu"
    assert second["shop"] == "north"


def test_below_the_level_nothing_is_written(through_loguru: Counted) -> None:
    log = Log("ERROR")
    TASK_LINES.write("INFO", "presales", "first")
    TASK_LINES.write("ERROR", "presales", "second")
    assert [entry["message"] for entry in log.entries()] == ["second"]
    assert not through_loguru.lines()


def test_after_somebody_has_removed_the_handler_nothing_is_written_until_it_is_mended() -> None:
    log = Log()
    logger.remove()
    TASK_LINES.write("INFO", "presales", "lost")
    assert log.guard.mend()
    TASK_LINES.write("INFO", "presales", "found")
    assert [entry["message"] for entry in log.entries()] == ["found"]


def test_an_error_on_the_way_is_left_to_loguru(through_loguru: Counted) -> None:
    log = Log()

    def fails(entry: task_lines.Entry) -> None:
        raise OSError("no")

    TASK_LINES.direct = DirectHandler(lambda: log.guard.handler, fails)
    TASK_LINES.write("INFO", "presales", "first")
    assert through_loguru.lines() == 1
    assert [entry["message"] for entry in log.entries()] == ["first"]


def test_a_log_for_people_comes_through_loguru(through_loguru: Counted) -> None:
    log = Log(form=LogFormat.HUMAN)
    TASK_LINES.write("INFO", "presales", "first")
    assert through_loguru.lines() == 1
    assert log.lines()[0].endswith("[presales 17-41 #3 !5] first")
