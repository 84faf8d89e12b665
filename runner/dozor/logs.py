"""Logging: loguru with one sink, behind the redaction of secrets.

On a terminal lines are for people, elsewhere each is a JSON object. A traceback that repeats itself is shown
in full ten times, then once in a while, and counted in between.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, TextIO, cast

from loguru import logger

from dozor.language import msg
from dozor.log_writer import CONSOLE, DescriptorSink, LogWriter, PrintedLines, QueuedStream
from dozor.redaction import Redactor
from dozor.task_lines import TASK_LINES, DirectHandler, Entry
from dozor.tracebacks import formatted

if TYPE_CHECKING:
    from loguru import Message, Record, RecordException


class LogFormat(StrEnum):
    """`auto`: human on a terminal, JSON elsewhere."""

    AUTO = "auto"
    HUMAN = "human"
    JSON = "json"


HUMAN = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <8} {extra[_place]}{message}{extra[_note]}\n"
_LEVEL_COLOURS = {
    "INFO": "bold",
    "WARNING": "black><YELLOW",
    "ERROR": "red><bold",
    "CRITICAL": "RED><bold",
}
"""Of the word of the level alone: yellow text cannot be read on white, nor dark blue text on black."""
IN_FULL_EVERY = 600.0
"""Seconds within which the same traceback, shown often enough, is not shown in full again."""
IN_FULL_AT_FIRST = 10
"""How often it is: every failure of a streak up to its critical stop has its traceback."""
REMEMBERED = 1_000
"""Different tracebacks counted at once."""
_PLACE = ("task", "run_id", "attempt", "incident")

Details = Callable[[str], Mapping[str, object]]
"""A task's name -> what else is known of its present run: `run_id`, `attempt`, `incident`."""


@dataclass(slots=True)
class _Seen:
    at: float
    times: int = 1


_encode = json.JSONEncoder(ensure_ascii=False).encode
_ASIDE = "_exception"
_OWN = frozenset(("at", "level"))
"""Keys of a JSON line whose values are never of other people."""


