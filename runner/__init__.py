"""Dozor: supervises background checkers, restarts them, stops them, tells the people on call.

A map of the house:
    app             the composition root
    cli             the command line
    demo            the whole story on a made-up marketplace: `dozor demo`
    web             health, metrics and the status page
    checkers        the marketplace's own checkers, and a toolkit to write others
    control         commands of people, and what they see
    alerting        incidents, messages owed, their delivery
    supervision     the state machine of a task, the control loop, runs
    storage         PostgreSQL: the journal (the one door for writes), a module a table family, migrations
    config          config.yaml, typed and checked
    language        Russian and English
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.app import Runner
    from runner.errors import Fatal
    from runner.supervision.background import safe_background_task
    from runner.supervision.context import Context

__all__ = ["Context", "Fatal", "Runner", "safe_background_task"]

_HOMES = {
    "Context": "runner.supervision.context",
    "Fatal": "runner.errors",
    "Runner": "runner.app",
    "safe_background_task": "runner.supervision.background",
}


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are asked for: the command line starts without most of them."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
