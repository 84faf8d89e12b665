"""Built-in requirements of tasks, beside the named dependencies. Without pydantic, as `schedules`."""

from __future__ import annotations

DATABASE = "database"
"""Dozor's own database: always known as a dependency."""
