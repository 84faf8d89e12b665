"""What is monitored beside the tasks: their dependencies, the event loop, the runner's own resources."""

from __future__ import annotations

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from dozor.config.sections.base import Count, Duration, Kind, Number, Section, Size
from dozor.language import msg


def _tcp(value: object) -> tuple[str, int]:
    if isinstance(value, tuple):
        return value
    form = msg("config-address-form")
    if not isinstance(value, str):
        raise ValueError(msg("config-not-address", value="{value}", form=form))
    host, _, port = value.strip().rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(msg("config-not-address", value="{value}", form=form))
    return host.strip("[]"), int(port)


def _http(value: object) -> str:
    form = msg("config-http-form")
    if not isinstance(value, str):
        raise ValueError(msg("config-not-url", form=form))
    parts = urlsplit(value.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(msg("config-not-http-address", form=form))
    return value.strip()


class DependencyConfig(Section):
    """Something outside that tasks require, checked periodically. Exactly one of the first three keys."""

    tcp: Annotated[
        tuple[str, int] | None, BeforeValidator(lambda v: None if v is None else _tcp(v)), Kind("`host:port`")
    ] = None
    """Up while this port takes connections."""

    http: Annotated[
        str | None, BeforeValidator(lambda v: None if v is None else _http(v)), Kind("http(s) URL")
    ] = None
    """Up while this URL answers with a status below 500."""

    query: Annotated[str | None, Kind("SQL")] = None
    """Up while the runner's own database answers this query, and its first value is not false."""

    every: Duration = 5.0
    """Time between two checks."""

    timeout: Duration = 3.0
    """A check that takes longer counts as failed."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.tcp, self.http, self.query)) != 1:
            raise ValueError(msg("config-one-probe"))
        return self

    def __str__(self) -> str:
        if self.tcp is not None:
            return f"tcp {self.tcp[0]}:{self.tcp[1]}"
        return f"http {self.http}" if self.http is not None else "query"


class SupervisionConfig(Section):
    """How the runner monitors itself."""

    blocked_loop_after: Duration = 1.0
    """How long the event loop may be blocked. After that an alert names what blocks it, also meanwhile."""

    cancel_patience: Duration = 5.0
    """How long a cancelled run may take to end. Then it is cancelled again; as long after that it is hung."""

    setup_timeout: Duration = 30.0
    """How long a `setup` may take to open, and to close. One that is not open then fails the run."""

    watch_config: bool = False
    """Apply a changed config file by itself. Without it: `dozor reload`, or SIGHUP."""


class LimitsConfig(Section):
    """What the runner itself may use. Exceeding a limit raises an alert; nothing is ended. null: no limit."""

    memory: Size | None = None
    """Resident memory of the runner's process."""

    asyncio_tasks: Count | None = None
    """asyncio tasks alive in the runner."""

    open_files: Annotated[Number, Field(gt=0, le=1), Kind("number, 0 to 1")] | None = 0.8
    """Open files and sockets, as a share of what the system allows the process."""

    loop_lag: Duration | None = 0.5
    """Delay of the event loop, the least of the last minute: the loop is busy all the time."""

    database_connections: Annotated[Number, Field(gt=0, le=1), Kind("number, 0 to 1")] | None = 0.9
    """Connections to the database, anybody's, as a share of its `max_connections`."""


def names_in(requires: Any) -> list[str]:
    """The names in a `requires` as written; nothing where it is no list."""
    return [name for name in requires if isinstance(name, str)] if isinstance(requires, list) else []
