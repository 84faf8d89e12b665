"""Every command's output on terminals of several widths, in both languages, from a runner at work.

`python -m tests.cli.captures FOLDER [LANGUAGE-COLUMNS…]` writes them there, with colours, to be looked at;
`test_captures.py` checks them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import tempfile
import termios
import threading
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.preloaded.processes import DOZOR, start
from tests.waiting import until

WIDTHS = (40, 80, 120)
LANGUAGES = ("en", "ru")
CHECKERS = """
import sys

async def fine(ctx):
    ctx.progress(3, 10)

async def broken():
    raise ConnectionError("支払いサーバー 🚨 payments.example: the gateway refused " + "x" * 50)

async def prints():
    print("a line of a checker")
"""
CONFIG = """
language: {language}
database: {{url: "{url}"}}
databases: {{shop: "postgresql://u:p@127.0.0.1:1/shop"}}
web: {{listen: null}}
defaults: {{max_consecutive_failures: 3}}
alerts: {{repeated_errors: 2}}
oncall:
  people: {{ann: 111, bob: 222}}
  rotation: {{people: [ann, bob], shift: 168h, start: "2026-01-05 10:00"}}
tasks:
  orders: {{run: "mine:fine", every: 1h, run_at_start: true, description: "Заказы 🛒 без оплаты, every hour"}}
  a_task_with_a_rather_long_name_of_its_40: {{run: "mine:fine", every: 1h, timeout: 5m}}
  payments: {{run: "mine:broken", every: 1h, run_at_start: true, restart_delay: 100ms}}
  paused: {{run: "mine:prints", cron: "*/5 * * * *", timeout: 1m}}
"""
BAD = """
databse: {{}}
language: {language}
alerts: {{remind_every: soon}}
tasks:
  a b: {{run: nothing, every: -1, cron: "* * * * 99"}}
  d: {{run: "mine:fine", requires: [redis], max_runs: 3}}
