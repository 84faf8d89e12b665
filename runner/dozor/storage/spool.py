"""The spool: a file with unwritten messages, for the time while the database is away.

If a runner is killed then, its record of sent messages is lost: the next one would repeat them unmarked,
and leave messages without an end. The next start takes the file up; it goes once the database has it all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loguru import logger
from pydantic import TypeAdapter, ValidationError

from dozor.config.places import make_folder
from dozor.language import msg
from dozor.process.threads import in_own_thread
from dozor.storage.tables.incidents import IncidentRow
from dozor.storage.tables.notifications import NotificationRow
from dozor.storage.tables.tasks import TaskRow

NAME = "unwritten.json"
KEPT_WITHIN = 2.0
"""Seconds that a message waits for the disk."""
ASIDE = ".left"
"""Appended to the name of a file that nobody can take up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolState:
    """What a runner had not written, and what of its messages it had tried to send all the same, by key."""

    runner_id: int
    tasks: tuple[TaskRow, ...] = ()
    incidents: tuple[IncidentRow, ...] = ()
    notifications: tuple[NotificationRow, ...] = ()
    delivered: Mapping[str, int | None]
    """With the transport's ids of the messages."""
    elsewhere: frozenset[str]
    unknown: frozenset[str]
    place: tuple[int, int | None, int | None] | None = None
    """The chat, topic and bot that the ids of `delivered` belong to; None: not known."""


_FILE = TypeAdapter(SpoolState)


class Spool:
    """The file at `path`. What cannot be kept or read is logged, and is no reason to stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._there = False
        self._removed = 0
        # How often, to notice one that came while the file was being written.
        self._failed = False
        self._writing: asyncio.Task[str | None] | None = None

    async def keep(self, kept: SpoolState) -> None:
        """In place of what was kept before. A disk that does not answer holds nobody up for long."""
        if self._writing is None or self._writing.done():
            self._there = True
            self._writing = asyncio.create_task(self._write(kept, self._removed))
            await asyncio.wait([self._writing], timeout=KEPT_WITHIN)
        problem = self._writing.result() if self._writing.done() else msg("log-disk-silent")
        if problem is not None and not self._failed:
            logger.error(
                msg("log-spool-not-kept", path=self._path, problem=problem),
            )
        self._failed = problem is not None

    def remove(self) -> None:
        """The database has it all."""
        if not self._there:
            return
        self._there = False
        self._removed += 1
        try:
            self._path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return  # it could not be kept
        except OSError as error:
            logger.error(msg("log-spool-not-removed", path=self._path, error=error))

    def read(self) -> SpoolState | None:
        """What the runner before this one kept; None: nothing, or nothing that can be understood."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.error(msg("log-spool-unreadable", error=error))
            return None
        self._there = True
        try:
            return _FILE.validate_json(text)
        except ValidationError as error:
            self.quarantine(msg("log-spool-foreign", count=error.error_count()))
            return None

    def quarantine(self, why: str) -> None:
        """Nobody can take it up, and nothing is lost."""
        self._there = False
        aside = self._path.with_name(self._path.name + ASIDE)
        logger.warning(msg("log-spool-aside", path=self._path, name=aside.name, why=why))
        try:
            self._path.replace(aside)
        except OSError as error:
            logger.error(msg("log-spool-stuck", path=self._path, error=error))

    async def _write(self, kept: SpoolState, removed: int) -> str | None:
        """What is wrong, None: it is kept."""
        try:
            await in_own_thread(self._replace, kept)
        except (OSError, ValueError) as error:
            return str(error)
        if removed != self._removed:  # meanwhile
            self._there = True
            self.remove()
        return None

    def _replace(self, kept: SpoolState) -> None:
        text = _FILE.dump_json(kept)
        make_folder(self._path.parent)
        new = self._path.with_name(self._path.name + ".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(text)
        new.replace(self._path)
