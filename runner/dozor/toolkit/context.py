"""The context that a checker is given. The runner's Context satisfies it, and `FakeContext` of tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from dozor.storage.postgres.pool import Pool


class Stopping(Protocol):
    """Set when the process is asked to end: finish the present batch and return."""

    def is_set(self) -> bool: ...


class CheckerContext(Protocol):
    """The part of `dozor.Context` that the checkers here use."""

    @property
    def task(self) -> str: ...
    @property
    def db(self) -> Pool: ...
    @property
    def log(self) -> Any: ...
    @property
    def stopping(self) -> Stopping: ...

    def heartbeat(self) -> None:
        """Report progress: the run is not stuck."""

    def progress(self, done: float, total: float) -> None:
        """`done` of `total` items of this run."""

    def alert(self, text: str, severity: str = "warning") -> None:
        """Alert people. `severity` is info, warning or critical."""

    def backlog(self, size: int, oldest_at: datetime | None = None, limit: float | None = None) -> None:
        """`size` items wait; the oldest became due at `oldest_at`, and may wait for `limit` seconds."""
