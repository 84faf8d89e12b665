"""One process of a checker, seen from the runner: started, messaged, read and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from loguru import logger

from dozor.language import msg
from dozor.process import keeper
from dozor.process.child_deadlines import ChildDeadline, ChildDeadlines
from dozor.process.forking import disown, own
from dozor.supervision.execution.process.ipc import Frame, FrameError, Unpacker, pack
from dozor.supervision.execution.process.output import OutputReader

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_ROOT = str(Path(__file__).parents[4])  # the folder that holds `dozor`
_WORKER = "dozor.supervision.execution.process.worker:main"
DRAIN_SECONDS = 0.3
"""How long to go on reading what a dead process has left (a process that escaped may hold the pipe open)."""
KEEPER_SECONDS = 3.0
"""How long the keeper has to kill everything before it is killed itself."""
LOST_SECONDS = 1.0
"""How long a process may live on after it has closed its connection."""
FRAMES_A_TURN = 200
"""Frames handled before the loop gets its turn."""


class ProcessHandle:
    """`on_frame` is called with every frame; `gone` is set to the return code when the process has ended.

    When `gone` is set, everything the process has started has been killed (see `dozor.process.keeper`).
    """

    def __init__(
        self,
        process: Process,
        ours: socket.socket,
        output: int,
        task: str,
        on_frame: Callable[[Frame], None],
        on_dropped: Callable[[int], None],
        deadline: ChildDeadline | None,
    ) -> None:
        self._process = process
        self._deadline = deadline
        self._pid = process.pid
        self._task = task
        self._on_frame = on_frame
        self._socket = ours
        self._output = OutputReader(output, self._say, on_dropped)
        own(self, _descriptors)
        self.gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.killed = False
        """By us."""
        self.lost = False
        """It closed its connection and lived on, so we killed it."""
        self.runs = 0
        self.number = 0
        """Of the run it is at."""
        self._closing = False
        self._last_resort: asyncio.TimerHandle | None = None
        self._reading = asyncio.create_task(self._read())
        self._watching = asyncio.create_task(self._watch())

    @classmethod
    async def start(
        cls,
        task: str,
        hello: Frame,
        on_frame: Callable[[Frame], None],
        on_dropped: Callable[[int], None],
        env: Mapping[str, str],
        deadlines: ChildDeadlines | None = None,
    ) -> ProcessHandle:
        """Raises OSError if no process can be started, FrameError if `hello` is too large to be sent.

        Secrets go over the socket, never as arguments. `on_dropped`: how many lines were not logged.
        `deadlines`: at which the process ends, of a member of a cluster.
        """
        pack(hello)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(True)  # not so by itself after `socket.setdefaulttimeout`
        # A pipe of our own: asyncio's Process.wait() would not end before all who hold its pipes have closed
        # them, and what the checker has started may hold them.
        reading, writing = os.pipe()
        deadline = None
        try:
            deadline = deadlines.open() if deadlines is not None and keeper.AVAILABLE else None
            until = keeper.NO_DEADLINES if deadline is None else deadline.reading
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-c", keeper.BOOT, _ROOT, _WORKER),
                *(str(os.getpid()), str(until), str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(), *(() if deadline is None else (until,))),
                start_new_session=True,
                env=dict(env),
            )
        except BaseException:
            ours.close()
            os.close(reading)
            if deadline is not None:
                deadline.close()
            raise
        finally:
            theirs.close()
            os.close(writing)
            if deadline is not None:
                deadline.started()
        child = cls(process, ours, reading, task, on_frame, on_dropped, deadline)
        await child.send(hello)
        return child

    @property
    def pid(self) -> int:
        """Of the process that runs the checker; of its keeper until that process has reported its own."""
        return self._pid

    @property
    def output(self) -> Sequence[str]:
        """The last lines it wrote to standard output and error."""
        return self._output.lines

    def memory(self) -> int:
        """Bytes resident; 0 if it has ended."""
        try:
            resident: int = psutil.Process(self.pid).memory_info().rss
        except (psutil.Error, OSError):
            return 0
        return resident

    async def send(self, frame: Frame) -> None:
        """Send it, if the process still reads."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, pack(frame))
        except OSError:
            return  # it has ended or is ending: see `gone`

    def kill(self) -> None:
        """At once, with everything it has started."""
        self.killed = True
        if self.gone.done() or self._last_resort is not None:
            return
        if keeper.AVAILABLE:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)
            loop = asyncio.get_running_loop()
            self._last_resort = loop.call_later(KEEPER_SECONDS, self._kill_groups)
        else:
            self._kill_groups()

    def _kill_groups(self) -> None:
        """The process, what it has started in its group, and its keeper."""
        if self.gone.done():
            return
        for pid in {self._pid, self._process.pid}:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    async def close(self, patience: float) -> None:
        """Let it go: it ends by itself when nobody is at the other end, or is killed after `patience` s."""
        self._closing = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        await asyncio.wait({self.gone}, timeout=patience)
        self.kill()
        await asyncio.wait({self._watching}, timeout=2 * KEEPER_SECONDS)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        unpacker = Unpacker()
        turn = 0
        try:
            while data := await loop.sock_recv(self._socket, 65_536):
                for frame in unpacker.feed(data):
                    self._hear(frame)
                    turn += 1
                    if turn % FRAMES_A_TURN == 0:
                        await asyncio.sleep(0)
        except OSError:
            return
        except (FrameError, KeyError, TypeError, ValueError) as error:
            logger.bind(task=self._task).error(msg("log-child-nonsense", task=self._task, error=error))
            self.kill()

    def _hear(self, frame: Frame) -> None:
        if frame["type"] == "born":
            self._pid = int(frame["pid"])
        else:
            self._on_frame(frame)

    async def _watch(self) -> None:
        """Wait for its end by its pid, read its last output, and only then set `gone`."""
        ending = asyncio.create_task(self._process.wait())
        await asyncio.wait({ending, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done() and not self._closing:
            await asyncio.wait({ending}, timeout=LOST_SECONDS)
            if not (ending.done() or self._let_go()):
                self.lost = True
                logger.bind(task=self._task).error(msg("log-child-lost", task=self._task))
                self.kill()
        code = await ending
        await asyncio.wait({self._output.ended, self._reading}, timeout=DRAIN_SECONDS)
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        if self._last_resort is not None:
            self._last_resort.cancel()
        self._output.close()
        self._socket.close()
        if self._deadline is not None:
            self._deadline.close()
        disown(self)
        self.gone.set_result(code)

    def _let_go(self) -> bool:
        """Whether it is on its way out by our doing."""
        return self._closing or self.killed

    def _say(self, text: str) -> None:
        """What a checker prints is a line of the log."""
        logger.bind(task=self._task, stream="output").info("{}: {}", self._task, text)


def _descriptors(child: Any) -> Iterator[int]:
    """Our ends of its socket, of its output and of its deadline."""
    yield child._socket.fileno()
    yield child._output.descriptor
    if child._deadline is not None:
        yield child._deadline.writing
