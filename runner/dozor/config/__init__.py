"""`config.yaml`: read, checked as a whole, typed.

Language of a file's errors: `config.yaml:LINE: where.it.is: what is wrong; what would be right`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dozor.config.loading import load
    from dozor.config.sections.alerts import AlertsConfig
    from dozor.config.sections.config import (
        ChatTarget,
        Config,
        DatabaseConfig,
        ListenAddress,
        PoolsConfig,
        TelegramConfig,
        WebConfig,
    )
    from dozor.config.sections.tasks import (
        Isolation,
        Misfire,
        Requirement,
        RestartDelay,
        RetryEvery,
        Stop,
        TaskAlerts,
        TaskConfig,
    )
    from dozor.config.values.schedules import Continuous, Cron, Every, Schedule
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
    "AlertsConfig": "dozor.config.sections.alerts",
    "ChatTarget": "dozor.config.sections.config",
    "Config": "dozor.config.sections.config",
    "ConfigError": "dozor.errors",
    "Continuous": "dozor.config.values.schedules",
    "Cron": "dozor.config.values.schedules",
    "DatabaseConfig": "dozor.config.sections.config",
    "Every": "dozor.config.values.schedules",
    "Isolation": "dozor.config.sections.tasks",
    "ListenAddress": "dozor.config.sections.config",
    "Misfire": "dozor.config.sections.tasks",
    "PoolsConfig": "dozor.config.sections.config",
    "Requirement": "dozor.config.sections.tasks",
    "RestartDelay": "dozor.config.sections.tasks",
    "RetryEvery": "dozor.config.sections.tasks",
    "Schedule": "dozor.config.values.schedules",
    "Stop": "dozor.config.sections.tasks",
    "TaskAlerts": "dozor.config.sections.tasks",
    "TaskConfig": "dozor.config.sections.tasks",
    "TelegramConfig": "dozor.config.sections.config",
    "WebConfig": "dozor.config.sections.config",
    "load": "dozor.config.loading",
}


def __getattr__(name: str) -> Any:
    """Loaded when asked for: what only needs a module below this one does not pay for pydantic (0.3 s)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
