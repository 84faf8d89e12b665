"""State of the loop, the process and the log that a run changes for everybody: refused, or restored."""

from __future__ import annotations

import asyncio
import decimal
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from loguru import logger

from dozor.clean_context import CleanContext
from dozor.log_border import own_logger
from dozor.process.process_state import ProcessState
from dozor.process.threads import CheckerThreads
from dozor.supervision.runs import ownership
from dozor.supervision.runs.own_loop import OwnLoop
from dozor.supervision.runs.ownership import keep_excepthook, own_tasks
from tests.supervision.stage import Seen, spec, supervising
from tests.waiting import until


async def uses_the_executor() -> None:
    await asyncio.to_thread(time.monotonic)


def supervised(*functions: Callable[..., Any], enough: Callable[[Seen], bool]) -> Seen:
    """Supervise them on the loop that `dozor run` has."""

    async def main() -> Seen:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(CheckerThreads())
        specs = [spec(function.__name__, function, max_consecutive_failures=2) for function in functions]
        async with supervising(*specs) as (_, seen):
            await until(lambda: enough(seen))
            return seen

    with asyncio.Runner(loop_factory=OwnLoop) as runner:
        own_tasks(runner.get_loop())
        return runner.run(main())


async def replaces_the_executor() -> None:
    full = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(full)
    full.shutdown()


async def ends_the_executor() -> None:
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


async def stops_the_loop() -> None:
    asyncio.get_running_loop().stop()


async def changes_the_loop() -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory(), loop.get_exception_handler(), loop.get_debug()
    loop.set_task_factory(None)
    loop.set_exception_handler(lambda loop, context: None)
    loop.set_debug(True)
    assert (loop.get_task_factory(), loop.get_exception_handler(), loop.get_debug()) == before


@pytest.mark.parametrize(
    "function", [replaces_the_executor, ends_the_executor, stops_the_loop, changes_the_loop]
)
def test_a_run_cannot_change_the_loop_for_others(function: Callable[..., Any]) -> None:
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(str(message)), format="{level} {message}")
    try:
        seen = supervised(
            function,
            uses_the_executor,
            enough=lambda seen: (
                seen.successes.get(function.__name__, 0) >= 3
                and seen.successes.get("uses_the_executor", 0) >= 10
            ),
        )
    finally:
        logger.remove(handler)
    assert not seen.failures("uses_the_executor")
    assert not seen.failures(function.__name__)
    said = [line for line in lines if f"{function.__name__}" in line and line.startswith("WARNING")]
    assert len(said) == len(set(said)) >= 1


def test_the_loop_does_not_go_by_a_clock_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(time, "monotonic", lambda: 0.0)
        await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=OwnLoop) as runner:
        runner.run(main())


def test_a_run_does_not_see_the_default_context_of_decimal_that_another_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contexts = CleanContext()
    monkeypatch.setattr(decimal.DefaultContext, "prec", 3)
    assert contexts.fresh().run(decimal.getcontext).prec != 3


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    wakeup = signal.set_wakeup_fd(-1)
    yield loop
    signal.set_wakeup_fd(wakeup)
    for number, handler in before.items():
        if handler is not None and handler is not signal.getsignal(number):
            signal.signal(number, handler)
    loop.close()


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPROF])
def test_a_signal_that_nobody_handles_ends_nothing(
    loop: asyncio.AbstractEventLoop, number: signal.Signals
) -> None:
    signal.signal(number, signal.SIG_DFL)
    state = ProcessState(loop)
    os.kill(os.getpid(), number)
    assert state.received() == [number.name]
    assert state.received() == []
    signal.signal(number, signal.SIG_DFL)
    state.mend()
    os.kill(os.getpid(), number)
    assert state.received() == [number.name]


def test_a_handler_of_a_checker_stays(loop: asyncio.AbstractEventLoop) -> None:
    came: list[int] = []
    state = ProcessState(loop)
    signal.signal(signal.SIGALRM, lambda number, frame: came.append(number))
    state.mend()
    os.kill(os.getpid(), signal.SIGALRM)
    assert came == [signal.SIGALRM]
    assert state.received() == []


def test_a_forked_child_is_ended_by_such_a_signal(loop: asyncio.AbstractEventLoop) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    ProcessState(loop)
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGALRM)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGALRM


def _low_recursion() -> None:
    sys.setrecursionlimit(sys.getrecursionlimit() - 1)


