"""Sets the demo up in a temporary folder, plays it, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dozor
from dozor.app import Runner
from dozor.errors import StorageError
from dozor.language import msg
from dozor.language.names import Language
from dozor.storage.postgres.embedded.server import EmbeddedServer, start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.storage.postgres.migration_sets import CORE
from dozor.storage.postgres.pool import create_pool, unavailable
from dozor_market.demo.chain import OUR_WALLET
from dozor_market.demo.market import Market
from dozor_market.demo.screen import Chat, Screen
from dozor_market.demo.story import (
    ALERT_AFTER,
    AUCTIONS,
    DEPOSITS,
    PRESALES,
    STOP_AFTER,
    Pace,
    Story,
    StoryError,
)
from dozor_market.demo.toncenter import serve
from dozor_market.demo.words import Words, words
from dozor_market.ledger import LedgerError
from dozor_market.schema import MIGRATIONS

SECONDS = 40
"""How long the demo takes at speed 1, as its introduction says."""
DEPOSIT = 400
"""Whole TON each buyer begins with."""
COLLATERAL = 50
"""Whole TON the seller has pledged."""
CONFIG = """\
language: {language}
timezone: {timezone}
database: {{url: embedded, data_dir: postgres}}
alerts: {{repeated_errors: {alert_after}}}
web: {{listen: null}}
defaults:
  every: {every}
  restart_delay: {restart_delay}
  max_consecutive_failures: {stop_after}
  requires: [database]
tasks:
  {auctions}: {{run: "dozor_market.auctions:check_auctions"}}
  {presales}: {{run: "dozor_market.presales:check_presales"}}
  {deposits}:
    run: dozor_market.ton_deposits:check_transactions
    args:
      wallet: {wallet}
      providers: [{{kind: toncenter, url: "{provider}", rps: 100, timeout: 5}}]
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def play(language: Language, speed: float, stream: TextIO) -> bool:
    """Run the demo; False if a signal interrupted it. Cleans up in any case.

    Raises StoryError if an expected event did not happen, StorageError if PostgreSQL would not start.
    """
    screen, said = Screen(stream), words(language)
    loop = asyncio.get_running_loop()
    began = loop.time()
    story = asyncio.create_task(_perform(screen, language, speed))

    def interrupt() -> None:
        # Once: the cleaning must not be cancelled, and a person in a hurry presses more than once.
        if not story.cancelling():
            screen.say(said.leaving)
            story.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        await story
    except asyncio.CancelledError:
        screen.say(said.interrupted)
        return False
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    screen.end(said.done.format(seconds=f"{loop.time() - began:.0f}"), _next_steps(said))
    return True


def _next_steps(said: Words) -> tuple[tuple[str, str], ...]:
    """What to type next: targets of make exist in a checkout only."""
    if (Path(dozor.__file__).parents[2] / "Makefile").exists():
        return said.next_steps
    urls = dict(line.split(", ", 1) for line in metadata("dozor").get_all("Project-URL") or ())
    docs = urls.get("Documentation", "docs")
    return tuple((command.format(docs=docs), text) for command, text in said.next_steps_installed)


async def _perform(screen: Screen, language: Language, speed: float) -> None:
    said, pace = words(language), Pace(speed=speed)
    screen.quiet()
    screen.title(said.title)
    screen.say(said.what.format(seconds=round(SECONDS / speed)))
    screen.say(said.legend)
    async with _folder() as folder, _server(folder) as server:
        try:
            await _tell(screen, language, pace, folder, server.dsn)
        except LedgerError as error:
            raise StoryError(msg("error-demo", error=error)) from error
        except Exception as error:
            if not unavailable(error):
                raise
            raise StoryError(msg("error-demo-postgres", error=type(error).__name__)) from error


async def _tell(screen: Screen, language: Language, pace: Pace, folder: Path, dsn: str) -> None:
    said = words(language)
    # Here and in a thread: imported by the first run of the checker, it would hold up the loop.
    await asyncio.to_thread(importlib.import_module, "dozor_market.ton.providers.port")
    await migrate(dsn, (CORE, MIGRATIONS))
    pool = await create_pool(dsn, min_size=1, max_size=2, application_name="dozor demo")
    try:
        market = await Market.open(pool, said.seller, said.buyers, deposit=DEPOSIT, collateral=COLLATERAL)
        async with serve(market.toncenter) as provider:
            config = folder / "config.yaml"
            config.write_text(_config(language, pace, provider), encoding="utf-8")
            runner, chat = Runner.from_config(config, grace=2.0), Chat(screen)
            screen.follow_the_log(runner.redactor)
            async with _supervised(runner, chat):
                await Story(
                    screen=screen,
                    words=said,
                    pace=pace,
                    market=market,
                    runner=runner,
                    chat=chat,
                    shell=_Shell(folder).dozor,
                ).tell()
    finally:
        pool.terminate()


def _config(language: Language, pace: Pace, provider: str) -> str:
    return CONFIG.format(
        language=language.value,
        timezone=_local_timezone(),
        auctions=AUCTIONS,
        presales=PRESALES,
        deposits=DEPOSITS,
        every=pace.every,
        restart_delay=pace.restart_delay,
        alert_after=ALERT_AFTER,
        stop_after=STOP_AFTER,
        wallet=OUR_WALLET.to_str(),
        provider=provider,
    )


def _local_timezone() -> str:
    """The machine's timezone by name, so that messages and log agree; UTC where it has none."""
    named = os.environ.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve())
    name = named.partition("zoneinfo/")[2] or named
    try:
        return str(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"


@asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    try:
        folder = Path(tempfile.mkdtemp(prefix="dozor-demo-"))
    except OSError as error:
        raise StoryError(msg("error-demo-folder", error=error)) from error
    try:
        yield folder
    finally:
        await _to_its_end(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[EmbeddedServer]:
    """Interrupted while it starts, it is let start, and then stopped: nobody else would stop it."""
    starting = asyncio.create_task(asyncio.to_thread(start_embedded, folder / "postgres"))
    try:
        yield await asyncio.shield(starting)
    finally:
        await _to_its_end(_released(starting))


async def _released(starting: asyncio.Task[EmbeddedServer]) -> None:
    with suppress(StorageError):  # raised already, where it was started
        server = await starting
        await asyncio.to_thread(server.release)


@asynccontextmanager
async def _supervised(runner: Runner, chat: Chat) -> AsyncIterator[None]:
    """As above: an interrupted start is completed, then undone."""
    starting = asyncio.create_task(runner.__aenter__())
    try:
        await asyncio.shield(starting)
        runner.dispatcher.set_transport(chat)
        yield
    finally:
        await _to_its_end(_stopped(starting, runner))


async def _stopped(starting: asyncio.Task[Runner], runner: Runner) -> None:
    await asyncio.wait((starting,))
    await runner.stop()


async def _to_its_end(work: Coroutine[Any, Any, object]) -> None:
    """Wait for `work` whatever cancellation comes meanwhile, which is raised after."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


class _Shell:
    """Another terminal, in the folder of the demo."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def dozor(self, *arguments: str) -> tuple[int, str]:
        """Run `dozor ARGUMENTS`; its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dozor",
            *arguments,
            cwd=self._folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            printed, _ = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return process.returncode or 0, printed.decode(errors="replace")
