"""`config.yaml`: read, checked as a whole, typed.

Language of a file's errors: `config.yaml:LINE: where.it.is: what is wrong; what would be right`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dozor.config.alerts import AlertsConfig
    from dozor.config.loading import load
    from dozor.config.models import (
        ChatTarget,
        Config,
        DatabaseConfig,
        ListenAddress,
        PoolsConfig,
        TelegramConfig,
        WebConfig,
    )
    from dozor.config.schedules import Continuous, Cron, Every, Schedule
    from dozor.config.tasks import (
        Isolation,
        Misfire,
        Requirement,
        RestartDelay,
        RetryEvery,
        Stop,
        TaskAlerts,
        TaskConfig,
    )
    from dozor.errors import ConfigError

__all__ = [
    "AlertsConfig",
    "ChatTarget",
    "Config",
    "ConfigError",
    "Continuous",
    "Cron",
    "DatabaseConfig",
    "Every",
    "Isolation",
    "ListenAddress",
    "Misfire",
    "PoolsConfig",
    "Requirement",
    "RestartDelay",
    "RetryEvery",
    "Schedule",
    "Stop",
    "TaskAlerts",
    "TaskConfig",
    "TelegramConfig",
    "WebConfig",
    "load",
]

_HOMES = {
    "AlertsConfig": "dozor.config.alerts",
    "ChatTarget": "dozor.config.models",
    "Config": "dozor.config.models",
    "ConfigError": "dozor.errors",
    "Continuous": "dozor.config.schedules",
    "Cron": "dozor.config.schedules",
    "DatabaseConfig": "dozor.config.models",
    "Every": "dozor.config.schedules",
    "Isolation": "dozor.config.tasks",
    "ListenAddress": "dozor.config.models",
    "Misfire": "dozor.config.tasks",
    "PoolsConfig": "dozor.config.models",
    "Requirement": "dozor.config.tasks",
    "RestartDelay": "dozor.config.tasks",
    "RetryEvery": "dozor.config.tasks",
    "Schedule": "dozor.config.schedules",
    "Stop": "dozor.config.tasks",
    "TaskAlerts": "dozor.config.tasks",
    "TaskConfig": "dozor.config.tasks",
    "TelegramConfig": "dozor.config.models",
    "WebConfig": "dozor.config.models",
    "load": "dozor.config.loading",
}


def __getattr__(name: str) -> Any:
    """Loaded when asked for: what only needs a module below this one does not pay for pydantic (0.3 s)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
