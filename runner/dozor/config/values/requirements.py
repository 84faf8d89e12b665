"""What a task may require beside the dependencies of its configuration. Without pydantic, as `schedules`."""

from __future__ import annotations

DATABASE = "database"
"""Dozor's own database: always known as a dependency."""
