"""The runner on uvloop."""

import asyncio
import signal

import uvloop

from dozor import Runner


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Runner.from_config("config.yaml", grace=5.0):
        print("ready on", type(asyncio.get_running_loop()).__module__, flush=True)
        await stop.wait()
    print("stopped", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
