"""loguru's logger is shared by the process: what a checker configures there must not raise in the runner.

A sink that is added with `catch=False`, a patcher, a filter or a format function of a library is called with
each line that Dozor logs, in the middle of its own work.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from loguru import logger

OURS = ("dozor", "dozor_bot", "dozor_market")
"""Packages whose lines nobody turns off."""


def own_logger() -> None:
    """For a process of ours. From here on

    - an error of a sink, a filter or a format function, also SystemExit, is written to standard error;
    - an error of a patcher is dropped, with what it has changed of the line so far left as it is;
    - `logger.disable` does not turn off Dozor's own lines.
    """
    kind: Any = type(logger)
    add, configure, disable = kind.add, kind.configure, kind.disable

    @wraps(add)
    def caught_add(self: Any, sink: Any, **options: Any) -> int:
        options["catch"] = True
        for name in ("filter", "format"):
            if _is_function(options.get(name)):
                options[name] = _without_exits(options[name])
        if _is_function(sink) and not inspect.iscoroutinefunction(sink):
            sink = _without_exits(sink)
        number: int = add(self, sink, **options)
        return number

    @wraps(configure)
    def caught_configure(self: Any, **options: Any) -> list[int]:
        if callable(options.get("patcher")):
            options["patcher"] = _quiet(options["patcher"])
        numbers: list[int] = configure(self, **options)
        return numbers

    @wraps(disable)
    def partly_disable(self: Any, name: str | None) -> None:
        disable(self, name)
        for package in OURS:
            self.enable(package)

    kind.add, kind.configure, kind.disable = caught_add, caught_configure, partly_disable


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type) and not hasattr(value, "write")


def _without_exits(function: Callable[..., Any]) -> Callable[..., Any]:
    """loguru catches an Exception of it, and nothing else."""

    @wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception:
            raise
        except BaseException as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    return call


def _quiet(patcher: Callable[[Any], Any]) -> Callable[[Any], None]:
    """`patcher`, of which the first error is written to standard error, and none is raised."""
    said = False

    def patch(record: Any) -> None:
        nonlocal said
        try:
            patcher(record)
        except BaseException as error:  # noqa: BLE001 -- a library's own; it must not reach who logs a line
            if not said:
                said = True
                sys.stderr.write(f"patcher of the log: {type(error).__name__}\n")

    return patch
