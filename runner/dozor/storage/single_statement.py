"""Combines several writes into one statement: one round trip and one commit."""

from __future__ import annotations

import re
from typing import Any

from dozor.storage.postgres.pool import Connection

_PARAMETER = re.compile(r"\$(\d+)")


class StatementBatch:
    """Replaces a connection while statements are collected, then sends them as one.

    They see the state before all of them, so no two may touch the same row; each is an INSERT or an UPDATE.
    """

    def __init__(self) -> None:
        self._statements: list[str] = []
        self._arguments: list[Any] = []

    async def execute(self, statement: str, *arguments: Any) -> None:
        """Collect it."""
        self._add(statement, arguments)

    async def run(self, connection: Connection) -> None:
        """Carry all of it out, or none."""
        parts = [f"s{number} AS ({text})" for number, text in enumerate(self._statements)]
        await connection.execute(f"WITH {', '.join(parts)} SELECT 1", *self._arguments)

    def _add(self, statement: str, arguments: tuple[Any, ...]) -> None:
        offset = len(self._arguments)
        numbered = _PARAMETER.sub(lambda match: f"${int(match[1]) + offset}", statement)
        self._statements.append(f"{numbered.strip()} RETURNING 1")
        self._arguments.extend(arguments)
