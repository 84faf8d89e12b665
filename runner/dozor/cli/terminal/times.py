"""Times as the command line prints them: in the configured zone, which is named."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def in_zone(at: float, zone: ZoneInfo) -> str:
    """`at`: seconds since the epoch."""
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S %Z}"
