"""`dozor.safe_background_task`: the library function, without a runner or a database; nothing is logged."""

from __future__ import annotations

import asyncio

from loguru import logger

from benchmarks.peers.arguments import arguments
from benchmarks.peers.source import supervise
from dozor import safe_background_task

if __name__ == "__main__":
    logger.remove()
    asyncio.run(supervise(arguments(), safe_background_task))
