"""Keys whose value is one word of several. Without pydantic, as `schedules`: child processes import them."""

from __future__ import annotations

from enum import StrEnum


class Isolation(StrEnum):
    """Where a run happens."""

    INLINE = "inline"
    THREAD = "thread"
    PROCESS = "process"


class Misfire(StrEnum):
    """What becomes of ticks that passed while nothing could run."""

    RUN_ONCE = "run_once"
    SKIP = "skip"


class OnHang(StrEnum):
    """What becomes of a run that ignores its cancellation."""

    ABANDON = "abandon"
    EXIT = "exit"


class Requirement(StrEnum):
    """What a task may require."""

    DATABASE = "database"


class Pooling(StrEnum):
    """What a connection to `database.url` gets of the server."""

    SESSION = "session"
    TRANSACTION = "transaction"
