"""`python manage.py supervise`"""

import asyncio
import signal

from django.core.management.base import BaseCommand

from dozor import Runner


class Command(BaseCommand):
    help = "Supervise the checkers of config.yaml until SIGTERM."

    def handle(self, *args: object, **options: object) -> None:
        asyncio.run(self.supervise())

    async def supervise(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with Runner.from_config("config.yaml", grace=5.0):
            self.stdout.write("ready")
            self.stdout.flush()
            await stop.wait()
        self.stdout.write("stopped")
