"""The thread that writes the log: what happens to lines when nobody takes them."""

from __future__ import annotations

import ctypes
import errno
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from loguru import logger

from dozor.alerting.delivery import console
from dozor.alerting.delivery.console import ConsoleTransport
from dozor.alerting.delivery.transport import Delivered, Unavailable
from dozor.alerting.model.message import Message, Span
from dozor.log_writer import Counter, DescriptorSink, LogWriter, QueuedStream
from dozor.logs import LogFormat, configure
from dozor.redaction import Redactor
from tests.waiting import until


class Gate:
    """A sink that takes nothing while it is shut."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.error: OSError | None = None
        self.written = b""

    def write(self, data: bytes) -> None:
        self.open.wait(30)
        if self.error is not None:
            raise self.error
        self.written += data


def note(count: int) -> str:
    return f"dropped {count}\n"


def writer_to(gate: Gate, most_lines: int = 5, most_bytes: int = 1_000) -> tuple[LogWriter, Counter]:
    dropped = Counter()
    writer = LogWriter(gate, note=note, most_lines=most_lines, most_bytes=most_bytes, dropped=dropped)
    return writer, dropped


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


async def test_lines_that_nobody_reads_are_dropped_counted_and_said(gate: Gate) -> None:
    writer, dropped = writer_to(gate)
    writer.put(b"first\n")
    await until(lambda: writer.put(b"next\n") and not writer.flush(0.0))
    began = time.monotonic()
    for number in range(100):
        writer.put(b"line %d\n" % number)
    assert time.monotonic() - began < 1.0
    assert dropped.total >= 90
    gate.open.set()
    assert writer.flush(5)
    await until(lambda: b"dropped" in gate.written)
    assert gate.written.startswith(b"first\nnext\n")


def test_the_queue_is_bounded_in_bytes_too(gate: Gate) -> None:
    writer, dropped = writer_to(gate, most_lines=1_000, most_bytes=1_000)
    for _ in range(10):
        writer.put(b"x" * 400)
    # Two lines fit into the queue, and the thread may have taken two others before the gate stopped it.
    assert dropped.total >= 6


def test_flush_waits_no_longer_than_it_is_told(gate: Gate) -> None:
    writer, _ = writer_to(gate)
    writer.put(b"line\n")
    began = time.monotonic()
    assert not writer.flush(0.1)
    assert time.monotonic() - began < 2.0


class Pieces:
    """A sink that keeps what it takes at once as a piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)


def test_lines_that_come_one_after_another_are_written_together() -> None:
    sink, lines = Pieces(), [b"line %d\n" % number for number in range(400)]
    writer = LogWriter(sink, note=note)
    for line in lines:
        writer.put(line)
        os.sched_yield()  # gives the interpreter to whoever wants it
    assert writer.flush(30)
    assert b"".join(sink.pieces) == b"".join(lines)
    assert len(sink.pieces) < len(lines) / 4


async def test_a_line_is_written_without_another_one_after_it() -> None:
    sink = Pieces()
    writer = LogWriter(sink, note=note)
    for number in range(3):
        writer.put(b"line\n")
        await until(lambda count=number + 1: len(sink.pieces) == count)  # type: ignore[misc]


async def test_whoever_flushes_does_not_wait_until_lines_are_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dozor.log_writer.GATHER_SECONDS", 300.0)
    sink = Pieces()
    writer = LogWriter(sink, note=note)
    writer.put(b"line\n")
    assert writer.flush(30)
    writer.put(b"next\n")
    ticket = writer.send(b"urgent\n")
    await until(lambda: ticket.settled)
    assert writer.flush(30)
    assert b"".join(sink.pieces) in (b"line\nurgent\nnext\n", b"line\nnext\nurgent\n")


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO])
async def test_a_stream_that_cannot_be_written_stops_nobody(gate: Gate, number: int) -> None:
    writer, dropped = writer_to(gate)
    gate.error = OSError(number, os.strerror(number))
    gate.open.set()
    writer.put(b"lost\n")
    await until(lambda: dropped.total == 1)
    gate.error = None
    writer.put(b"kept\n")
    assert writer.flush(5)
    assert gate.written == b"kept\n"


async def test_what_is_urgent_goes_before_the_lines_that_wait(gate: Gate) -> None:
    writer, _ = writer_to(gate)
    writer.put(b"under way\n")
    await until(lambda: not writer.flush(0.0) and writer.put(b"a line\n"))
    ticket = writer.send(b"alert\n")
    gate.open.set()
    assert writer.flush(5)
    assert ticket.settled
    assert gate.written.index(b"alert") < gate.written.index(b"a line")


def test_a_pipe_that_its_owner_has_made_non_blocking_gets_everything() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    writer = LogWriter(DescriptorSink(writing), note=note)
    whole = b"".join(b"line %d %s\n" % (number, b"x" * 100) for number in range(3_000))
    for line in whole.splitlines(keepends=True):
        assert writer.put(line)
    got = b""
    while len(got) < len(whole):
        got += os.read(reading, 65_536)
    assert got == whole
    os.close(reading)
    os.close(writing)


def test_what_is_printed_goes_through_the_writer(gate: Gate) -> None:
    gate.open.set()
    writer, _ = writer_to(gate)
    stream = QueuedStream(writer, sys.__stderr__ or sys.stderr)
    print("printed ёж", file=stream)
    stream.buffer.write(b"bytes\n")
    stream.flush()
    assert writer.flush(5)
    assert gate.written.decode() == "printed ёж\nbytes\n"


class Locked(io.StringIO):
    """As `sys.stderr` of an application whose reader has stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()

    def write(self, text: str) -> int:
        self.open.wait(30)
        return super().write(text)


async def test_a_console_that_nobody_reads_is_unavailable_and_gets_the_message_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "SECONDS", 0.05)
    stream = Locked()
    transport = ConsoleTransport(stream)
    first, second = Message(spans=(Span("one"),)), Message(spans=(Span("two"),))
    assert isinstance(await transport.send(first), Unavailable)
    assert isinstance(await transport.send(second), Unavailable)
    stream.open.set()
    monkeypatch.setattr(console, "SECONDS", 5.0)
    assert isinstance(await transport.send(second), Delivered)
    assert stream.getvalue().count("two") == 1


@pytest.fixture
def quiet_afterwards() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logger.remove()
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], logging.root.level = handlers, level


@pytest.mark.usefixtures("quiet_afterwards")
def test_handlers_that_a_library_removes_come_back() -> None:
    stream = io.StringIO()
    guard = configure(Redactor(), stream=stream, form=LogFormat.JSON)
    assert not guard.mend()
    logger.remove()
    logger.info("lost")
    assert guard.mend()
    logger.info("found")
    logging.basicConfig(handlers=[], force=True)
    assert guard.mend()
    logging.getLogger("library").warning("heard")
    assert not guard.mend()
    assert ["lost" in stream.getvalue(), "found" in stream.getvalue(), "heard" in stream.getvalue()] == [
        False,
        True,
        True,
    ]


async def test_a_thread_that_a_checker_has_ended_is_started_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    gate.open.set()
    writer, _ = writer_to(gate)
    writer.put(b"first\n")
    assert writer.flush(5)
    thread = writer._thread
    assert thread is not None
    assert thread.ident is not None
    exits = ctypes.py_object(KeyboardInterrupt)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), exits)
    await until(lambda: writer.put(b"next\n") and not thread.is_alive())
    writer.put(b"last\n")
    assert writer.flush(5)
    assert gate.written.endswith(b"last\n")
