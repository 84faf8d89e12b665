"""The loop watchdog: a thread that notices a blocked event loop, names the cause and alerts meanwhile.

The loop leaves a sign of life several times within the limit. Where it does not, the thread samples the
stack of the loop's thread: the frame of `carry_out` in it shows whose run is being stepped. Code that keeps
the interpreter's lock (a slow regular expression) blocks this thread too: it is reported when it
releases the lock.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from loguru import logger

from dozor.language import msg
from dozor.supervision.execution.executor import execute
from dozor.supervision.runs.failures.stacks import stack_of
from dozor.supervision.telemetry.observer import UNKNOWN_BLOCKER, Trouble, TroubleKind

SAMPLE_EVERY = 0.05
SIGNS_A_LIMIT = 4
"""Signs of life within the limit."""
_CARRY_OUT = execute.__code__


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the loop's thread. `who`: the task whose run is being stepped, "" if it is none."""

    who: str
    stack: tuple[str, ...]


class Watchdog:
    """`alarm` is called in a thread, once for each blocking; `over` on the loop, when it runs again.

    `owner` gives the task that a function's file belongs to, for steps of tasks that a checker has created.
    """

    def __init__(
        self,
        limit: float,
        alarm: Callable[[Trouble], None],
        over: Callable[[Trouble], None],
        owner: Callable[[str], str | None] = lambda path: None,
    ) -> None:
        self._limit = limit
        self._interval = limit / SIGNS_A_LIMIT
        self._alarm = alarm
        self._over = over
        self._owner = owner
        self._sign = 0.0
        self._end = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.lags: list[float] = []
        """Seconds by which each sign of life was late, since the list was last taken."""

    def start(self) -> None:
        """Watch the running loop."""
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._expected = self._sign = time.monotonic()
        self._beat()
        threading.Thread(target=self._watch, name="dozor watchdog", daemon=True).start()

    def stop(self) -> None:
        self._end.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self._sign = now = time.monotonic()
        self.lags.append(now - self._expected)
        del self.lags[:-1000]
        self._expected = now + self._interval
        self._timer = self._loop.call_later(self._interval, self._beat)

    # -- in the thread

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._end.wait(self._interval):
            now = time.monotonic()
            # Stopped as a whole (SIGSTOP, a debugger, no CPU to be had): that is not the loop's doing.
            stood_still = now - looked > self._interval + self._limit / 2
            looked = now
            if not stood_still and now - self._sign > self._limit:
                self._on_stall()
                looked = time.monotonic()

    def _on_stall(self) -> None:
        """From when it is noticed to its end."""
        began = self._sign
        seen: Counter[Seen] = Counter()
        told = False
        while self._sign == began and not self._end.is_set():
            look = self._look()
            if look is not None:
                seen[look] += 1
            if not told and seen:
                told = True
                now = time.monotonic()
                threading.Thread(
                    target=self._tell, args=(_trouble(seen, now - began),), name="dozor alarm", daemon=True
                ).start()
            self._end.wait(SAMPLE_EVERY)
        if not seen:
            return
        trouble = _trouble(seen, self._sign - began)
        try:
            self._loop.call_soon_threadsafe(self._over, trouble)
        except RuntimeError:
            return  # the loop has closed

    def _tell(self, trouble: Trouble) -> None:
        seconds = f"{trouble.seconds:.1f}"
        if trouble.subject == UNKNOWN_BLOCKER:
            head = msg("log-loop-blocked-unknown", seconds=seconds)
        else:
            head = msg("log-loop-blocked", seconds=seconds, subject=trouble.subject)
        # The alarm first: a sink of an application may block for as long as the loop does.
        self._alarm(trouble)
        logger.critical("\n  ".join((head, *trouble.chain)))

    def _look(self) -> Seen | None:
        frame = sys._current_frames().get(self._ident)
        return None if frame is None else Seen(self._who(frame), tuple(stack_of(frame)))

    def _who(self, innermost: FrameType) -> str:
        frame: FrameType | None = innermost
        theirs = ""
        while frame is not None:
            if frame.f_code is _CARRY_OUT:
                return str(frame.f_locals["task"].spec.name)
            theirs = theirs or self._owner(frame.f_code.co_filename) or ""
            frame = frame.f_back
        return theirs


def _trouble(seen: Counter[Seen], seconds: float) -> Trouble:
    """The most seen look; whoever was seen at all before nobody."""
    named = Counter({look: count for look, count in seen.items() if look.who}) or seen
    [(most, _)] = named.most_common(1)
    return Trouble(
        kind=TroubleKind.BLOCKED_LOOP,
        subject=most.who or UNKNOWN_BLOCKER,
        task=most.who or None,
        seconds=seconds,
        chain=most.stack,
        reason="" if most.who else msg("log-blocker-unknown"),
    )
