"""A program of one's own that ends on SIGTERM and on Ctrl-C: Dozor takes no signals."""

import asyncio
import signal

from dozor import Runner


async def main() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Runner.from_config("config.yaml", grace=5.0) as runner:
        print("ready", flush=True)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((stopping, runner.failed), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if runner.failed.done():
            raise runner.failed.result()
    print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
