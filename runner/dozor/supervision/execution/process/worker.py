"""The program of a child process (`isolation: process`); `client` in this package starts it.

    runner ──▶ worker   hello, run, stop (set ctx.stopping), cancel, where (where is it now?)
    worker ──▶ runner   born, ready | broken, then:
                        log, dropped, heartbeat, progress, backlog, alert, where, ended

The main thread runs the loop and the checker; another one reads, so that a checker that blocks its loop can
still be asked where it is, and the process ends with the runner, whatever the checker does.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import faulthandler
import os
import pickle
import signal
import socket
import sys
import threading
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger

from dozor.clean_context import CleanContext
from dozor.clock import SteadyClock
from dozor.config.imports.environment import explain_withheld
from dozor.config.imports.importing import Checker, CheckerImportError, import_checker
from dozor.config.imports.signatures import check_call, check_kind, is_async, takes_context
from dozor.exceptions import bounded, chain_of, line_of, release, tamed
from dozor.language import Language, msg
from dozor.language.process import use_language
from dozor.log_border import own_logger
from dozor.process import forking
from dozor.process.lifecycle import run_to_end
from dozor.storage.postgres.checker_pool import CheckerPool
from dozor.storage.postgres.pool import unavailable
from dozor.storage.postgres.run_fence import RunFence
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import Failure
from dozor.supervision.execution.left_behind import LeftBehind
from dozor.supervision.execution.process.ipc import Channel, Frame
from dozor.supervision.execution.process.output import LineBudget
from dozor.supervision.execution.reporter import checked_severity
from dozor.supervision.runs.arguments import fresh
from dozor.supervision.runs.context import Context
from dozor.supervision.runs.failures.failure import describe
from dozor.supervision.runs.failures.remote_failure import to_frame
from dozor.supervision.runs.failures.stacks import await_chain, chain_of_thread
from dozor.supervision.runs.memory import reclaim_memory
from dozor.supervision.runs.own_loop import OwnLoop
from dozor.supervision.runs.ownership import CURRENT, OwnTask, Scope, own_tasks, own_threads, scope_of_escape
from dozor.supervision.runs.reports import OF_ANOTHER_PROCESS
from dozor.supervision.runs.resources import ResourcePlan, Resources
from dozor.supervision.runs.results import awaited
from dozor.supervision.runs.run import Run, StopReason, call_in_thread
from dozor.supervision.runs.subprocesses import own_subprocesses

PR_SET_NAME = 15  # linux/prctl.h
MAX_LOG_TEXT = 100_000
CLOSE_SECONDS = 1.0
"""Beyond the limit of a setup: how long all of them may take to be closed before this process ends."""
REPORTS_EVERY = 0.05
"""Seconds between two reports of the same kind (progress, backlog, heartbeat): the last one counts."""


def main(arguments: list[str]) -> None:
    """`arguments`: the number of the socket. Called by `dozor.process.keeper`."""
    connection = socket.socket(fileno=int(arguments[0]))
    connection.setblocking(True)
    channel = Channel(connection)
    _be_the_first_to_go()
    channel.send({"type": "born", "pid": os.getpid()})
    faulthandler.enable()
    for number in (signal.SIGINT, signal.SIGTERM):
        # The runner decides when this process ends. A function: SIG_IGN would be inherited by its children.
        forking.own_signal(number, partial(signal.signal, number, _not_for_us))
    hello = channel.receive()
    if hello is None:
        return
    use_language(Language(hello["language"]))
    sys.path[:] = hello["path"]
    _call_it(hello["task"])
    explain_withheld(hello["withheld"])
    _log_to(channel)
    own_logger()
    with asyncio.Runner(loop_factory=OwnLoop) as runner:
        run_to_end(runner.get_loop(), _Worker(channel, hello).serve(), _escaped)


def _escaped(error: BaseException) -> bool:
    """An exception has left the loop; whether it is attributed to the run in whose callback it was raised."""
    scope, step = scope_of_escape(error)
    if scope is None:
        error = tamed(error)
        text = msg("log-loop-escape", error=line_of(error))
        logger.opt(exception=bounded(error)).critical("{}", text)
        release(error)
    elif not step:
        scope.note(error)
    return scope is not None


def _not_for_us(number: int, frame: object) -> None:
    """A signal meant for the runner."""


def _be_the_first_to_go() -> None:
    """Out of memory: the kernel is to take this process before the runner."""
    try:
        Path("/proc/self/oom_score_adj").write_text("500")
    except OSError:
        pass


def _call_it(task: str) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NAME, f"dozor:{task}".encode()[:15])


def _log_to(channel: Channel) -> None:
    """loguru's lines, and the tracebacks with them, go to the runner, which redacts and writes them.

    Lines beyond the rate of `LineBudget` are dropped here and counted: each would cost the runner time.
    """
    started = forking.generation
    budget = LineBudget(time.monotonic())
    dropped = 0

    def send(message: Any) -> None:
        nonlocal dropped
        if not budget.take(1, time.monotonic()):
            dropped += 1
            return
        if dropped:
            channel.send({"type": "dropped", "count": dropped})
            dropped = 0
        text = str(message).rstrip("\n")[:MAX_LOG_TEXT]
        if forking.generation != started:
            # The pipe is not for forked children. What they print is a line of the log as well.
            sys.stderr.write(f"{text}\n")
            return
        channel.send({"type": "log", "level": message.record["level"].name, "text": text})

    logger.remove()
    logger.add(send, format="{message}", level="DEBUG", diagnose=False, backtrace=False, catch=True)


class _Reporter:
    """`dozor.supervision.runs.context.Reports` over the pipe. Raises RuntimeError in a forked child.

    A checker may report each of a million rows: of each kind only the last report within `REPORTS_EVERY` is
    sent, by a thread, so that a checker that blocks its loop still reports.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._forks = forking.generation
        self._lock = threading.Lock()
        self._waiting: dict[str, Frame] = {}
        self._some = threading.Event()
        threading.Thread(target=self._send_now_and_then, name="dozor reports", daemon=True).start()

    def heartbeat(self) -> None:
        self._report({"type": "heartbeat"})

    def progress(self, done: float, total: float) -> None:
        self._report({"type": "progress", "done": float(done), "total": float(total)})

    def backlog(self, size: int, oldest_at: datetime | None, limit: float | None) -> None:
        if oldest_at is not None and oldest_at.tzinfo is None:
            raise ValueError("backlog(): oldest_at must be an aware datetime (with a timezone)")
        at = None if oldest_at is None else oldest_at.timestamp()
        self._report({"type": "backlog", "size": int(size), "oldest_at": at, "limit": limit})

    def alert(self, text: str, severity: str) -> None:
        self._channel.send({"type": "alert", "text": str(text), "severity": checked_severity(severity)})

    def flush(self) -> None:
        """Send what waits: at the end of a run, whose reports are accepted only before it has ended."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            for frame in waiting.values():
                self._channel.send(frame)

    def _report(self, frame: Frame) -> None:
        if forking.generation != self._forks:
            raise RuntimeError(OF_ANOTHER_PROCESS)
        with self._lock:
            self._waiting[frame["type"]] = frame
        self._some.set()

    def _send_now_and_then(self) -> None:
        pause = threading.Event()
        while True:
            self._some.wait()
            self._some.clear()
            self.flush()
            pause.wait(REPORTS_EVERY)


class _Worker:
    def __init__(self, channel: Channel, hello: Frame) -> None:
        self._channel = channel
        self._hello = hello
        self._args: dict[str, Any] = pickle.loads(base64.b64decode(hello["args"]))  # noqa: S301 -- the runner's
        self._task: str = hello["task"]
        self._words = _Reporter(channel)
        self._run: Run | None = None
        self._checkers: CheckerPool | None = None
        self._resources: Resources | None = None
        self._main = threading.get_ident()

    async def serve(self) -> None:
        """Import the checker, then run it whenever a frame requests it, until the runner has ended."""
        self._loop = asyncio.get_running_loop()
        forking.own_loop(self._loop)
        own_tasks(self._loop)
        own_threads()
        own_subprocesses()
        try:
            self._function = self._import()
        except CheckerImportError as error:
            text = str(error)
            failure = Failure("CheckerImportError", text.partition("\n")[0], "", text, fatal=True)
            self._channel.send({"type": "broken", "failure": to_frame(failure)})
            return
        if self._hello["dsn"] is not None and takes_context(self._function):
            self._checkers = await CheckerPool.open(
                self._hello["dsn"],
                size=self._hello.get("pool_size", 5),  # a runner older than this file sends neither
                acquire_timeout=self._hello.get("acquire_timeout", 30.0),
                now=SteadyClock().now,
                application_name=f"dozor {self._task}",
            )
        self._open_resources()
        self._contexts = CleanContext()  # with what the checker's module has set while it was imported
        self._left_behind = LeftBehind(self._tell, self._loop, self._contexts.timers)
        threading.Thread(target=self._listen, name="dozor pipe", daemon=True).start()
        self._channel.send({"type": "ready"})
        while True:
            await asyncio.sleep(1.0)
            if self._checkers is not None:
                self._checkers.reclaim()

    def _open_resources(self) -> None:
        """Nothing is opened before the first run."""
        hello = self._hello
        if "resources" not in hello:
            return  # from a runner older than this file
        plan = ResourcePlan.from_frame(hello["resources"])
        self._spec = TaskSpec(
            name=self._task,
            function=self._function,
            setup=hello["setup"],
            takes_context=takes_context(self._function),
        )
        if plan.needed_by(self._spec):
            name = f"dozor {self._task}"
            self._resources = Resources(plan, SteadyClock().now, application_name=name)

    def _import(self) -> Checker:
        """The code on disk may be newer than what the runner has checked. Raises CheckerImportError."""
        function = import_checker(self._hello["run"], Path(self._hello["folder"]))
        unusable = check_kind(function)
        problems = [unusable] if unusable is not None else list(check_call(function, self._args))
        if problems:
            raise CheckerImportError("; ".join(problems))
        return function

    def _listen(self) -> None:
        """In a thread of its own."""
        while (frame := self._channel.receive()) is not None:
            match frame["type"]:
                case "run":
                    self._loop.call_soon_threadsafe(self._start, frame)
                case "stop":
                    if self._run is not None:
                        self._run.ask_to_stop(StopReason.ASKED)
                case "cancel":
                    self._loop.call_soon_threadsafe(self._cancel)
                case "where":
                    self._channel.send({"type": "where", "chain": self._where()})
                case _:
                    continue  # a newer runner's word: this process is about to be replaced
        if self._resources is not None and self._run is None:
            try:
                asyncio.run_coroutine_threadsafe(self._resources.close(), self._loop).result(
                    self._resources.plan.setup_timeout + CLOSE_SECONDS
                )
            except BaseException as error:  # noqa: BLE001 -- the process ends all the same
                self._channel.send({"type": "log", "level": "ERROR", "text": repr(error)[:MAX_LOG_TEXT]})
        os._exit(0)

    def _where(self) -> list[str]:
        """Where the run is: its await chain; the stack of its thread where there is none, or it blocks."""
        run = self._run
        if run is None:
            return []
        if run.thread is not None:
            return chain_of_thread(run.thread)
        busy = chain_of_thread(self._main)
        waits = bool(busy) and busy[-1].startswith("python/selectors.py:")
        return await_chain(run.task) if waits and run.task is not None else busy

    def _start(self, frame: Frame) -> None:
        run = Run(frame["number"], frame["due_at"], frame["started_at"], frame["attempt"])
        self._run = run
        scope = Scope(self._task, self._left_behind)
        run.task = task = self._loop.create_task(
            self._carry_out(run, frame, scope), context=self._contexts.fresh()
        )
        if isinstance(task, OwnTask):
            task.scope = scope  # so that the checker can cancel itself, as `asyncio.timeout` does

    def _cancel(self) -> None:
        if self._run is not None:
            self._run.cancel(StopReason.ASKED)

    async def _carry_out(self, run: Run, frame: Frame, scope: Scope) -> None:
        CURRENT.set(scope)
        error: BaseException | None = None
        forks = forking.generation
        try:
            given: dict[str, Any] = {}
            resources = None
            if self._resources is not None:
                await self._resources.open(self._spec)
                resources = self._resources.for_run(
                    self._task, frame["run_id"], lambda: run.ended or run.abandoned
                )
            if takes_context(self._function):
                fence = frame.get("fence")
                given = {
                    "ctx": Context(
                        self._task,
                        frame["run_id"],
                        run,
                        self._words,
                        self._checkers,
                        resources,
                        epoch=frame.get("epoch", 0),
                        fence=None if fence is None else RunFence(**fence),
                    )
                }
            if is_async(self._function):
                await awaited(self._function(**fresh(self._args), **given))
            else:
                await call_in_thread(self._function, {**fresh(self._args), **given}, run)
        except GeneratorExit:
            raise
        except BaseException as caught:  # noqa: BLE001 -- the supervision border: reported to the runner
            error = tamed(caught)
        forking.end_if_forked(forks, error)
        scope.left_tasks()
        if error is None and run.reason is None:
            error = scope.broken
        scope.broken = None
        self._run = None
        run.ended = scope.ended = True
        self._words.flush()
        self._channel.send(_ending(error, run))
        if error is not None:
            release(error)
            error = None  # its traceback refers to this frame
            reclaim_memory()
        self._left_behind.look(scope)

    def _tell(self, name: str, text: str) -> None:
        """What a run has left behind."""
        self._channel.send({"type": "alert", "text": text, "severity": "warning"})


def _ending(error: BaseException | None, run: Run) -> Frame:
    asked = isinstance(error, asyncio.CancelledError) and run.reason is not None
    failure = None if error is None or asked else to_frame(describe(error, str))
    away = error is not None and _looks_away(error)
    return {
        "type": "ended",
        "number": run.number,
        "cancelled": asked,
        "failure": failure,
        "used_database": run.used_database or away,
    }


def _looks_away(error: BaseException) -> bool:
    return any(map(unavailable, chain_of(error)))
