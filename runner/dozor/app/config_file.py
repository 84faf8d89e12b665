"""The configuration file of a member that does not lead: what it would lead with by now."""

from __future__ import annotations

from pathlib import Path

from dozor.app.surroundings import config_digest
from dozor.config.loading import load
from dozor.control.reload import stamp
from dozor.errors import ConfigError
from dozor.language.process import language_in_use
from dozor.process.threads import in_own_thread


class ConfigFile:
    """`digest`: of the file as it was read last. One that cannot be used leaves it as it is."""

    def __init__(self, path: Path, digest: str) -> None:
        self._path = path
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
            except ConfigError:
                return  # reported by the leader, or when this process begins to lead
            self.digest = await in_own_thread(config_digest, config)
        self._seen = now
