"""Dozor: supervises background checkers, restarts them, stops them, alerts the people on call.

Packages, upper layers first; each imports only those below it:
    app             composition: builds and runs everything from the configuration
    cli             the command line
    web             health, metrics and the status page
    control         commands of people, and the queries behind what they see
    toolkit         for people's own checkers: queues, cursors, quarantine, backlog
    testing         for tests of people's own checkers: FakeContext, a pytest plugin
    cluster         several processes on one database: the lease, leadership
    alerting        incidents, notifications, delivery
    supervision     the state machine of a task, the control loop, runs
    storage         PostgreSQL: write-behind queue, a module a table family, migrations
    config          config.yaml, typed and checked
    language        Russian and English texts
    process         the process itself: threads, descriptors, forks, streams, beginning and end
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dozor.alerting.fallback.telegram_alert import TelegramAlert
    from dozor.app import Runner
    from dozor.errors import Fatal, Superseded
    from dozor.supervision.background import (
        BackgroundAlert,
        CriticalStop,
        Recovery,
        RepeatedErrors,
        safe_background_task,
    )
    from dozor.supervision.runs.context import Context

__all__ = [
    "BackgroundAlert",
    "Context",
    "CriticalStop",
    "Fatal",
    "Recovery",
    "RepeatedErrors",
    "Runner",
    "Superseded",
    "TelegramAlert",
    "safe_background_task",
]

_HOMES = {
    "BackgroundAlert": "dozor.supervision.background",
    "CriticalStop": "dozor.supervision.background",
    "Recovery": "dozor.supervision.background",
    "RepeatedErrors": "dozor.supervision.background",
    "TelegramAlert": "dozor.alerting.fallback.telegram_alert",
    "Context": "dozor.supervision.runs.context",
    "Fatal": "dozor.errors",
    "Runner": "dozor.app",
    "Superseded": "dozor.errors",
    "safe_background_task": "dozor.supervision.background",
}


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are asked for: the command line starts without most of them."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    """The public names too, although they are not loaded yet."""
    return sorted({*globals(), *__all__})
