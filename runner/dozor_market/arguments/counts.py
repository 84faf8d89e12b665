"""Numbers in the arguments of checkers that are not money: batches, workers, seconds. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from dozor.arguments import ArgumentProblem
from dozor.language import msg

MOST_SECONDS: Final = 10**10
"""About three centuries."""
SHOWN: Final = 60
"""Characters of a wrong value that an error quotes."""


def check_queue_args(args: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """What is wrong with `batch`, `workers` and `behind_after` of a checker that drains a queue."""
    yield from count_problems(args, "batch", "workers")
    yield from seconds_problems(args, "behind_after", optional=True, zero=True)


def count_problems(args: Mapping[str, Any], *names: str) -> Iterator[ArgumentProblem]:
    """The arguments `names` that are given and are not whole numbers of at least 1."""
    for name in names:
        if name in args and (type(args[name]) is not int or not 1 <= args[name] < 2**31):
            yield ArgumentProblem((name,), msg("config-arg-count", value=repr(args[name])[:SHOWN]))


def seconds_problems(
    args: Mapping[str, Any], *names: str, optional: bool = False, zero: bool = False
) -> Iterator[ArgumentProblem]:
    """The arguments `names` that are given and are not seconds above 0.

    optional: null is allowed. zero: 0 is allowed.
    """
    for name in names:
        if name not in args or (optional and args[name] is None):
            continue
        value = args[name]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= MOST_SECONDS or (value == 0 and not zero):  # NaN fails as well
            key = "config-arg-seconds-or-zero" if zero else "config-arg-seconds"
            yield ArgumentProblem((name,), msg(key, value=repr(value)[:SHOWN]))
