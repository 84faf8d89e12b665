"""Beginning and end of the process: signals, slow imports, named cleanups in reverse order."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from loguru import logger

from dozor.language import msg
from dozor.process.forking import own_signal

_T = TypeVar("_T")
CLEANUP_SECONDS = 30.0
MOST_ESCAPES = 200
ESCAPES_WITHIN = 10.0
"""Seconds."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Cleanups:
    """What has to be undone, last in first out. One that fails or hangs does not stop the others."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, Callable[[], Awaitable[object]], float]] = []

    def add(
        self, name: str, undo: Callable[[], Awaitable[object]], *, seconds: float = CLEANUP_SECONDS
    ) -> None:
        """`seconds`: how long `undo` may take."""
        self._stack.append((name, undo, seconds))

    async def run(self) -> None:
        """Undo everything, once."""
        while self._stack:
            name, undo, seconds = self._stack.pop()
            try:
                async with asyncio.timeout(seconds):
                    await undo()
            except TimeoutError:
                logger.error(msg("log-ending-slow", name=name, seconds=f"{seconds:.0f}"))
            except Exception as error:  # noqa: BLE001 -- the border: the other cleanups must run
                logger.opt(exception=error).error(msg("log-ending-failed", name=name))


class SignalHandlers:
    """Handlers of ours on the running loop; forked children do not inherit them.

    A library may take a signal for itself. `mend` takes it back.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._installed: dict[int, tuple[object, object]] = {}

    def on(self, number: signal.Signals, callback: Callable[..., object], *args: object) -> None:
        """Call `callback` on the loop at each such signal."""
        self._callbacks[number] = lambda: callback(*args)
        self._install(number)

    def mend(self) -> list[str]:
        """Install again what somebody has replaced; the names of those signals."""
        taken = [number for number in self._callbacks if self._present(number) != self._installed[number]]
        for number in taken:
            self._install(number)
        return [signal.Signals(number).name for number in taken]

    def _install(self, number: int) -> None:
        own_signal(number, lambda: self._loop.add_signal_handler(number, self._callbacks[number]))
        self._installed[number] = self._present(number)

    def _present(self, number: int) -> tuple[object, object]:
        """What Python calls, and what asyncio does then; `signal.signal` and the loop can both be changed."""
        return signal.getsignal(number), getattr(self._loop, "_signal_handlers", {}).get(number)


def run_to_end(
    loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, _T], escaped: Callable[[BaseException], bool]
) -> _T:
    """Run `main` on `loop`, which is ours as a whole, whatever else on it raises.

    asyncio ends a loop for SystemExit and KeyboardInterrupt of any task or callback, for an exception of a
    signal handler, and for `loop.stop()`. Here `escaped` is called with each, and the loop goes on. Raises
    what `main` raises; and what escapes `MOST_ESCAPES` times within `ESCAPES_WITHIN` seconds: then the loop
    itself is broken. Those for which `escaped` returns True, as it knows the run that they are of, do not
    count: each leaves the loop once, and a run may start any number of tasks.
    """
    task = loop.create_task(main)
    times: deque[float] = deque(maxlen=MOST_ESCAPES)
    while True:
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            if task.done():
                raise
            if escaped(error):
                continue
            times.append(loop.time())
            if len(times) == MOST_ESCAPES and times[-1] - times[0] < ESCAPES_WITHIN:
                raise


def on_signals(stop: asyncio.Event, flush: Callable[[], object] = lambda: None) -> SignalHandlers:
    """The first SIGTERM or SIGINT sets `stop`; a second one ends the process at once, after `flush`."""

    def received(number: int) -> None:
        if stop.is_set():
            logger.critical(msg("log-second-signal"))
            flush()
            os._exit(128 + number)
        logger.info(msg("log-signal", name=signal.Signals(number).name))
        stop.set()

    handlers = SignalHandlers()
    for number in SIGNALS:
        handlers.on(number, received, number)
    return handlers


class LeaveAtSignals:
    """SIGTERM and SIGINT end the process at once, with exit code `code` and without a traceback.

    For the time before anything is started and for the time after everything has ended. Outside of the main
    thread, where Python sets no handlers, nothing changes.
    """

    def __init__(self, code: int) -> None:
        self._code = code
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._leave) for number in SIGNALS}

    def end(self) -> None:
        """Set the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _leave(self, number: int, frame: object) -> None:
        os._exit(self._code)


IMPORT_SAID_AFTER = 2.0
IMPORT_SAID_EVERY = 10.0


class ImportWatch:
    """While modules of checkers are imported on the main thread: says which one takes long, and ends the
    process at SIGTERM or SIGINT with exit code 0, as nothing has been started yet.

    `now`: the module that is being imported, or "". `flush`: has what was said written, for a short time.
    """

    def __init__(self, now: Callable[[], str], flush: Callable[[], object]) -> None:
        self._now = now
        self._flush = flush

    def __enter__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._before = {number: signal.signal(number, _noted) for number in SIGNALS}
        # The interpreter's own C handler writes the number: no Python code of this thread has to run.
        self._wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, name="dozor imports", daemon=True)
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)

    def _watch(self) -> None:
        module, since, said_at = "", time.monotonic(), 0.0
        while True:
            readable, _, _ = select.select([self._reading], [], [], 0.5)
            if readable:
                data = os.read(self._reading, 1)
                if not data:
                    return
                if data[0] in SIGNALS:
                    self._end(data[0])
                continue
            present, now = self._now(), time.monotonic()
            if present != module:
                module, since, said_at = present, now, 0.0
            waited = now - since
            if module and waited > (IMPORT_SAID_AFTER if not said_at else said_at + IMPORT_SAID_EVERY):
                said_at = waited
                self._say(msg("log-importing", module=module, seconds=f"{waited:.0f}"))

    def _end(self, number: int) -> None:
        name = signal.Signals(number).name
        self._say(msg("log-import-ended", name=name, module=self._now() or "?"))
        self._flush()
        os._exit(0)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"dozor: {text}\n")


def _noted(number: int, frame: object) -> None:
    """The wakeup descriptor has it."""


def end_within(seconds: float, code: int, flush: Callable[[], object]) -> None:
    """Should the process not have ended by then, name the threads that still run and end it.

    The interpreter joins threads that are no daemons, and `asyncio.Runner` waits for tasks that ignore their
    cancellation: both without a limit.
    """

    def end() -> None:
        threading.Event().wait(seconds)
        names = ", ".join(_running_threads()) or "asyncio"
        logger.error(msg("log-end-late", seconds=f"{seconds:.0f}", names=names))
        flush()
        os._exit(code)

    threading.Thread(target=end, name="dozor end", daemon=True).start()


def _running_threads() -> list[str]:
    """Names of threads that keep the interpreter from ending, with the innermost function of each."""
    found = []
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread.daemon or thread is threading.main_thread() or frame is None:
            continue
        file = frame.f_code.co_filename.rpartition("/")[2]
        found.append(f"{thread.name} ({file}:{frame.f_lineno} in {frame.f_code.co_name})")
    return found
