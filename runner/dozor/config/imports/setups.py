"""Whether a function can be used as a `setup`: it has to return an async context manager."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from inspect import Parameter
from typing import Any

from dozor.config.imports.signatures import parameters_of
from dozor.config.values.fields import nearest
from dozor.language import msg

DATABASES, RESOURCES = "databases", "resources"
GIVEN = (DATABASES, RESOURCES)
"""Parameters that a setup may have: `ctx.databases`, and the value of the runner's setup."""
_OF_CONTEXTLIB = contextlib.__file__


def given_to(function: Callable[..., Any]) -> frozenset[str]:
    """Which of `GIVEN` the function takes by name."""
    return frozenset(parameters_of(function) or ()).intersection(GIVEN)


def check_setup(function: Callable[..., Any]) -> Iterator[str]:
    """What keeps `function` from being used as a setup."""
    kind = _kind(function)
    if kind is not None:
        yield kind
        return
    for name, parameter in (parameters_of(function) or {}).items():
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            continue
        by_name = parameter.kind is not Parameter.POSITIONAL_ONLY
        if parameter.default is Parameter.empty and not (by_name and name in GIVEN):
            yield msg("config-setup-parameter", name=name, hint=nearest(name, GIVEN))


def _kind(function: Callable[..., Any]) -> str | None:
    if inspect.isclass(function):
        if hasattr(function, "__aenter__") and hasattr(function, "__aexit__"):
            return None
        return msg("config-setup-class", name=function.__name__)
    if inspect.isasyncgenfunction(function):
        return msg("config-setup-undecorated", decorator="contextlib.asynccontextmanager")
    if inspect.isgeneratorfunction(function) or _is_of_contextmanager(function):
        return msg("config-setup-sync")
    if inspect.iscoroutinefunction(function):
        return msg("config-setup-coroutine")
    return None


def _is_of_contextmanager(function: Callable[..., Any]) -> bool:
    """Made by `contextlib.contextmanager`: with `async with` it cannot be entered."""
    code = getattr(function, "__code__", None)
    inner = getattr(function, "__wrapped__", None)
    return code is not None and code.co_filename == _OF_CONTEXTLIB and inspect.isgeneratorfunction(inner)
