"""Arguments of a checker that it validates itself, so that `dozor check` reports what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])
_ATTRIBUTE = "__dozor_arguments__"

Place: TypeAlias = tuple[str | int, ...]
"""The way to a value within `args`: ("single_source_limit", "TON")."""


@dataclass(frozen=True, slots=True)
class ArgumentProblem:
    """`text` says what is wrong, and what would be right."""

    place: Place
    text: str


Validator: TypeAlias = Callable[[Mapping[str, Any]], Iterable[ArgumentProblem]]
"""Gets `args` as configured, and names every problem. It raises nothing and reads nothing outside."""


def checks_args(validator: Validator) -> Callable[[_F], _F]:
    """Mark a checker whose `args` are judged by `validator` when the configuration is checked."""

    def mark(function: _F) -> _F:
        setattr(function, _ATTRIBUTE, validator)
        return function

    return mark


def argument_problems(function: object, args: Mapping[str, Any]) -> list[ArgumentProblem]:
    """What the validator of `checks_args` finds; empty without one."""
    validator: Validator | None = getattr(function, _ATTRIBUTE, None)
    return [] if validator is None else list(validator(args))
