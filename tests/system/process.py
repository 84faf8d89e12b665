"""A real process of the tests': its output in a file, waited for with deadlines, ended by its pid."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.preloaded.processes import DOZOR as DOZOR
from tests.preloaded.processes import start
from tests.waiting import until

PATIENCE = 30.0
"""Seconds that anything may take on a busy machine."""


class Process:
    """Runs `command`; standard output and error together in `output`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        output: Path,
        env: Mapping[str, str] | None = None,
        constants: Mapping[str, float] | None = None,
    ) -> None:
        self._output = output
        with output.open("wb") as file, open(os.devnull, "rb") as nothing:
            self._popen = start(
                command,
                cwd=cwd,
                env={**_quiet_environment(), **(env or {})},
                stdin=nothing.fileno(),
                stdout=file.fileno(),
                stderr=file.fileno(),
                constants=constants,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self._output.read_text(errors="replace")

    async def says(self, words: str, *, times: int = 1, within: float = PATIENCE) -> None:
        """Until `words` stand in its output (`times` times). AssertionError if it ends or is silent."""
        try:
            await until(lambda: self.text.count(words) >= times or not self.alive, within=within)
        except TimeoutError:
            pass
        assert self.text.count(words) >= times, f"never said {words!r}; it said:\n{self.text[-4000:]}"

    async def ends(self, *, within: float = PATIENCE) -> int:
        """Its exit code. AssertionError with what it said if it does not end."""
        try:
            await until(lambda: not self.alive, within=within)
        except TimeoutError:
            raise AssertionError(f"does not end; it said:\n{self.text[-4000:]}") from None
        return self._popen.wait()

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ends()

    def kill(self) -> None:
        """kill -9; returns when it is gone. One that has ended already is left alone."""
        self._popen.kill()
        self._popen.wait()


def _quiet_environment() -> dict[str, str]:
    """Nothing of the machine's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "PYTHONPATH") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
