"""A checker in a process of its own (`isolation: process`), from outside: kept warm, replaced, never shared.

    none ──start──▶ starting ──ready──▶ idle ──run──▶ busy ──ended──▶ idle
                        │ broken                        │ died, killed     │ over max_memory or max_runs, a
                        ▼                               ▼                  ▼ restart by a person
                      none (Fatal)                     none              none ──▶ started anew at once

Whatever the process does, only this checker's run fails, with the cause in its error: "killed by SIGSEGV".
"""

from __future__ import annotations

import asyncio
import base64
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from loguru import logger

from dozor.clock import to_datetime
from dozor.config.imports.environment import child_environment
from dozor.config.imports.probing import import_hung
from dozor.language import msg
from dozor.language.process import language_in_use
from dozor.log_writer import DROPPED_LINES
from dozor.process.child_deadlines import ChildDeadlines
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.execution.process.handle import ProcessHandle
from dozor.supervision.execution.process.ipc import LARGEST, Frame, FrameError
from dozor.supervision.execution.process.output import LINES_PER_SECOND
from dozor.supervision.runs.context import Context, Reporter
from dozor.supervision.runs.failures.remote_failure import (
    RemoteError,
    from_frame,
    import_error,
    megabytes,
    memory_limit_error,
    process_died_error,
)
from dozor.supervision.runs.resources import ResourcePlan
from dozor.supervision.runs.run import Run

ANSWER_SECONDS = 1.0
"""How long a process may take to report where it is."""
OBEY_SECONDS = 2.0
"""How long it may take to end a cancelled run before it is killed."""
LET_GO_SECONDS = 2.0
MEMORY_EVERY = 1.0
"""Seconds between looks at the memory of a busy process."""
HARD_LIMIT = 1.25
"""Share of `max_memory` beyond which a run is not waited for."""
STARTS_AT_ONCE = 2
"""Processes started at the same time: importing takes a whole core."""
SLOT_SECONDS = 10.0
"""How long a starting process keeps others from starting. One that still imports then is mostly waiting."""
START_SECONDS = 60.0
"""How long a process may take to be ready. Longer than the probe before the start allows, as several start
beside runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What every process is started with. `folder` becomes importable. `dsn` may hold a password.

    `pool_size`, `acquire_timeout`: of `ctx.db` in each process. `withheld`: names of variables that are not
    in its environment, unless the task's `env` names them.
    """

    dsn: str | None = None
    folder: Path = Path()
    pool_size: int = 5
    acquire_timeout: float = 30.0
    withheld: frozenset[str] = frozenset()
    resources: ResourcePlan = field(default_factory=ResourcePlan)
    deadlines: ChildDeadlines | None = None
    """Of a member of a cluster: its processes end when it may not act any more."""


