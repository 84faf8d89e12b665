"""One process of a checker, from outside: started, spoken to, listened to, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from loguru import logger

from dozor.forking import disown, own
from dozor.language import msg
from dozor.supervision.execution.process.ipc import Frame, FrameError, Unpacker, pack

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_ROOT = str(Path(__file__).parents[4])  # the folder that holds `dozor`
# Not `-m`: the folder we happen to stand in must not come before the installed packages.
_BOOT = (
    "import sys; sys.path.append(sys.argv[3]); "
    "from dozor.supervision.execution.process.worker import main; main()"
)
LINES_KEPT = 100
LONGEST_LINE = 4_000
DRAIN_SECONDS = 1.0
"""How long to go on reading what a dead process has left in its pipes (a grandchild may hold them open)."""


class ProcessHandle:
    """`on_frame` hears everything the process says; `gone` is set to its return code when it has ended."""

    def __init__(
        self, process: Process, ours: socket.socket, task: str, on_frame: Callable[[Frame], None]
    ) -> None:
        self._process = process
        self._task = task
        self._on_frame = on_frame
        self._output: deque[str] = deque(maxlen=LINES_KEPT)
        self._socket = ours
        own(self, _descriptors)
        self.gone: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.killed = False
        """By us."""
        self.runs = 0
        self.number = 0
        """Of the run it is at."""
        self._reading = asyncio.create_task(self._read())
        self._watching = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, task: str, hello: Frame, on_frame: Callable[[Frame], None]) -> ProcessHandle:
        """Raises OSError if no process can be started. Secrets go over the socket, never as arguments."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-c", _BOOT, str(theirs.fileno()), str(os.getpid()), _ROOT),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        child = cls(process, ours, task, on_frame)
        await child.send(hello)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> Sequence[str]:
        """The last lines it wrote to standard output and error."""
        return tuple(self._output)

    def memory(self) -> int:
        """Bytes resident; 0 if it has ended."""
        try:
            resident: int = psutil.Process(self.pid).memory_info().rss
        except (psutil.Error, OSError):
            return 0
        return resident

    async def send(self, frame: Frame) -> None:
        """Say it, if the process still listens."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, pack(frame))
        except OSError:
            return  # it is gone or going: `gone` says so

    def kill(self) -> None:
        """At once, with everything it has started."""
        self.killed = True
        if self.gone.done():
            return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    async def close(self, patience: float) -> None:
        """Let it go: it ends by itself when nobody is at the other end, or is killed after `patience` s."""
        self._hang_up()
        await asyncio.wait({self.gone}, timeout=patience)
        self.kill()
        await asyncio.wait({self._watching}, timeout=5.0)

    def _hang_up(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        unpacker = Unpacker()
        try:
            while data := await loop.sock_recv(self._socket, 262_144):
                for frame in unpacker.feed(data):
                    self._on_frame(frame)
        except OSError:
            return
        except (FrameError, KeyError, TypeError, ValueError) as error:
            logger.bind(task=self._task).error(msg("log-child-nonsense", task=self._task, error=error))
            self.kill()

    async def _watch(self) -> None:
        """Read its output, wait for its end, hear its last words, and only then say that it is gone."""
        printing = asyncio.create_task(self._print())
        code = await self._process.wait()
        await asyncio.wait({printing, self._reading}, timeout=DRAIN_SECONDS)
        for reading in (printing, self._reading):
            reading.cancel()
        await asyncio.gather(printing, self._reading, return_exceptions=True)
        self._socket.close()
        disown(self)
        self.gone.set_result(code)

    async def _print(self) -> None:
        """What a checker prints is a line of the log."""
        stream = self._process.stdout
        assert stream is not None
        rest = b""
        while data := await stream.read(65_536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._line(line)
            if len(rest) > LONGEST_LINE:
                self._line(rest)
                rest = b""
        if rest:
            self._line(rest)

    def _line(self, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace").rstrip()[:LONGEST_LINE]
        self._output.append(text)
        logger.bind(task=self._task).info("{}: {}", self._task, text)


def _descriptors(child: Any) -> Iterator[int]:
    """Our ends of its socket and of its output."""
    yield child._socket.fileno()
    output = child._process._transport.get_pipe_transport(1)
    if output is not None:
        yield output.get_extra_info("pipe").fileno()
