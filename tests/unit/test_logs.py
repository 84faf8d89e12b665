"""The log's two forms, redaction, and tracebacks that repeat themselves."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger
from loguru._better_exceptions import ExceptionFormatter

from dozor import logs
from dozor.logs import LogFormat, configure
from dozor.redaction import Redactor

SECRET = "hunter2-of-the-tests"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logger.remove()
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level


def to_json(**more: Any) -> io.StringIO:
    stream = io.StringIO()
    configure(Redactor([SECRET]), stream=stream, form=LogFormat.JSON, **more)
    return stream


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(text: str = "no") -> None:
    try:
        raise ValueError(text)
    except ValueError as error:
        logger.bind(task="presales").opt(exception=error).error("it failed: {}", text)


def test_a_line_of_json_names_task_run_attempt_and_incident() -> None:
    stream = to_json(details=lambda task: {"run_id": "17-41", "incident": 5} if task == "presales" else {})
    logger.bind(task="presales", attempt=3).info("hello {}", "{braces}")
    logger.info("of the runner")
    [first, second] = entries(stream)
    assert first | {"at": "", "module": ""} == {
        "at": "", "level": "INFO", "message": "hello {braces}", "task": "presales", "run_id": "17-41",
        "attempt": 3, "incident": 5, "module": "",
    }  # fmt: skip
    assert not {"task", "run_id", "attempt", "incident"} & set(second)


def test_not_a_terminal_means_json_and_a_terminal_means_colour() -> None:
    file, terminal = io.StringIO(), Terminal()
    configure(Redactor(), stream=file, form=LogFormat.AUTO)
    logger.info("one")
    configure(Redactor(), stream=terminal, form=LogFormat.AUTO)
    logger.bind(task="presales", run_id="1-2").info("two")
    assert json.loads(file.getvalue())["message"] == "one"
    assert "\x1b[" in terminal.getvalue()
    assert "[presales 1-2] " in terminal.getvalue()


def test_a_human_line_ends_with_the_message_to_the_letter() -> None:
    stream = io.StringIO()
    configure(Redactor(), stream=stream, form=LogFormat.HUMAN)
    logger.bind(task="X", run_id="1-7", attempt=2).error(
        "Ошибка в фоновой задаче X (попытка 2/5): <b>{}</b>", 1
    )
    line = stream.getvalue()
    assert line.endswith("ERROR    [X 1-7 #2] Ошибка в фоновой задаче X (попытка 2/5): <b>1</b>\n")
    assert "\x1b[" not in line


@pytest.mark.parametrize("form", [LogFormat.HUMAN, LogFormat.JSON])
def test_a_repeating_traceback_is_shown_ten_times_and_counted_from_there(form: LogFormat) -> None:
    stream = io.StringIO()
    configure(Redactor(), stream=stream, form=form)
    for _ in range(12):
        fail()
    text = stream.getvalue()
    assert text.count("Traceback") == 10
    assert text.count("it failed: no") == 12
    if form is LogFormat.JSON:
        assert [entry.get("repeated") for entry in entries(stream)] == [*[None] * 10, 11, 12]
    else:
        assert "(the same traceback, 12 times by now)" in text


def test_another_place_in_the_code_is_another_traceback() -> None:
    stream = to_json()
    fail()
    try:
        raise ValueError("no")
    except ValueError as error:
        logger.bind(task="presales").opt(exception=error).error("elsewhere")
    assert ["traceback" in entry for entry in entries(stream)] == [True, True]


def test_after_a_while_it_is_shown_in_full_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "IN_FULL_AT_FIRST", 1)
    monkeypatch.setattr(logs, "IN_FULL_EVERY", 0.0)
    stream = to_json()
    fail()
    fail()
    assert ["traceback" in entry for entry in entries(stream)] == [True, True]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "IN_FULL_AT_FIRST", 1)
    monkeypatch.setattr(logs, "REMEMBERED", 1)
    stream = to_json()
    fail()
    try:
        raise KeyError
    except KeyError as error:
        logger.opt(exception=error).error("another")
    fail()
    assert ["traceback" in entry for entry in entries(stream)] == [True, True, True]


@pytest.mark.parametrize("form", [LogFormat.HUMAN, LogFormat.JSON])
def test_no_secret_in_message_traceback_or_bound_value(form: LogFormat) -> None:
    stream = io.StringIO()
    configure(Redactor([SECRET]), stream=stream, form=form)
    fail(f'password="{SECRET}" and {SECRET}')
    logger.bind(note=SECRET).warning("say {}", SECRET)
    logging.getLogger("library").error("dsn postgresql://u:%s@h/d", SECRET)
    assert SECRET not in stream.getvalue()
    assert "***" in stream.getvalue()
    if form is LogFormat.JSON:
        assert len(entries(stream)) == 3, "every line is still JSON"


def test_the_standard_library_s_logging_and_warnings_arrive_too() -> None:
    stream = to_json()
    logging.getLogger("library").warning("from %s", "elsewhere")
    assert entries(stream)[0]["message"] == "from elsewhere"


def test_a_stream_that_cannot_show_a_letter_does_not_lose_the_line() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    configure(Redactor(), stream=stream, form=LogFormat.HUMAN)
    logger.info("задача \ud800")
    stream.flush()
    assert b"\\u0437" in raw.getvalue()


def test_variables_values_are_never_shown() -> None:
    stream = to_json()
    variable = "".join(reversed("elbairav-a-fo-eulav"))
    try:
        int(variable and "x")
    except ValueError as error:
        logger.opt(exception=error).error("it failed")
    assert variable not in stream.getvalue()


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.HUMAN])
def test_another_sink_gets_the_exception_as_well(form: LogFormat) -> None:
    stream, other = io.StringIO(), io.StringIO()
    configure(Redactor(), stream=stream, form=form)
    seen = []
    logger.add(lambda message: seen.append(message.record), format="{message}")
    logger.add(other, format="{message}")
    fail("for both")
    assert "ValueError: for both" in stream.getvalue()
    assert "ValueError: for both" in other.getvalue()
    assert seen[0]["exception"].type is ValueError
    assert logs._ASIDE not in seen[0]["extra"]


def test_the_traceback_of_a_line_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """loguru would compose one of its own for `{exception}`, which no form has."""
    stream = to_json()
    composed: list[object] = []

    def counted(self: object, *given: object, **named: object) -> list[str]:
        composed.append(given)
        return []

    monkeypatch.setattr(ExceptionFormatter, "format_exception", counted)
    fail("once")
    [line] = entries(stream)
    assert line["traceback"].endswith("ValueError: once\n")
    assert composed == []