class Repeats:
    """Which tracebacks have been shown of late."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: dict[tuple[object, ...], _Seen] = {}

    def count(self, record: Record) -> int:
        """0: show it in full; else how many times the same has come since it was shown."""
        exception = record["exception"]
        if exception is None:
            return 0
        # Not `extract_tb`, which reads the files: this is asked for each failure.
        frames = traceback.walk_tb(exception.traceback)
        places = tuple((frame.f_code.co_filename, line) for frame, line in frames)
        key = (record["extra"].get("task"), exception.type, places)
        now, seen = self._now(), self._seen.get(key)
        if seen is not None and now - seen.at < IN_FULL_EVERY:
            seen.times += 1
            return seen.times if seen.times > IN_FULL_AT_FIRST else 0
        if len(self._seen) >= REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        self._seen.pop(key, None)
        self._seen[key] = _Seen(now)
        return 0


class LogGuard:
    """The handlers that `configure` has installed. A library may remove them, with `logger.remove()` or
    `logging.basicConfig(force=True)`."""

    def __init__(self, install: Callable[[], int], intercept: logging.Handler) -> None:
        self._install = install
        self._intercept = intercept
        self.handler = install()
        """Its number in loguru."""

    def mend(self) -> bool:
        """Install again what is gone; whether anything was."""
        core = getattr(logger, "_core", None)
        handlers = getattr(core, "handlers", None)
        gone = handlers is not None and self.handler not in handlers
        if gone:
            self.handler = self._install()
        if self._intercept not in logging.root.handlers:
            logging.root.addHandler(self._intercept)
            gone = True
        return gone


def configure(
    redactor: Redactor,
    *,
    level: str = "INFO",
    stream: TextIO | None = None,
    form: LogFormat = LogFormat.HUMAN,
    details: Details = lambda task: {},
    writer: LogWriter | None = None,
) -> LogGuard:
    """Send everything, the standard library's logging too, through `redactor` to `stream` (standard error).

    Tracebacks never show the values of variables. With a `writer`, which writes to `stream`, no line waits
    for the stream.
    """
    target = stream or sys.stderr
    human = is_human(form, target)
    repeats = Repeats()

    def human_form(record: Record) -> str:
        extra = record["extra"]
        known = _place(record, details)
        extra["_place"] = f"[{' '.join(_shown(known))}] " if known else ""
        times = repeats.count(record)
        extra["_note"] = f"\n  {msg('log-traceback-again', times=times)}" if times else ""
        form, exception = _coloured(record["level"].name), record["exception"]
        _set_aside(record)
        if times or exception is None:
            return form
        # Not `{exception}`: its colours cannot be read on white.
        extra["_traceback"] = _traceback(exception)
        return form + "{extra[_traceback]}\n"

    def json_line(record: Record) -> str:
        entry = _entry(record, _place(record, details), repeats.count(record))
        return _redacted(entry, redactor.redact)

    def json_form(record: Record) -> str:
        line = json_line(record)
        _set_aside(record)
        record["extra"]["_json"] = line
        return "{extra[_json]}\n"

    def write_directly(entry: Entry) -> None:
        assert writer is not None
        line = json_line(cast("Record", entry))
        writer.put(f"{line}\n".encode(target.encoding or "utf-8", "backslashreplace"))

    def install() -> int:
        return logger.add(
            _writer(redactor.redact if human else str, target, writer),
            level=level,
            format=human_form if human else json_form,
            colorize=human and target.isatty(),
            diagnose=False,
            backtrace=False,
            catch=True,
        )

    logger.remove()
    intercept = _Intercept()
    guard = LogGuard(install, intercept)
    direct = writer is not None and not human
    TASK_LINES.direct = DirectHandler(lambda: guard.handler, write_directly) if direct else None
    logging.basicConfig(handlers=[intercept], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    # It logs every failed attempt to connect; Dozor logs once that the database is away.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)
    return guard


def _coloured(level: str) -> str:
    """HUMAN with the markup of loguru."""
    colour = _LEVEL_COLOURS.get(level)
    if colour is None:
        return HUMAN
    ends = "".join(f"</{one}>" for one in reversed(colour.split("><")))
    return HUMAN.replace("{level: <8}", f"<{colour}>{{level}}{ends}{' ' * max(0, 8 - len(level))}")


def is_human(form: LogFormat, stream: TextIO) -> bool:
    """Whether lines on `stream` are for people."""
    return form is LogFormat.HUMAN or (form is LogFormat.AUTO and stream.isatty())


def dropped_note(form: LogFormat, stream: TextIO) -> Callable[[int], str]:
    """The line with the number of lines that were dropped, in the form of the log on `stream`."""

    def note(count: int) -> str:
        text = msg("log-lines-dropped", count=count)
        if not is_human(form, stream):
            return warning_record(text)
        at = datetime.now().astimezone()
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} WARNING  {text}\n"

    return note


def warning_record(text: str) -> str:
    """A line of a JSON log that does not come through loguru."""
    entry = {
        "at": datetime.now().astimezone().isoformat(timespec="milliseconds"),
        "level": "WARNING",
        "message": text,
        "module": __name__,
    }
    return json.dumps(entry, ensure_ascii=False) + "\n"


def queue_standard_streams(form: LogFormat, descriptors: tuple[int, int] = (2, 1)) -> LogWriter:
    """Put threads between this process and its standard streams; the writer of standard error.

    From here on `print` of a checker waits for nobody either. With a JSON log each printed line is a record
    of its own. `descriptors`: of the error and output that lines are written to in the end.
    """
    error, output = sys.stderr, sys.stdout
    CONSOLE.json = not is_human(form, error)
    note = dropped_note(form, error)
    writer = LogWriter(DescriptorSink(descriptors[0]), note=note)
    same = os.path.samestat(os.fstat(descriptors[0]), os.fstat(descriptors[1]))
    other = writer if same else LogWriter(DescriptorSink(descriptors[1]), note=note, name="dozor output")
    if CONSOLE.json:
        sys.stderr = PrintedLines(writer, error, printed_record("stderr"))
        sys.stdout = PrintedLines(other, output, printed_record("stdout"))
    else:
        sys.stderr = QueuedStream(writer, error)
        sys.stdout = QueuedStream(other, output)
    return writer


def printed_record(stream: str, details: Details = lambda task: {}) -> Callable[[str, str | None], str]:
    """The record of a line that was printed to `stream`, in JSON.

    On standard error a line that is not of a run is a warning: it may be the reason why the runner ends.
    """

    def record(line: str, task: str | None) -> str:
        entry: dict[str, object] = {
            "at": datetime.now().astimezone().isoformat(timespec="milliseconds"),
            "level": "WARNING" if task is None and stream == "stderr" else "INFO",
            "message": line,
        }
        if task is not None:
            known = {"task": task, **details(task)}
            entry |= {key: known[key] for key in _PLACE if known.get(key) is not None}
        return json.dumps({**entry, "stream": stream}, ensure_ascii=False, default=str)

    return record


def _place(record: Record, details: Details) -> dict[str, object]:
    """Which task, run, attempt and incident a line is about; empty for the runner's own."""
    extra = record["extra"]
    task = extra.get("task")
    known = details(task) if isinstance(task, str) else {}
    place: dict[str, object] = {}
    for key in _PLACE:
        value = extra[key] if key in extra else known.get(key)
        if value is not None:
            place[key] = value
    return place


