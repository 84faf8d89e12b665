"""For tests of people's own checkers: `FakeContext`, and a pytest plugin (`dozor.testing.plugin`).

The plugin is loaded at every start of pytest in an environment with Dozor in it, so this module imports
nothing until a name is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dozor.testing.context import Alert, Backlog, FakeContext, Progress

__all__ = ["Alert", "Backlog", "FakeContext", "Progress"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dozor.testing import context

    return getattr(context, name)
