"""Dozor's lines, and those of `ctx.log`, in the standard library's logging."""

import asyncio
import logging
import signal

from loguru import logger

from dozor import Runner


class ToLogging(logging.Handler):
    """A sink of loguru: hands each record to the logger named after its module."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s [%(name)s] %(message)s")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    runner = Runner.from_config("config.yaml", grace=5.0)
    logger.remove()  # loguru's own handler, which shows values of variables in tracebacks
    redact = runner.redactor.redact
    logger.configure(patcher=lambda record: record.update(message=redact(record["message"])))
    logger.add(ToLogging(), format="{message}", level="INFO", backtrace=False, diagnose=False)
    async with runner:
        await stop.wait()
    logging.getLogger("app").info("stopped")


if __name__ == "__main__":
    asyncio.run(main())
