"""What a checker returned: awaited if it can be awaited, a failure if it is code that nothing would run."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import suppress
from types import CoroutineType, GeneratorType
from typing import Any

from dozor.errors import NeverRanError
from dozor.language import msg

DEEPEST = 20
"""Awaitables that return awaitables are followed this far."""


async def awaited(result: Any) -> None:
    """Await `result`, and what that returns, until it is a plain value, which is dropped.

    A call of an async function behind a plain decorator, a lambda or a partial returns a coroutine: unless
    it is awaited, the checker has not run. Raises NeverRanError for generators.
    """
    for _ in range(DEEPEST):
        if result is None:
            return
        if _is(result, concurrent.futures.Future):
            result = await asyncio.wrap_future(result)
        elif _is_awaitable(result):
            result = await result
        elif (what := generator_kind(result)) is not None:
            await _close(result)
            raise NeverRanError(msg("error-never-iterated", what=what))
        else:
            return
    discard(result)
    raise NeverRanError(msg("error-awaitables-nested", times=DEEPEST))


def may_need_awaiting(result: Any) -> bool:
    """Whether `awaited` does anything with it; to be asked where a value is the usual case."""
    return result is not None and (
        _is_awaitable(result) or _is(result, concurrent.futures.Future) or generator_kind(result) is not None
    )


def generator_kind(result: Any) -> str | None:
    """ "a generator", "an async generator" or a context manager made of one; None for anything else."""
    if _is(result, AsyncGenerator):
        return msg("error-async-generator")
    if _is(result, Generator):
        return msg("error-generator")
    if type(result).__module__ == "contextlib" and generator_kind(getattr(result, "gen", None)) is not None:
        return msg("error-generator-context")
    return None


def discard(result: Any) -> None:
    """Drop a result that nobody is going to await, without the warning that it was never awaited."""
    if _is(result, CoroutineType):
        result.close()
    elif _is(result, asyncio.Future):
        result.cancel()


async def _close(generator: Any) -> None:
    """One that has begun gets to its `finally` now, and not in the garbage collector."""
    with suppress(Exception):
        if isinstance(generator, AsyncGenerator):
            await generator.aclose()
        elif isinstance(generator, Generator):
            generator.close()


def _is(value: Any, kind: type[Any]) -> bool:
    """By its type alone: `isinstance` asks the object for its class, which may run code of its own."""
    return issubclass(type(value), kind)


def _is_awaitable(value: Any) -> bool:
    """As `inspect.isawaitable`."""
    if _is(value, GeneratorType):
        return bool(value.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE)
    return _is(value, Awaitable)
