"""One build and at most two venvs a session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.botapi.server import BotApi
from tests.installed.environment import Installed, build, install
from tests.system.telegram import open_telegram


@pytest.fixture(scope="session")
def wheel(short_dir: Path) -> Path:
    return build("wheel", short_dir / "wheel")


@pytest.fixture(scope="session")
def plain(wheel: Path, short_dir: Path) -> Installed:
    """`pip install dozor`."""
    return install(wheel, short_dir / "plain")


@pytest.fixture(scope="session")
def whole(wheel: Path, short_dir: Path) -> Installed:
    """`pip install 'dozor[all]'`."""
    return install(wheel, short_dir / "whole", ["all"])


@pytest.fixture
async def telegram() -> AsyncIterator[BotApi]:
    """The stand-in, in this process."""
    async with open_telegram() as api:
        yield api