"""
C, BROKEN = ("-c", "config.yaml"), ("-c", "bad.yaml")
SCENES: dict[str, tuple[str, ...]] = {
    "help": ("--help",),
    "status-help": ("status", "--help"),
    "run-help": ("run", "--help"),
    "service-help": ("service", "install", "--help"),
    "no-command": ("stats",),
    "no-option": ("status", "--foo"),
    "bad-number": ("run", "--grace", "x"),
    "missing-argument": ("history",),
    "check": ("check", *C),
    "check-bad": ("check", *BROKEN),
    "check-none": ("check", "-c", "none.yaml"),
    "status": ("status", *C),
    "status-one": ("status", "payments", *C),
    "status-fine": ("status", "orders", *C),
    "status-unknown": ("status", "paiments", *C),
    "history": ("history", "payments", *C),
    "errors": ("errors", "payments", *C),
    "errors-none": ("errors", "orders", *C),
    "incidents": ("incidents", *C),
    "why": ("why", "1", *C),
    "why-none": ("why", "999", *C),
    "replicas": ("replicas", *C),
    "doctor": ("doctor", *C),
    "try": ("try", "orders", *C),
    "try-failing": ("try", "payments", *C),
    "try-unknown": ("try", "o_rders", *C),
    "oncall": ("oncall", *C),
    "oncall-hand-over": ("oncall", "ann", "4h", *C),
    "oncall-unknown": ("oncall", "carol", *C),
    "ack": ("ack", "1", *C),
    "ack-none": ("ack", "nonsense", *C),
    "silence": ("silence", "payments", "1h", "a new server is being installed", *C),
    "silence-unclear": ("silence", "payments", "soon", *C),
    "silence-how-long": ("silence", "payments", *C),
    "unsilence": ("unsilence", "payments", *C),
    "pause": ("pause", "paused", *C),
    "restart-unknown": ("restart", "nosuch", *C),
    "reload": ("reload", *C),
    "health": ("health", *C),
    "migrate-check": ("migrate", "--check", *C),
    "migrate": ("migrate", *C),
    "market": ("market", "pending", *C),
    "service": ("service", "install", "--user", *C),
    "service-bad": ("service", "install", "--name", "a b", *C),
    "telegram": ("telegram", "setup", *C),
}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Capture:
    """What `name` printed on a terminal of `columns`; `text` with its colours."""

    name: str
    columns: int
    text: str
    code: int

    @property
    def lines(self) -> list[str]:
        return ESCAPES.sub("", self.text).split("\n")


def columns_of(text: str) -> int:
    """Columns that a terminal needs for `text`: two for wide characters and emoji, none for marks."""
    return sum(
        0
        if unicodedata.combining(one) or one in "\u200d\ufe0f"
        else 2
        if unicodedata.east_asian_width(one) in "WF"
        else 1
        for one in text
    )


def environment(language: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LC_", "LANG", "DOZOR_")) and name not in ("COLUMNS", "NO_COLOR", "BOT_TOKEN")
    }
    names = {"ru": "ru_RU.UTF-8", "en": "C.UTF-8"}
    return {**kept, "LC_ALL": names[language], "PYTHONUTF8": "1", "TERM": "xterm-256color"}


class OnTerminal:
    """A process of `dozor ARGUMENTS` on a terminal `columns` wide; `text` is what it has printed so far."""

    def __init__(self, folder: Path, language: str, columns: int, arguments: tuple[str, ...]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
        with open(os.devnull, "rb") as nothing:
            self.process = start(
                [DOZOR, *arguments],
                cwd=folder,
                env=environment(language),
                stdin=nothing.fileno(),
                stdout=theirs,
                stderr=theirs,
            )
        os.close(theirs)
        self._said = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return self._said.decode(errors="replace").replace("\r\n", "\n")

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            self._said += piece
        os.close(self._ours)

    def end(self) -> int:
        """Its exit code, once everything is read."""
        code = self.process.wait(120)
        self._reader.join(20)
        return code


def capture(folder: Path, language: str, columns: int, name: str) -> Capture:
    return played(folder, language, columns, name, SCENES[name])


def played(folder: Path, language: str, columns: int, name: str, arguments: tuple[str, ...]) -> Capture:
    terminal = OnTerminal(folder, language, columns, arguments)
    code = terminal.end()
    return Capture(name, columns, terminal.text, code)


def prepared(folder: Path, language: str, url: str) -> None:
    (folder / "mine.py").write_text(CHECKERS, encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG.format(language=language, url=url), encoding="utf-8")
    (folder / "bad.yaml").write_text(BAD.format(language=language), encoding="utf-8")


@contextmanager
def at_work(folder: Path, language: str, columns: int) -> Iterator[OnTerminal]:
    """`dozor run` until its task has stopped."""
    terminal = OnTerminal(folder, language, columns, ("run", "-c", "config.yaml"))
    stopped = {"en": "stopped after 3", "ru": "остановлена после 3"}[language]
    try:
        asyncio.run(until(lambda: stopped in terminal.text or terminal.process.poll() is not None, within=60))
        yield terminal
    finally:
        terminal.process.send_signal(signal.SIGTERM)
        terminal.end()


def captures(
    folder: Path, language: str, columns: int, names: tuple[str, ...] = tuple(SCENES)
) -> list[Capture]:
    """Each command beside a runner; `run`, its start and its end; `init` in a folder of its own."""
    (folder / f"new-{columns}").mkdir()
    with at_work(folder, language, columns) as runner, ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda name: capture(folder, language, columns, name), names))
        place = f"new-{columns}"
        found.append(played(folder / place, language, columns, "init", ("init", "--yes")))
        found.append(played(folder, language, columns, "init-again", ("init", place, "--yes")))
    return [*found, Capture("run", columns, runner.text, runner.process.wait())]


def main(target: Path, *wanted: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for language in LANGUAGES:
        for columns in WIDTHS:
            if wanted and f"{language}-{columns}" not in wanted:
                continue
            with tempfile.TemporaryDirectory(prefix="dz", dir="/tmp") as name:
                folder = Path(name)
                prepared(folder, language, "embedded")
                for one in captures(folder, language, columns):
                    (target / f"{language}-{columns}-{one.name}.txt").write_text(one.text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
