"""Responses that several requests share: computed at most once a second under load."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

REUSED_FOR = 1.0
"""Seconds that an answer is given again under load."""
LOAD = 10
"""Questions of one kind within `REUSED_FOR` that are no load yet: each has an answer of its own."""
KEPT = 32
"""Answers kept of one kind, for different questions."""


@dataclass(slots=True)
class _Made(Generic[V]):
    task: asyncio.Task[V]
    good_until: float = 0.0
    """On the loop's clock, once it is made."""


class Reused(Generic[K, V]):
    """Makes the answers to requests of one kind. A request meanwhile waits for the same answer."""

    def __init__(self) -> None:
        self._made: dict[K, _Made[V]] = {}
        self._asked: deque[float] = deque(maxlen=LOAD)

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """The answer to `key`. Raises what `make` raises, to everyone who waits for it; it is not kept."""
        now = asyncio.get_running_loop().time()
        load = len(self._asked) == LOAD and now - self._asked[0] < REUSED_FOR
        self._asked.append(now)
        made = self._made.get(key)
        if made is None or (made.task.done() and not (load and now < made.good_until)):
            made = _Made(asyncio.create_task(self._make(key, make)))
            self._made.pop(key, None)
            self._made[key] = made
            while len(self._made) > KEPT:
                del self._made[next(iter(self._made))]
        # Shielded: a client that goes away must not cancel the answer of the others.
        return await asyncio.shield(made.task)

    async def _make(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        task = asyncio.current_task()
        try:
            value = await make()
        except BaseException:
            self._forget(key, task)
            raise
        made = self._made.get(key)
        if made is not None and made.task is task:
            loop = asyncio.get_running_loop()
            made.good_until = loop.time() + REUSED_FOR
            loop.call_later(REUSED_FOR, self._forget, key, task)
        return value

    def _forget(self, key: K, task: asyncio.Task[V] | None) -> None:
        made = self._made.get(key)
        if made is not None and made.task is task:
            del self._made[key]
