"""Bare asyncio loops: each task sleeps until its next second. The least that this work can cost."""

from __future__ import annotations

import asyncio
import time

from benchmarks.peers.arguments import Arguments, arguments, nothing


async def main(given: Arguments) -> None:
    loop = asyncio.get_running_loop()
    wall = time.time() - loop.time()
    begin = loop.time() + 0.05

    async def beat(offset: float) -> None:
        at = begin + offset
        while True:
            await asyncio.sleep(at - loop.time())
            await nothing()
            at += 1.0

    async def recorded_beat(offset: float) -> None:
        at = begin + offset
        while True:
            await asyncio.sleep(at - loop.time())
            given.recorder.ran(at + wall)
            await nothing()
            at += 1.0

    every = given.tasks // given.recorded
    beats = [
        asyncio.create_task((beat if number % every else recorded_beat)(number / given.tasks))
        for number in range(given.tasks)
    ]
    await asyncio.gather(*beats)


if __name__ == "__main__":
    asyncio.run(main(arguments()))
