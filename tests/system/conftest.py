"""The real `dozor`, a real PostgreSQL, and the stand-in of the Bot API over HTTP."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.bot.botapi.server import BotApi
from tests.system.stage import Stage
from tests.system.telegram import open_telegram


@pytest.fixture
def stage() -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="dozor-"))
    stage = Stage(folder)
    yield stage
    stage.close()
    stage.say()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def telegram() -> AsyncIterator[BotApi]:
    """The stand-in, in this process; it knows everybody of `tests.system.telegram`."""
    async with open_telegram() as api:
        yield api
