"""Whether a function can be called as a checker."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from typing import Any

from dozor.config.values.choices import Isolation
from dozor.config.values.fields import nearest
from dozor.extras import install_command, is_installed, needed_extra
from dozor.language import msg

CONTEXT = "ctx"
LAYERS = 20
"""Wrappers around a function that are looked through."""


def parameters_of(function: Callable[..., Any]) -> Mapping[str, Parameter] | None:
    """None where Python has no signature, as for some functions written in C."""
    try:
        return inspect.signature(function).parameters
    except (ValueError, TypeError):
        return None


def takes_context(function: Callable[..., Any]) -> bool:
    """Whether it wants `ctx`: it is called as `function(ctx=ctx, **args)`, otherwise `function(**args)`."""
    parameters = parameters_of(function)
    return parameters is not None and CONTEXT in parameters


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine."""
    call = getattr(type(function), "__call__", None)  # noqa: B004 -- an object with an async __call__ is meant
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def isolation_of(function: Callable[..., Any], configured: Isolation | None) -> Isolation:
    """Where its runs happen: as configured, or on the loop for `async def`, in a thread for `def`."""
    if configured is not None:
        return configured
    return Isolation.INLINE if is_async(function) else Isolation.THREAD


def check_kind(function: Callable[..., Any]) -> str | None:
    """Why a callable is no checker at all, or None."""
    if inspect.isclass(function):
        return msg("config-is-class", name=function.__name__)
    *outer, innermost = _layers(function)
    if not _is_generator(innermost) or any(map(inspect.iscoroutinefunction, outer)):
        return None
    if not outer:
        return msg("config-has-yield")
    name = getattr(innermost, "__qualname__", innermost)
    return msg("config-wraps-yield", name=name)


def may_be_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine, or it wraps a function of which that is true."""
    return is_async(function) or any(map(inspect.iscoroutinefunction, _layers(function)))


def what_it_is(function: Callable[..., Any]) -> str:
    """In words, what a callable is that is not simply a function, down to the function that does the work."""
    *outer, innermost = _layers(function)
    words = [_layer(layer) for layer in outer]
    if not words:
        return ""
    name = getattr(innermost, "__qualname__", None) or repr(type(innermost).__name__)
    kind = "async def" if inspect.iscoroutinefunction(innermost) else "def"
    text = msg("config-found", layers=" → ".join(words), function=f"{kind} {name}")
    if inspect.iscoroutinefunction(innermost) and not is_async(function):
        text = f"{text}; {msg('config-found-awaited')}"
    return text


def _layer(layer: Any) -> str:
    if isinstance(layer, functools.partial):
        return "functools.partial"
    if inspect.ismethod(layer):
        owner = layer.__self__
        if inspect.isclass(owner):
            return msg("config-found-class-method", owner=owner.__qualname__)
        return msg("config-found-method", owner=type(owner).__qualname__)
    if inspect.isroutine(layer):
        return msg("config-found-wrapper", name=getattr(layer, "__qualname__", "?"))
    return msg("config-found-object", owner=type(layer).__qualname__)


def _layers(function: Any) -> list[Any]:
    """`function` and what it wraps, innermost last: partial, method, `functools.wraps`, `__call__`."""
    layers = [function]
    while len(layers) < LAYERS:
        function = layers[-1]
        inner: Any = None
        if isinstance(function, functools.partial):
            inner = function.func
        elif inspect.ismethod(function):
            inner = function.__func__
        elif "__wrapped__" in getattr(function, "__dict__", ()):
            inner = function.__wrapped__
        elif not inspect.isroutine(function) and not inspect.isclass(function):
            inner = getattr(type(function), "__call__", None)  # noqa: B004 -- as in is_async
        if inner is None or any(inner is layer for layer in layers):
            break
        layers.append(inner)
    return layers


def _is_generator(function: Any) -> bool:
    """A function of `types.coroutine` looks like one, and can be awaited."""
    if inspect.isasyncgenfunction(function):
        return True
    code = getattr(function, "__code__", None)
    awaitable = code is not None and code.co_flags & inspect.CO_ITERABLE_COROUTINE
    return inspect.isgeneratorfunction(function) and not awaitable


def check_function(
    function: Callable[..., Any], args: Mapping[str, Any] | None, *, blocking: bool
) -> Iterator[tuple[str, str]]:
    """What keeps `function` from being called as a checker: keys of the task, and sentences.

    `args`: None if they are not known. `blocking`: whether it may be a plain function, which may block.
    """
    unusable = check_kind(function)
    if unusable is not None:
        yield "run", unusable
        return
    extra = needed_extra(function)
    if extra is not None and not is_installed(extra):
        yield "run", msg("config-needs-extra", command=install_command(extra))
    if args is not None:
        for text in check_call(function, args):
            yield "args", text
    if not blocking and not may_be_async(function):
        yield "isolation", msg("config-blocking-def")


def _accepted(known: list[str]) -> str:
    if not known:
        return msg("config-takes-nothing")
    names = ", ".join(known)
    return msg("config-it-takes", names=names)


def check_call(function: Callable[..., Any], args: Mapping[str, Any]) -> Iterator[str]:
    """What keeps `function(ctx=ctx, **args)` from working."""
    if CONTEXT in args:
        yield msg("config-ctx-in-args")
    parameters = parameters_of(function)
    if parameters is None:
        return
    open_ended = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    by_name = {
        name
        for name, parameter in parameters.items()
        if parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    }
    known = sorted(by_name - {CONTEXT})
    for name in args:
        if name not in by_name and not open_ended:
            hint = nearest(name, known) or _accepted(known)
            yield msg("config-no-argument", name=name, hint=hint)
    for name, parameter in parameters.items():
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            if parameter.default is Parameter.empty or name == CONTEXT:
                yield msg("config-positional-only", name=name)
        elif (
            parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
            and parameter.default is Parameter.empty
            and name != CONTEXT
            and name not in args
        ):
            yield msg("config-needs-argument", name=name)
