"""What real processes print, in both languages: none of it mixes the two."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.preloaded.processes import Started, run, start
from tests.templates import Templates
from tests.waiting import until

CHECKER = """
async def fine(): ...
async def broken(): raise ValueError("x=1")
"""
GOOD = """
language: auto
web: {listen: null}
database: {data_dir: pg}
alerts: {repeated_errors: 1}
tasks:
  presales: {run: "mine:fine", every: 1s}
  prices: {run: "mine:broken", every: 1s, restart_delay: 100ms, max_consecutive_failures: 2}
"""
BAD = """
language: auto
databse: {}
telegram: {token: abc}
alerts: {remind_every: soon, severity: {hun: loud}}
web: {listen: "99999"}
tasks:
  a b: {run: nothing, every: -1, cron: "* * * * 99"}
  c: {run: "mine:fin", isolation: box, timeout: yes}
  d: {run: "mine:fine", requires: [redis], max_runs: 3}
"""
ENVIRONMENTS = {"ru": {"LC_ALL": "ru_RU.UTF-8"}, "en": {"LC_ALL": "C.UTF-8"}}
COMMANDS = [
    ("--help",), ("--version",), ("status", "--help"), ("run", "--help"), ("demo", "--help"),
    ("doctor", "--help"), ("health", "--help"), ("stats",), ("status", "--foo"),
    ("migrate", "--help"), ("market", "--help"), ("market", "approve", "--help"),
    ("market", "rescan", "--help"), ("why", "--help"),
    ("market", "pending", "--help"), ("run", "--grace", "x"), ("history",),
    ("init", "--help"), ("try", "--help"), ("telegram", "setup", "--help"), ("errors", "--help"),
    ("ack", "--help"), ("silence", "--help"), ("unsilence", "--help"), ("oncall", "--help"),
    ("schema", "--help"), ("restart", "x", "-c", "good.yaml"),
    ("oncall", "-c", "good.yaml"), ("errors", "nothing", "-c", "good.yaml"),
    ("check", "-c", "none.yaml"), ("check", "-c", "bad.yaml"),
    ("service", "--help"), ("service", "install", "--help"), ("service", "install", "--name", "a b"),
    ("service", "install", "-c", "good.yaml"), ("service", "install", "-c", "good.yaml", "--user"),
    ("check", "-c", "good.yaml"), ("status", "-c", "good.yaml"), ("doctor", "-c", "good.yaml"),
]  # fmt: skip
LATIN = re.compile(r"[A-Za-z]{2,}")
NAMES = re.compile(
    r"""
    \S+\.py:\d+\ in\ \S+
    | `[^`]*` | '[^']*' | "[^"]*" | @\w+ | https?://\S+ | \S*[/_.:=]\S* | -{1,2}[a-z-]+
    | \{[a-z|]+\}
    | \[[a-zA-Z|]+\] | \b[A-Z][A-Z_]+\b | [A-Za-z]+Error\b
    """,
    re.VERBOSE,
)
"""Quoted words, paths, keys, options, choices, units of the configuration and exceptions."""
KNOWN = frozenset(
    [
        "API",
        "Apprise",
        "Bot",
        "Ctrl",
        "Dozor",
        "JSON",
        "PostgreSQL",
        "replicas",
        "Python",
        "Schema",
        "Telegram",
        "UTF",
        "ValueError",
        "ack",
        "alerts",
        "all",
        "alias",
        "alive",
        "already",
        "approve",
        "attribute",
        "auto",
        "broken",
        "cancel",
        "check",
        "cli",
        "completion",
        "cron",
        "daemon",
        "database",
        "databse",
        "demo",
        "doctor",
        "done",
        "dozor",
        "embedded",
        "enable",
        "errors",
        "every",
        "false",
        "fine",
        "fsync",
        "fin",
        "function",
        "quarantined",
        "reassign",
        "release",
        "health",
        "install",
        "journalctl",
        "linger",
        "loginctl",
        "history",
        "human",
        "hung",
        "id",
        "incidents",
        "init",
        "inline",
        "isolation",
        "json",
        "loop",
        "market",
        "max",
        "migrate",
        "module",
        "nothing",
        "now",
        "null",
        "oncall",
        "orders",
        "pause",
        "pending",
        "presales",
        "prices",
        "process",
        "ready",
        "reject",
        "reload",
        "repeated",
        "rescan",
        "restart",
        "resume",
        "root",
        "run",
        "schema",
        "service",
        "setup",
        "silence",
        "status",
        "stop",
        "sudo",
        "systemctl",
        "systemd",
        "tasks",
        "telegram",
        "thread",
        "timeout",
        "token",
        "traceback",
        "true",
        "try",
        "unsilence",
        "useradd",
        "user",
        "web",
        "why",
        "without",
    ]
)
"""Words of the configuration, of the test's own tasks, and names."""


def mixed(text: str, language: str, folder: Path) -> list[str]:
    """Lines with words of the other language. Names, paths, keys and code stand in both."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).replace(str(folder), "/").replace(socket.gethostname(), "")
    if language == "en":
        return [line for line in text.splitlines() if re.search("[а-яё]", line, re.IGNORECASE)]
    return [line for line in text.splitlines() if set(LATIN.findall(NAMES.sub(" ", line))) - KNOWN]


def dozor(folder: Path, language: str, *arguments: str) -> str:
    done = run(*arguments, cwd=folder, env=environment(language))
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def environment(language: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return {**kept, **ENVIRONMENTS[language], "PYTHONUTF8": "1"}


@pytest.fixture
def folder(short_dir: Path, request: pytest.FixtureRequest) -> Path:
    folder = short_dir / f"lang-{abs(hash(request.node.name)) % 10_000}"
    folder.mkdir()
    for name, text in (("mine.py", CHECKER), ("good.yaml", GOOD), ("bad.yaml", BAD)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder


EACH = """
import contextlib, io, json, runpy, sys
said = []
for arguments in json.load(open("commands.json")):
    sys.argv = ["dozor", *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            runpy.run_module("dozor", run_name="__main__")
        except SystemExit:
            pass
    said.append(output.getvalue())
print(json.dumps(said))
"""


@pytest.mark.parametrize("language", ["ru", "en"])
def test_no_command_mixes_two_languages(folder: Path, language: str) -> None:
    """One interpreter runs all of them, one after the other."""
    (folder / "commands.json").write_text(json.dumps(COMMANDS))
    done = subprocess.run(
        [sys.executable, "-c", EACH], cwd=folder, env=environment(language), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    for arguments, output in zip(COMMANDS, json.loads(done.stdout), strict=True):
        assert "Traceback" not in output, output
        assert output.strip(), arguments
        assert not mixed(output, language, folder), arguments
        if language == "ru" and arguments != ("--version",):
            assert re.search("[а-яё]", output), arguments


def started(folder: Path, language: str, log: Path) -> Started:
    with log.open("wb") as output, open(os.devnull, "rb") as nothing:
        return start(
            [sys.executable, "-m", "dozor", "run", "-c", "good.yaml", "--log-format", "human"],
            cwd=folder,
            env=environment(language),
            stdin=nothing.fileno(),
            stdout=output.fileno(),
            stderr=output.fileno(),
        )


@pytest.mark.parametrize("language", ["ru", "en"])
async def test_a_run_and_the_commands_beside_it_do_not_mix_two_languages(
    folder: Path, templates: Templates, language: str
) -> None:
    templates.copy_plain(folder / "pg")
    log = folder / "log"
    process = started(folder, language, log)
    try:
        stopped = {"ru": "остановлена после 2", "en": "stopped after 2"}[language]
        await until(lambda: stopped in log.read_text("utf-8"), within=120)
        outputs = [
            await asyncio.to_thread(dozor, folder, language, *arguments, "-c", "good.yaml")
            for arguments in (
                ("status",), ("status", "prices"), ("history", "prices"), ("incidents",),
                ("pause", "presales"), ("pause", "presales"), ("resume", "presales"), ("pause", "nothing"),
                ("doctor",), ("reload",), ("health",),
            )
        ]  # fmt: skip
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    for text in outputs:
        assert not mixed(text, language, folder)
    # Without the tracebacks, which are Python's.
    lines = [line for line in log.read_text("utf-8").splitlines() if re.match(r"[0-9]{4}-|[│]", line)]
    levels = re.compile(r"^\S+ \S+ +(DEBUG|INFO|WARNING|ERROR|CRITICAL) +(\[[^]]*\])?")
    assert not mixed("\n".join(levels.sub("", line) for line in lines), language, folder)
    assert {"ru": "Дозор", "en": "Dozor"}[language] in log.read_text("utf-8")


def test_a_configuration_without_the_key_speaks_russian(folder: Path) -> None:
    (folder / "config.yaml").write_text("tasks: {a: {run: nothing}}", encoding="utf-8")
    assert "это не функция" in dozor(folder, "en", "check")


def test_the_key_of_a_broken_file_is_followed(folder: Path) -> None:
    (folder / "config.yaml").write_text("language: en\ntasks: {", encoding="utf-8")
    assert "is not closed properly" in dozor(folder, "ru", "check")
    (folder / "config.yaml").write_text("language: ru\ntasks: {", encoding="utf-8")
    assert "закрыта неправильно" in dozor(folder, "en", "check")