def _few_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))


def _no_status_of_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def _end_at_closed_connections() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _hear_no_signals() -> None:
    signal.set_wakeup_fd(-1)


def _block_sigterm() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_low_recursion, "sys.setrecursionlimit"),
        (lambda: sys.setswitchinterval(100), "sys.setswitchinterval"),
        (_few_files, "RLIMIT_NOFILE"),
        (_no_status_of_children, "SIGCHLD"),
        (_end_at_closed_connections, "SIGPIPE"),
        (_hear_no_signals, "signal.set_wakeup_fd"),
        (_block_sigterm, "signal.pthread_sigmask"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_checker_changes_for_the_process_is_restored(
    loop: asyncio.AbstractEventLoop, change: Callable[[], object], what: str
) -> None:
    limits, recursion = resource.getrlimit(resource.RLIMIT_NOFILE), sys.getrecursionlimit()
    mask, switching = signal.pthread_sigmask(signal.SIG_BLOCK, ()), sys.getswitchinterval()
    state = ProcessState(loop)
    state.mend()
    assert state.mend() == []
    try:
        change()
        assert state.mend() == [what]
        assert state.mend() == []
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
        assert (sys.getrecursionlimit(), sys.getswitchinterval()) == (recursion, switching)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
        assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        sys.setrecursionlimit(recursion)
        sys.setswitchinterval(switching)


def test_a_hook_for_errors_of_threads_that_a_library_installs_is_called_beside_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", ownership._died)
    ours: list[str] = []
    handler = logger.add(lambda message: ours.append(str(message)), format="{message}")
    theirs: list[str] = []
    chained = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        theirs.append(args.exc_type.__name__)
        chained(args)

    def fails() -> None:
        raise ValueError("half of the work")

    try:
        threading.excepthook = hook
        keep_excepthook()
        keep_excepthook()
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()
    finally:
        logger.remove(handler)
    assert theirs == ["ValueError"]
    assert sum("half of the work" in line for line in ours) == 1


class TestLogger:
    @pytest.fixture(autouse=True)
    def guarded(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        kind = type(logger)
        for name in ("add", "configure", "disable"):
            monkeypatch.setattr(kind, name, getattr(kind, name))
        own_logger()
        yield
        logger.configure(patcher=lambda record: None)

    @pytest.mark.parametrize("error", [RuntimeError("no disk"), SystemExit(3), KeyboardInterrupt()])
    @pytest.mark.parametrize("place", ["sink", "filter", "format"])
    def test_an_error_of_a_sink_does_not_reach_who_logs(
        self, error: BaseException, place: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fails(*args: object) -> Any:
            raise error

        options: dict[str, Any] = {} if place == "sink" else {place: fails}
        sink: Any = fails if place == "sink" else (lambda message: None)
        handler = logger.add(sink, catch=False, **options)
        try:
            logger.info("a line")
        finally:
            logger.remove(handler)
        assert type(error).__name__ in capsys.readouterr().err

    def test_an_error_of_a_patcher_does_not_reach_who_logs(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines: list[str] = []

        def fails(record: object) -> None:
            raise SystemExit(3)

        logger.configure(patcher=fails)
        handler = logger.add(lambda message: lines.append(str(message)), format="{message}")
        try:
            logger.info("a line")
            logger.info("another")
        finally:
            logger.remove(handler)
        assert lines == ["a line\n", "another\n"]
        assert capsys.readouterr().err.count("SystemExit") == 1

    @pytest.mark.parametrize("name", ["", "dozor", "dozor.app"])
    def test_lines_of_dozor_are_not_turned_off(self, name: str) -> None:
        lines: list[str] = []
        handler = logger.add(lambda message: lines.append(str(message)), format="{message}")
        try:
            logger.disable(name)
            exec(compile("logger.info('of dozor')", "x", "exec"), {"logger": logger, "__name__": "dozor.app"})
        finally:
            logger.enable("")
            logger.remove(handler)
        assert lines == ["of dozor\n"]


def test_hooks_that_are_gone_are_put_back(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", None)
    monkeypatch.setattr(sys, "excepthook", None)
    state = ProcessState(loop)
    assert "sys.excepthook" in state.mend()
    keep_excepthook()
    thread = threading.Thread(target=str)  # refused with a RuntimeError as long as there are none
    thread.start()
    thread.join()
