"""The processes of a campaign: three replicas and two workers, each behind its own pgbouncer and link."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import yaml

from tests.cluster.chaos.judge import BY_COMMAND
from tests.cluster.chaos.proxy import Link
from tests.pgbouncer import PgBouncer
from tests.preloaded import processes
from tests.system.process import DOZOR
from tests.system.telegram import ADMIN, TOKEN

LEASE = 3.0
"""Seconds: the shortest that is allowed."""
SICK = 12
"""Tasks that fail in turn."""
COMMANDED = 12
"""Tasks that commands run in turn: the same command within 10 s would be refused as a repeat."""
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)

# libfaketime changes the time-outs by which threads take turns: an import in a thread stops the event loop.
IMPORTED_FIRST = "import dozor_bot.app; from dozor.cli import main; main()"


class Replica:
    """`dozor run` under a name, restarted as often as it is asked to. `worker`: only for runs of pools."""

    def __init__(
        self,
        name: str,
        folder: Path,
        link: Link,
        bouncer: PgBouncer,
        *,
        timer: bool,
        worker: bool = False,
    ) -> None:
        self.name = name
        self.worker = worker
        self.link = link
        self.deaths: dict[int, float] = {}
        """When each process that has died was found dead, by CLOCK_MONOTONIC."""
        self.offset = 0
        """Hours by which the wall clock of the present process is ahead."""
        self.ended: list[str] = []
        """How processes ended, for people."""
        self.bouncer = bouncer
        self._folder = folder
        self._log = folder / f"{name}.log"
        self._timer = timer
        self._popen: processes.Started | None = None
        self._handle = -1

    @property
    def pid(self) -> int:
        """0: there is no process."""
        return 0 if self._popen is None else self._popen.pid

    def start(self, *, offset: int = 0) -> None:
        """`offset`: hours by which its wall clock is ahead."""
        self.offset = offset
        command = [str(DOZOR)] if self._timer else [sys.executable, "-m", "tests.cluster.chaos.replica"]
        env: dict[str, str] = {
            name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "PYTHONPATH") if name in os.environ
        }
        env |= {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "CHAOS_URL": self._url()}
        if not self._timer:
            env["PYTHONPATH"] = str(ROOT)
        if offset:
            env |= _wrong_clock(offset)
            if self._timer:
                command = [sys.executable, "-c", IMPORTED_FIRST]
        role = ("--role", "worker") if self.worker else ()
        with self._log.open("ab") as log, open(os.devnull, "rb") as nothing:
            self._popen = processes.start(
                [*command, "run", "-c", self._folder / "config.yaml", "--grace", "2", *role],
                cwd=self._folder,
                env=env,
                stdin=nothing.fileno(),
                stdout=log.fileno(),
                stderr=log.fileno(),
            )
        self._handle = os.pidfd_open(self._popen.pid)

    def signal(self, number: signal.Signals) -> None:
        if self._popen is not None:
            with suppress(ProcessLookupError):
                self._popen.send_signal(number)

    def died(self) -> bool:
        """Has it ended? Then it is noted, once."""
        if self._popen is None:
            return False
        ready, _, _ = select.select([self._handle], [], [], 0)
        if not ready:
            return False
        now = time.monotonic()
        code = self._popen.wait()
        self.deaths[self._popen.pid] = now
        self.ended.append(f"{self._popen.pid}: {code}")
        os.close(self._handle)
        self._popen = None
        return True

    def close(self) -> None:
        if self._popen is not None:
            self.signal(signal.SIGKILL)
            self._popen.wait()
            self.died()
        self.bouncer.close()

    def _url(self) -> str:
        return self.bouncer.dsn.replace(f"port={self.bouncer.port}", f"port={self.link.port}")


def write_config(folder: Path, api_url: str) -> None:
    """One configuration for all; the address of the database comes from the environment."""
    shutil.copy(HERE / "checkers.py", folder / "chaos_checkers.py")
    steady: Mapping[str, object] = {"run": "chaos_checkers:work", "every": "300ms", "restart_delay": "200ms"}
    tasks = {f"work_{number}": dict(steady) for number in range(3)}
    tasks["long"] = {"run": "chaos_checkers:work", "every": "500ms", "args": {"seconds": 1.0}}
    for number in range(SICK):  # several, as one that fails again and again is told of as flapping
        tasks[f"sick_{number}"] = {
            "run": "chaos_checkers:sick",
            "every": "2s",
            "restart_delay": "300ms",
            "max_consecutive_failures": None,
            "alerts": {"repeated_errors": 2},
        }
    for number in range(3):
        tasks[f"pool_{number}"] = {
            "run": "chaos_checkers:in_pool",
            "every": "700ms",
            "restart_delay": "300ms",
            "max_consecutive_failures": None,
            "placement": "pool",
            "args": {"seconds": 1.0 if number == 0 else 0.2},
        }
    for number in range(COMMANDED):
        tasks[f"{BY_COMMAND}_{number}"] = {
            "run": "chaos_checkers:by_command",
            # Not `every: 24h`: a leader that follows one whose clock was ahead begins that anew, at once.
            "cron": "0 0 29 2 *",
            "run_at_start": False,
        }
    whole = {
        "language": "en",
        "database": {"url": "${CHAOS_URL}", "pooling": "transaction"},
        "cluster": {"enabled": True, "lease_ttl": f"{LEASE:g}s"},
        "telegram": {"token": TOKEN, "api_url": api_url, "chat": ADMIN, "admins": [ADMIN]},
        "alerts": {"reopen_within": "1s"},  # each time of failures is an incident of its own
        "web": {"listen": None},
        "state_dir": "state",
        "tasks": tasks,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))


def _wrong_clock(hours: int) -> dict[str, str]:
    library = next((path for path in FAKETIME if Path(path).exists()), None)
    if library is None:
        raise FileNotFoundError("libfaketime is not installed (Debian: apt-get install faketime)")
    return {
        "LD_PRELOAD": library,
        "FAKETIME": f"{hours:+d}h",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
