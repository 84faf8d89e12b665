"""Messages between the runner and a checker's process: a length, then JSON, over a socket pair."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from typing import Any

from dozor.process import forking
from dozor.supervision.runs.failures.remote_failure import LOST_CONNECTION
from dozor.supervision.runs.reports import OF_ANOTHER_PROCESS

Frame = dict[str, Any]
"""`type` is its kind; see `dozor.supervision.execution.process.worker` for the kinds."""

LARGEST = 8 * 1024 * 1024
"""Bytes of one frame; what is longer is a defect, or somebody else writing to our socket. A task's `args` are
limited to less, see `dozor.config.checks.LARGEST_ARGUMENTS`."""

_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """The other side sends what is no frame."""


def pack(frame: Frame) -> bytes:
    """The bytes of `frame`. Lone surrogates survive: JSON escapes them."""
    body = json.dumps(frame).encode()
    if len(body) > LARGEST:
        raise FrameError(f"a frame of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Bytes in, in any portions; whole frames out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes. Raises FrameError for bytes that are none."""
        self._rest += data
        frames: list[Frame] = []
        while len(self._rest) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._rest)
            if size > LARGEST:
                raise FrameError(f"a frame of {size} bytes is announced")
            end = _LENGTH.size + size
            if len(self._rest) < end:
                break
            frames.append(_decode(bytes(self._rest[_LENGTH.size : end])))
            del self._rest[:end]
        return frames


class Channel:
    """The worker's end: blocking, usable from any thread."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._unpacker = Unpacker()
        self._ready: list[Frame] = []
        self._sending = threading.Lock()
        self._forks = forking.generation
        self._identity = os.fstat(end.fileno()).st_ino
        forking.own(self, _descriptors)

    def send(self, frame: Frame) -> None:
        """Waits while the runner is slow to read; what it no longer reads is dropped.

        Raises RuntimeError in a forked child, whose frames would mix with those of its parent. A checker that
        has closed the socket (`os.closerange`) ends this process: nothing could be reported any more.
        """
        if forking.generation != self._forks:
            raise RuntimeError(OF_ANOTHER_PROCESS)
        data = pack(frame)
        with self._sending:
            self._end_if_closed()
            try:
                self._socket.sendall(data)
            except OSError:
                return  # the runner is gone: the reading thread ends this process

    def _end_if_closed(self) -> None:
        try:
            intact = os.fstat(self._socket.fileno()).st_ino == self._identity
        except OSError:
            intact = False
        if not intact:
            os._exit(LOST_CONNECTION)

    def receive(self) -> Frame | None:
        """The next frame; None when the runner has closed its end, or is gone."""
        while not self._ready:
            try:
                data = self._socket.recv(65536)
            except OSError:
                self._end_if_closed()
                return None
            if not data:
                return None
            self._ready = self._unpacker.feed(data)
        return self._ready.pop(0)


def _descriptors(channel: Channel) -> tuple[int, ...]:
    return (channel._socket.fileno(),)


def _decode(body: bytes) -> Frame:
    try:
        frame = json.loads(body)
    except ValueError as error:
        raise FrameError(f"not JSON: {error}") from None
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise FrameError("JSON, but no frame")
    return frame