def _shown(known: Mapping[str, object]) -> list[str]:
    marks = {"task": "", "run_id": "", "attempt": "#", "incident": "!"}
    return [f"{marks[key]}{value}" for key, value in known.items()]


def _entry(record: Record, place: Mapping[str, object], repeated: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "at": record["time"].isoformat(timespec="milliseconds"),  # of loguru, in the local time zone
        "level": record["level"].name,
        "message": record["message"],
        **place,
        "module": record["name"],
    }
    for key, value in record["extra"].items():
        if key not in entry and not key.startswith("_"):
            entry[key] = value
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        entry["error_type"] = exception.type.__name__
        if repeated:
            entry["repeated"] = repeated
        else:
            entry["traceback"] = _traceback(exception)
    return entry


def _traceback(exception: RecordException) -> str:
    kind, value, trace = exception
    if value is not None and value.__traceback__ is trace:
        return formatted(value)
    return "".join(traceback.format_exception(kind, value, trace))


def _set_aside(record: Record) -> None:
    """Take the exception from the record until `_put_back`: loguru would format it once more, for nothing."""
    if record["exception"] is not None:
        record["extra"][_ASIDE] = record["exception"]
        record["exception"] = None


def _put_back(record: Record) -> None:
    """For the other sinks of the process."""
    if record["exception"] is None:
        record["exception"] = record["extra"].pop(_ASIDE, None)


def _redacted(entry: Mapping[str, Any], redact: Callable[[str], str]) -> str:
    """The JSON of `entry`, redacted value by value: a mask in the finished line might take a quote along."""
    parts = []
    for key, value in entry.items():
        if type(value) is int:
            text = str(value)
        elif isinstance(value, int | float):
            text = _encode(value)
        else:
            text = encode_basestring(value if key in _OWN else redact(str(value)))
        parts.append(f"{encode_basestring(key)}: {text}")
    return f"{{{', '.join(parts)}}}"


def _writer(
    redact: Callable[[str], str], stream: TextIO, writer: LogWriter | None
) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        _put_back(message.record)
        encoding = stream.encoding or "utf-8"
        if writer is not None:
            writer.put(redact(str(message)).encode(encoding, "backslashreplace"))
            return
        stream.write(redact(str(message)).encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()

    return write


class _Intercept(logging.Handler):
    """The standard library's logging into loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        logger.opt(exception=record.exc_info, depth=6).log(level, "{}", record.getMessage())
