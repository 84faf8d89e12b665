"""A bot of one's own that polls. Dozor sends alerts with the same token, and takes no updates."""

import asyncio
import os

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import CommandStart
from aiogram.types import Message

from dozor import Runner

dispatcher = Dispatcher()


@dispatcher.message(CommandStart())
async def hello(message: Message, runner: Runner) -> None:
    tasks = ", ".join(f"{task.spec.name}: {task.state.state}" for task in runner.supervisor.tasks)
    await message.answer(f"Hello from the shop. {tasks}")


async def main() -> None:
    api = TelegramAPIServer.from_base(os.environ.get("BOT_API", "https://api.telegram.org"))
    bot = Bot(os.environ["BOT_TOKEN"], session=AiohttpSession(api=api))
    async with Runner.from_config("config.yaml", grace=5.0) as runner:
        await dispatcher.start_polling(bot, runner=runner)  # until SIGTERM or SIGINT
    print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
