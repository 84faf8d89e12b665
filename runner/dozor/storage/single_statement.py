"""Several writes as one statement: one round trip and one commit, for what people wait for."""

from __future__ import annotations

import re
from typing import Any

from dozor.storage.postgres.pool import Connection, Row

_PARAMETER = re.compile(r"\$(\d+)")


class AtOnce:
    """Stands in for a connection while statements are collected, then sends them as one.

    They see the state before all of them, so no two may touch the same row; each is an INSERT or an UPDATE.
    """

    def __init__(self) -> None:
        self._statements: list[str] = []
        self._arguments: list[Any] = []
        self._returning = "SELECT 1"

    async def execute(self, statement: str, *arguments: Any) -> None:
        """Collect it."""
        self._add(statement, arguments, "1")

    def returning(self, columns: str, statement: str, *arguments: Any) -> None:
        """Collect it; its `columns` are what `run` gives."""
        self._returning = f"TABLE s{len(self._statements)}"
        self._add(statement, arguments, columns)

    async def run(self, connection: Connection) -> list[Row]:
        """Carry all of it out, or none."""
        parts = [f"s{number} AS ({text})" for number, text in enumerate(self._statements)]
        rows: list[Row] = await connection.fetch(
            f"WITH {', '.join(parts)} {self._returning}",
            *self._arguments,
        )
        return rows

    def _add(self, statement: str, arguments: tuple[Any, ...], columns: str) -> None:
        offset = len(self._arguments)
        numbered = _PARAMETER.sub(lambda match: f"${int(match[1]) + offset}", statement)
        self._statements.append(f"{numbered.strip()} RETURNING {columns}")
        self._arguments.extend(arguments)
