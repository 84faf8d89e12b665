"""`python -m tests.bot.botapi --port N [--token T]`: the stand-in as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal

from tests.bot.botapi.control import add_control
from tests.bot.botapi.server import TOKEN, BotApi


async def serve(port: int, token: str) -> None:
    api = BotApi(token=token, port=port)
    api.extra_routes = lambda app: add_control(api, app)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with api:
        print(api.url, flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bot.botapi", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port; the address is printed")
    parser.add_argument("--token", default=TOKEN)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.token))


if __name__ == "__main__":
    main()
