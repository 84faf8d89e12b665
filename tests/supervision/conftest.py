"""The real `dozor` with troubled checkers, and the stand-in of the Bot API."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from loguru import logger

from tests.bot.botapi.server import BotApi
from tests.system.stage import Stage
from tests.system.telegram import open_telegram


@pytest.fixture
def stage() -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="dozor-"))
    shutil.copy(Path(__file__).with_name("troubled.py"), folder / "troubled.py")
    stage = Stage(folder)
    yield stage
    stage.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def quick_end(stage: Stage) -> None:
    """A runner gives cancelled runs half a second, in children as well. In `make soak`: five, two."""
    stage.constants |= {
        "dozor.supervision.supervisor.CANCEL_SECONDS": 0.5,
        "dozor.supervision.execution.process.client.OBEY_SECONDS": 0.5,
    }


@pytest.fixture
async def telegram() -> AsyncIterator[BotApi]:
    async with open_telegram() as api:
        yield api


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The messages that loguru was given."""
    lines: list[str] = []
    number = logger.add(lambda message: lines.append(message.record["message"]), level="DEBUG")
    yield lines
    logger.remove(number)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is freed is freed by reference counts alone."""
    gc.disable()
    yield
    gc.enable()
