"""`config.yaml`: read, checked as a whole, typed.

Language of a file's errors: `config.yaml:LINE: where.it.is: what is wrong; what would be right`.
"""

from __future__ import annotations

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
from dozor.config.tasks import (
    Continuous,
    Cron,
    Every,
    Isolation,
    Misfire,
    Requirement,
    RestartDelay,
    RetryEvery,
    Schedule,
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
