"""The function that Dozor began from: a loop with a delay after each run, and a count of failures.

It keeps nothing and logs its start once. A run is due a second after the previous one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from benchmarks.peers.arguments import Arguments, arguments, nothing
from benchmarks.suite.recorder import Beat

logger = logging.getLogger(__name__)


async def safe_background_task(
    task_name: str,
    task_func: Callable[[], Awaitable[object]],
    restart_delay: float = 60,
    max_consecutive_failures: int = 5,
) -> None:
    failures = 0
    while failures < max_consecutive_failures:
        try:
            logger.info("Запуск фоновой задачи: %s", task_name)
            await task_func()
            failures = 0
        except asyncio.CancelledError:
            logger.info("Фоновая задача %s отменена", task_name)
            raise
        except Exception as error:
            failures += 1
            logger.exception(
                "Ошибка в фоновой задаче %s (попытка %d/%d): %s",
                task_name,
                failures,
                max_consecutive_failures,
                error,
            )
            logger.info("Перезапуск задачи %s через %s секунд...", task_name, restart_delay)
        await asyncio.sleep(restart_delay)
    logger.critical("Фоновая задача %s остановлена после %d последовательных ошибок", task_name, failures)


async def main(given: Arguments) -> None:
    await supervise(given, safe_background_task)


async def supervise(
    given: Arguments, function: Callable[[str, Callable[[], Awaitable[object]], float], Awaitable[None]]
) -> None:
    """All tasks by `function`, begun over one second."""
    every = given.tasks // given.recorded

    def checker(number: int) -> Callable[[], Awaitable[object]]:
        if number % every:
            return nothing
        beat = Beat(given.recorder, fixed_rate=False)

        async def recorded() -> None:
            beat.ran()

        return recorded

    async def begun(number: int) -> None:
        await asyncio.sleep(number / given.tasks)
        await function(f"task_{number:05}", checker(number), 1.0)

    await asyncio.gather(*(asyncio.create_task(begun(number)) for number in range(given.tasks)))


if __name__ == "__main__":
    asyncio.run(main(arguments()))
