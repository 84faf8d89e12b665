"""Databases of the user's own, by name: pools for checkers, apart from Dozor's own pools."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr, model_validator

from dozor.config.sections.base import Duration, Kind, PoolSize, Section
from dozor.config.values import addresses
from dozor.language import msg

_SCHEMES = ("postgresql", "postgres")


def _url(value: object) -> SecretStr:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or text.strip().partition("://")[0].lower() not in _SCHEMES:
        raise ValueError(msg("config-named-database-url"))
    return SecretStr(addresses.parse_database_url(text) or "")


class NamedDatabase(Section):
    """A PostgreSQL of your own. A URL alone stands for a mapping with `url`. See
    [your database](databases.md).
    """

    url: Annotated[SecretStr, BeforeValidator(_url), Kind("`postgresql://…`")]
    """Where it is. Its password is kept out of logs and messages."""

    pool_size: PoolSize = 5
    """The most connections at once, of all checkers in the runner's process. Each task with `isolation:
    process` has a pool of its own of this size.
    """

    acquire_timeout: Duration = 30.0
    """A run that waits longer for a connection, while other runs hold all of them, fails with
    `PoolExhaustedError`, which names the holders.
    """

    connect_timeout: Duration = 10.0
    """A server that takes longer to accept a connection counts as away: the run fails."""

    command_timeout: Duration | None = 30.0
    """A statement that takes longer fails with `TimeoutError`. null: no limit."""

    statement_cache: bool = True
    """false: behind a pgbouncer that pools transactions."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str | SecretStr) or value is None else value