class ProcessClient:
    """The process of one task. `words` gives the reports of a run; `starting` bounds starts at once."""

    def __init__(
        self, spec: TaskSpec, launch: Launch, words: Callable[[Run], Reporter], starting: asyncio.Semaphore
    ) -> None:
        self._spec = spec
        self._launch = launch
        self._words = words
        self._starting = starting
        self._process: ProcessHandle | None = None
        self._ready: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[Frame] | None = None
        self._where: asyncio.Future[list[str]] | None = None
        self._run: Run | None = None
        self._last_run: Run | None = None
        self._warming: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        # Processes on their way out, whoever has stopped waiting for them.
        self._retired = False
        self._closed = False
        self._unusable = spec.unusable
        """Why no process is started before a person restarts the task."""
        self._log = logger.bind(task=spec.name)

    @property
    def pid(self) -> int | None:
        """Of the present process."""
        return None if self._process is None else self._process.pid

    def warm(self) -> None:
        """Have a process ready before the next run needs it."""
        if not self._closed and not self._unusable and (self._warming is None or self._warming.done()):
            self._warming = asyncio.create_task(self._warm())

    def retire(self) -> None:
        """Let the next run have a fresh process: it imports the code that is on disk then."""
        self._retired = True
        self._unusable = ""

    async def close(self) -> None:
        self._closed = True
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        await self._close_process()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def perform(self, run: Run, context: Context) -> None:
        """Carry out one run. Raises what the checker raised as RemoteError, or how its process ended.

        Cancelled, it cancels the run in the process, kills the process if that is not obeyed, and raises
        CancelledError when the run is really over.
        """
        try:
            process = await self._acquire()
            await self._carry_out(process, run, context)
        finally:
            self._run = None
            self._replace_if_worn()

    async def _carry_out(self, process: ProcessHandle, run: Run, context: Context) -> None:
        loop = asyncio.get_running_loop()
        self._run = self._last_run = run
        self._ended = ended = loop.create_future()
        process.runs += 1
        process.number = run.number
        telling = asyncio.create_task(self._tell_when_stopping(process, run))
        try:
            await process.send(
                {
                    "type": "run",
                    "number": run.number,
                    "run_id": context.run_id,
                    **context.fencing(),
                    "attempt": run.attempt,
                    "due_at": run.due_at,
                    "started_at": run.started_at,
                }
            )
            await self._until_ended(process, run, ended)
        except asyncio.CancelledError:
            await self._uncancellable(self._end_the_run(process, run, ended))
            raise
        finally:
            telling.cancel()
            self._ended = None
        self._raise_for(run, ended.result() if ended.done() else None, process)

    async def _until_ended(self, process: ProcessHandle, run: Run, ended: asyncio.Future[Frame]) -> None:
        """Until the run is over or the process is; within its memory."""
        limit = self._spec.max_memory
        while True:
            over: set[asyncio.Future[Any]] = {ended, process.gone}
            await asyncio.wait(
                over,
                timeout=None if limit is None else MEMORY_EVERY,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if ended.done() or process.gone.done():
                return
            assert limit is not None
            used = process.memory()
            if used > limit * HARD_LIMIT:
                run.hung_at = tuple(await self._ask_where(process))
                process.kill()
                await asyncio.wait({process.gone})
                raise memory_limit_error(used, limit)
            if used > limit and not run.stopping.is_set():
                self._log.warning(
                    msg(
                        "log-child-over-limit",
                        name=self._spec.name,
                        used=megabytes(used),
                        most=megabytes(limit),
                    ),
                )
                run.stopping.set()

    def _raise_for(self, run: Run, frame: Frame | None, process: ProcessHandle) -> None:
        if frame is None:
            raise process_died_error(process.gone.result(), process.output, starting=False, lost=process.lost)
        run.used_database = run.used_database or frame["used_database"]
        if frame["failure"] is not None:
            raise RemoteError(from_frame(frame["failure"]))
        if frame["cancelled"]:
            raise asyncio.CancelledError

    async def _end_the_run(self, process: ProcessHandle, run: Run, ended: asyncio.Future[Frame]) -> None:
        """By asking, then by force. When it returns, nothing of the run goes on."""
        if not run.hung_at:
            run.hung_at = tuple(await self._ask_where(process))
        await process.send({"type": "cancel"})
        over: set[asyncio.Future[Any]] = {ended, process.gone}
        await asyncio.wait(over, timeout=OBEY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done() and not process.gone.done():
            self._log.warning(msg("log-child-killed", name=self._spec.name))
            process.kill()
            await asyncio.wait({process.gone})

    async def _uncancellable(self, work: Any) -> None:
        """To its end, however often we are cancelled meanwhile: it takes a few seconds at most."""
        task = asyncio.create_task(work)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                continue
        task.result()

    async def _tell_when_stopping(self, process: ProcessHandle, run: Run) -> None:
        await run.stopping.wait()
        await process.send({"type": "stop"})

    async def _ask_where(self, process: ProcessHandle) -> list[str]:
        self._where = asyncio.get_running_loop().create_future()
        await process.send({"type": "where"})
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._where
        except TimeoutError:
            return []
        finally:
            self._where = None

    # -- the process

    async def _acquire(self) -> ProcessHandle:
        """A process that is ready. Raises RemoteError if the checker cannot be imported in it."""
        if self._unusable:
            raise import_error(self._unusable, fatal=True)
        if self._warming is not None and not self._warming.done():
            await asyncio.shield(self._warming)
        if self._retired:
            await self._close_process()
        process = self._process
        if process is None or process.gone.done():
            process = await self._start()
        return process

    async def _start(self) -> ProcessHandle:
        self._retired = False
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._starting:
            self._ready = ready = loop.create_future()
            withheld = self._launch.withheld - set(self._spec.env)
            self._process = process = await ProcessHandle.start(
                self._spec.name,
                self._handshake(withheld),
                self._on_frame,
                self._on_dropped,
                child_environment(os.environ, withheld),
                self._launch.deadlines,
            )
            await self._until_ready(process, ready, SLOT_SECONDS)
        await self._until_ready(process, ready, START_SECONDS - (loop.time() - began))
        if not ready.done():
            if process.gone.done():
                raise process_died_error(process.gone.result(), process.output, starting=True)
            self._discard(process)
            raise import_error(import_hung(self._spec.reference, START_SECONDS), fatal=False)
        ready.result()
        self._log.debug(msg("log-child-ready", name=self._spec.name, pid=process.pid))
        return process

    async def _until_ready(self, process: ProcessHandle, ready: asyncio.Future[None], seconds: float) -> None:
        """For at most so long. A process whose start is cancelled is not used again."""
        try:
            over: set[asyncio.Future[Any]] = {ready, process.gone}
            await asyncio.wait(over, timeout=max(seconds, 0.0), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._discard(process)
            raise

    def _discard(self, process: ProcessHandle) -> None:
        """Kill it; the next run starts another one."""
        process.kill()
        if self._process is process:
            self._process = None
        self._leave(process, 0.0)

    async def _warm(self) -> None:
        try:
            if self._retired:
                await self._close_process()
            if self._process is None or self._process.gone.done():
                await self._start()
        except (RemoteError, FrameError, OSError) as error:
            # The next run tries again, and fails with it if it is still so.
            self._log.warning(msg("log-child-not-ready", name=self._spec.name, error=error))
            await self._close_process()

    def _replace_if_worn(self) -> None:
        process, spec = self._process, self._spec
        if process is None or process.gone.done():
            self.warm()
            return
        used = 0 if spec.max_memory is None else process.memory()
        if spec.max_memory is not None and used > spec.max_memory:
            self._log.info(
                msg(
                    "log-child-too-large",
                    name=spec.name,
                    used=megabytes(used),
                    most=megabytes(spec.max_memory),
                ),
            )
            self.retire()
        elif spec.max_runs is not None and process.runs >= spec.max_runs:
            self._log.debug(msg("log-child-replaced", name=spec.name, runs=process.runs))
            self.retire()
        if self._retired:
            self.warm()

    async def _close_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            plan = self._launch.resources
            holds = plan.setup or plan.databases or self._spec.setup
            patience = plan.setup_timeout + LET_GO_SECONDS if holds else LET_GO_SECONDS
            await asyncio.shield(self._leave(process, patience))

    def _leave(self, process: ProcessHandle, patience: float) -> asyncio.Task[None]:
        leaving = asyncio.create_task(process.close(patience))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        return leaving

    def _handshake(self, withheld: frozenset[str]) -> Frame:
        spec = self._spec
        return {
            "type": "hello",
            "language": language_in_use().value,
            "task": spec.name,
            "run": spec.reference,
            "folder": str(self._launch.folder),
            "path": [str(entry) for entry in sys.path],
            "dsn": self._launch.dsn,
            "pool_size": self._launch.pool_size,
            "acquire_timeout": self._launch.acquire_timeout,
            "withheld": sorted(withheld),
            "resources": self._launch.resources.to_frame(),
            "setup": spec.setup,
            # Dates and all, which JSON has no form for.
            "args": _encoded(spec.args),
        }

    def _on_dropped(self, count: int) -> None:
        """Lines of its output or of its log that were not logged."""
        DROPPED_LINES.add(count)
        self._log.warning(
            msg("log-child-lines-dropped", name=self._spec.name, count=count, rate=f"{LINES_PER_SECOND:.0f}")
        )

    def _on_frame(self, frame: Frame) -> None:
        run = self._run
        if run is None and frame["type"] == "alert":
            run = self._last_run  # about what a run has left behind
        match frame["type"]:
            case "ready":
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(None)
            case "broken":
                if self._ready is not None and not self._ready.done():
                    self._ready.set_exception(RemoteError(from_frame(frame["failure"])))
            case "ended":
                if self._ended is not None and not self._ended.done() and run is not None:
                    self._ended.set_result(frame)
            case "where":
                if self._where is not None and not self._where.done():
                    self._where.set_result([str(line) for line in frame["chain"]])
            case "dropped":
                self._on_dropped(int(frame["count"]))
            case "log":
                self._log.log(_level(frame["level"]), "{}", frame["text"])
            case "heartbeat" | "progress" | "backlog" | "alert" if run is not None:
                _say(self._words(run), frame)
            case _:
                return


def _encoded(args: Mapping[str, object]) -> str:
    """Raises FrameError for arguments that cannot be sent."""
    try:
        data = pickle.dumps(dict(args))
    except Exception as error:  # noqa: BLE001 -- the values' own code, in an application
        raise FrameError(f"args cannot be sent to another process: {error}") from None
    if len(data) > LARGEST:
        raise FrameError(f"args of {len(data)} bytes")
    return base64.b64encode(data).decode()


def _level(name: str) -> str:
    """A checker may have defined a log level of its own, which the runner lacks."""
    try:
        return logger.level(name).name
    except ValueError:
        return "INFO"


def _say(words: Reporter, frame: Frame) -> None:
    match frame["type"]:
        case "heartbeat":
            words.heartbeat()
        case "progress":
            words.progress(frame["done"], frame["total"])
        case "backlog":
            oldest: datetime | None = None
            if frame["oldest_at"] is not None:
                oldest = to_datetime(frame["oldest_at"])
            words.backlog(frame["size"], oldest, frame["limit"])
        case _:
            words.alert(frame["text"], frame["severity"])
