"""The configuration file of a member that does not lead: what it would lead with by now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dozor.app.surroundings import config_digest
from dozor.cluster.replicas import refused_digest
from dozor.config.loading import load
from dozor.control.reload import stamp
from dozor.errors import ConfigError
from dozor.language.process import language_in_use
from dozor.process.threads import in_own_thread


class ConfigFile:
    """`digest`: of the file as it was read last, or what is wrong with it."""

    def __init__(self, path: Path, digest: str, redact: Callable[[str], str] = str) -> None:
        """`digest`: of the configuration that was read from `path` at the start."""
        self._path = path
        self._redact = redact
        self.digest = digest
        self._applied: tuple[int, int] | None = None
        self._seen: tuple[int, int] | None = None

    async def refresh(self) -> None:
        """Read the file if it has changed, and has then stayed the same since the last call."""
        now = stamp(self._path)
        if now is not None and now == self._seen and now != self._applied:
            self._applied = now
            try:
                config = await in_own_thread(load, self._path, language=language_in_use())
            except ConfigError as error:
                self.digest = refused_digest([self._redact(problem) for problem in error.problems])
                return
            self.digest = await in_own_thread(config_digest, config)
        self._seen = now
