"""`dozor run`: the main job."""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from loguru import logger

from dozor.cli.terminal.options import EXIT_CONFIG, EXIT_FAILED, EXIT_HUNG, config_option
from dozor.config.values.roles import Role
from dozor.language import msg

if TYPE_CHECKING:
    from dozor.app import Runner
    from dozor.app.leading.escapes import Escapes
    from dozor.cli.terminal.descriptor_lines import Output
    from dozor.logs import LogFormat, LogGuard
    from dozor.process.lifecycle import LeaveAtSignals, SignalHandlers
    from dozor.process.process_state import ProcessState
    from dozor.process.threads import CheckerThreads
    from dozor.redaction import Redactor

FLUSH_SECONDS = 1.0
"""How long the end waits for the last lines of the log to be read."""
END_SECONDS = 5.0
"""How long the interpreter may take to end once the runner has stopped."""
MEND_EVERY = 1.0


@click.command(help=msg("cli-help-run"))
@config_option
@click.option("--wait", is_flag=True, help=msg("cli-help-wait"))
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=None,
    help=msg("cli-help-role"),
)
@click.option(
    "--grace",
    type=float,
    default=10.0,
    show_default=True,
    metavar=msg("cli-metavar-seconds"),
    help=msg("cli-help-grace"),
)
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help=msg("cli-help-log-level"),
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "human", "json"]),
    default="auto",
    show_default=True,
    envvar="DOZOR_LOG_FORMAT",
    help=msg("cli-help-log-format"),
)
def run(
    config_path: Path, *, wait: bool, role: str | None, grace: float, log_level: str, log_format: str
) -> None:
    """Supervise the checkers of the configuration until SIGTERM or SIGINT."""
    from dozor.process.lifecycle import LeaveAtSignals, run_to_end

    unstarted = LeaveAtSignals(0)
    from dozor.app.leading.escapes import Escapes
    from dozor.cli.terminal.descriptor_lines import Output
    from dozor.errors import ConfigError
    from dozor.log_border import own_logger
    from dozor.logs import LogFormat
    from dozor.supervision.runs.own_loop import OwnLoop
    from dozor.supervision.runs.ownership import own_tasks, own_threads
    from dozor.supervision.runs.subprocesses import own_subprocesses

    form = LogFormat(log_format)
    redactors: list[Redactor] = []
    output = Output(form, lambda text: redactors[0].redact(text) if redactors else text)
    atexit.register(output.flush, FLUSH_SECONDS)
    try:
        with asyncio.Runner(loop_factory=OwnLoop) as loop:
            escaped = Escapes()
            own_tasks(loop.get_loop())
            own_threads()
            own_subprocesses()
            own_logger()
            main = _run(
                config_path,
                output,
                redactors,
                form,
                escaped,
                unstarted,
                wait=wait,
                role=None if role is None else Role(role),
                grace=grace,
                log_level=log_level.upper(),
            )
            code = run_to_end(loop.get_loop(), main, escaped)
    except ConfigError as error:
        if output.refuse(error.problems):
            sys.exit(EXIT_CONFIG)
        output.end_as_text(FLUSH_SECONDS)
        raise
    except Exception:
        output.end_as_text(FLUSH_SECONDS)
        raise
    finally:
        unstarted.end()
    output.restore()
    output.flush(FLUSH_SECONDS)
    LeaveAtSignals(code)  # the loop has taken its handlers away
    sys.exit(code)


async def _run(
    config_path: Path,
    output: Output,
    redactors: list[Redactor],
    form: LogFormat,
    escaped: Escapes,
    unstarted: LeaveAtSignals,
    *,
    wait: bool,
    role: Role | None,
    grace: float,
    log_level: str,
) -> int:
    from dozor.app import Runner
    from dozor.cli.terminal.streams import redact_prints
    from dozor.config.imports.importing import now_importing
    from dozor.errors import RunHungError
    from dozor.logs import configure
    from dozor.process.descriptors import raise_limit
    from dozor.process.forking import own_loop
    from dozor.process.lifecycle import ImportWatch, end_within, on_signals
    from dozor.process.process_state import ProcessState
    from dozor.process.threads import CheckerThreads

    def flush() -> None:
        output.flush(FLUSH_SECONDS)

    raise_limit()
    loop = asyncio.get_running_loop()
    own_loop(loop)
    loop.set_default_executor(threads := CheckerThreads())
    state = ProcessState(loop)
    # A configuration makes objects that stay, hundreds of thousands for 10,000 tasks, and hardly a cycle: the
    # collector looks at none of them, now or later.
    gc.disable()
    try:
        with ImportWatch(now_importing, flush):
            runner = Runner.from_config(config_path, wait=wait, grace=grace, role=role, own_process=True)
    finally:
        gc.freeze()
        gc.enable()
    state.settle()
    stop = asyncio.Event()
    unstarted.end()  # processes forked from here on get back the handlers of now
    signals = on_signals(stop, flush)
    log = configure(
        runner.redactor, level=log_level, form=form, details=runner.details_for_the_log, writer=output.writer
    )
    redactors.append(runner.redactor)
    # What inline checkers print; the log has its border already.
    output.restore()
    redact_prints(runner.redactor.redact, runner.details_for_the_log)
    output.keep()
    starting = asyncio.create_task(runner.__aenter__())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return 0
    await starting
    escaped.report = runner.report_escape
    signals.on(signal.SIGHUP, runner.reload_soon, "SIGHUP")
    # What is there by now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    mending = asyncio.create_task(_mend(log, signals, state, runner))
    try:
        await asyncio.wait((stopping, runner.failed), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await runner.stop()
        mending.cancel()
    code = 0
    if runner.failed.done():
        output.end_as_text(FLUSH_SECONDS)
        click.echo(f"dozor: {runner.failed.result()}", err=True)
        code = EXIT_HUNG if isinstance(runner.failed.result(), RunHungError) else EXIT_FAILED
    busy = await _busy_threads(threads)
    for name in busy:
        logger.error(msg("log-thread-left", name=name))
    if runner.unstopped or busy:
        # The loop would wait for them, perhaps for ever.
        flush()
        os._exit(code)
    end_within(END_SECONDS, code, flush)
    return code


async def _mend(log: LogGuard, signals: SignalHandlers, state: ProcessState, runner: Runner) -> None:
    """Take back what code in this process has taken from the runner, for as long as the runner lives."""
    from dozor.supervision.runs.ownership import keep_excepthook

    reported: set[str] = set()
    while True:
        await asyncio.sleep(MEND_EVERY)
        try:
            for what in state.mend():
                logger.warning("{}", msg("log-process-state", what=what))
            keep_excepthook()
            if log.mend():
                logger.warning(msg("log-handler-removed"))
            for name in signals.mend():
                logger.warning(msg("log-signal-taken", name=name))
            for name in state.received():
                text = msg("log-signal-ignored", name=name)
                logger.warning("{}", text)
                if name not in reported:
                    reported.add(name)
                    runner.report_escape(text)
        except Exception as error:  # noqa: BLE001 -- the border: it is tried again
            logger.opt(exception=error).error("{}", msg("log-mending-failed"))


async def _busy_threads(threads: CheckerThreads) -> list[str]:
    """Checkers whose threads run on, although they had a moment to end."""
    for _ in range(10):
        if not threads.busy():
            break
        await asyncio.sleep(0.05)
    return threads.busy()
