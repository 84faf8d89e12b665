"""`dozor init`, `dozor try` and `dozor schema`, as processes in a folder of their own."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import click
import pytest

from dozor.cli.project import init as initial
from dozor.cli.project.init import SCHEMA, Choices, system_timezone, write
from dozor.config import load
from dozor.language import Language
from tests.cli.test_honest import run
from tests.system.process import Process

FILES = {"config.yaml", "checkers.py", "test_checkers.py", ".env.example", ".gitignore", SCHEMA}


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("database", ["embedded", "url"])
def test_the_files_fit_each_other(tmp_path: Path, language: Language, database: str) -> None:
    assert set(write(tmp_path, Choices(language, "Europe/Berlin", database))) == FILES
    config = load(tmp_path / "config.yaml", {"DATABASE_URL": "postgresql://u:p@h/d"})
    assert (config.language, config.timezone.key) == (language, "Europe/Berlin")
    assert (config.database.url is None) is (database == "embedded")
    [task] = config.tasks
    # The first alert of a broken checker: the next run, then two pauses.
    assert task.every is not None
    assert task.every + (config.alerts.repeated_errors - 1) * task.restart_delay.initial <= 12
    text = (tmp_path / "config.yaml").read_text()
    assert text.startswith(f"# yaml-language-server: $schema=./{SCHEMA}\n")
    assert "@database@" not in text
    assert "@timezone@" not in text
    assert json.loads((tmp_path / SCHEMA).read_text())["properties"]["tasks"]
    for name in ("DATABASE_URL", "BOT_TOKEN", "ADMINS"):
        assert name in (tmp_path / ".env.example").read_text()
    assert ".env\n" in (tmp_path / ".gitignore").read_text()


@pytest.mark.parametrize("name", sorted(FILES - {".gitignore"}))
@pytest.mark.parametrize("kind", ["file", "folder", "dead link"])
async def test_nothing_is_overwritten(tmp_path: Path, name: str, kind: str) -> None:
    in_the_way = tmp_path / name
    match kind:
        case "file":
            in_the_way.write_text("mine")
        case "folder":
            in_the_way.mkdir()
        case _:
            in_the_way.symlink_to(tmp_path / "nowhere" / "at all")
    ran = await run("init", str(tmp_path), "--yes")
    assert ran.exit_code == 1
    assert name in ran.output
    assert os.listdir(tmp_path) == [name]
    if kind == "file":
        assert in_the_way.read_text() == "mine"


async def test_other_files_and_a_gitignore_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("mine\n")
    (tmp_path / "app.py").write_text("mine\n")
    ran = await run("init", str(tmp_path), "--yes", "--language", "ru")
    assert ran.exit_code == 0
    assert "Дальше" in ran.output
    assert (tmp_path / ".gitignore").read_text() == "mine\n"
    assert "Добавьте в него строки: .dozor/, .env\n" in ran.output
    assert (tmp_path / "app.py").read_text() == "mine\n"
    again = await run("init", str(tmp_path), "--yes")
    assert again.exit_code == 1
    assert all(name in again.output for name in FILES - {".gitignore"})


async def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = await run("init", str(tmp_path / "file" / "below"), "--yes")
    assert ran.exit_code == 1
    assert len(ran.output.strip().splitlines()) == 1
    wrong = await run("init", str(tmp_path / "new"), "--yes", "--timezone", "Mars/Phobos")
    assert wrong.exit_code == 2
    assert not (tmp_path / "new").exists()


def test_at_most_three_questions_and_their_answers_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers = iter(["ru", "Asia/Tokyo", "url"])

    def prompt(text: str, **more: object) -> object:
        asked.append(text)
        return next(answers)

    monkeypatch.setattr(click, "prompt", prompt)
    choices = initial._choices(ask=True, language=None, timezone=None, database=None)
    assert choices == Choices(Language.RU, "Asia/Tokyo", "url")
    assert len(asked) == 3
    given = initial._choices(ask=True, language="en", timezone="UTC", database="url")
    assert given == Choices(Language.EN, "UTC", "url")
    assert len(asked) == 3, "what is given is not asked for"


def test_the_timezone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert system_timezone() == "Europe/Berlin"
    monkeypatch.setenv("TZ", "nonsense/here")
    assert system_timezone()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(
        "from dozor import Fatal\n"
        "async def fine(ctx):\n    ctx.progress(2, 4)\n    ctx.alert('look', severity='critical')\n"
        "async def broken():\n    raise LookupError('no price')\n"
        "def hopeless():\n    raise Fatal('never')\n"
        "async def endless(ctx):\n    ctx.heartbeat()\n    await ctx.stopping.wait(60)\n"
        "async def slow():\n    import asyncio\n    await asyncio.sleep(60)\n"
    )
    (tmp_path / "config.yaml").write_text(
        "language: en\ndatabase: {url: 'postgresql://u:secret-word@127.0.0.1:1/d'}\n"
        "tasks:\n"
        "  fine: {run: 'mine:fine', every: 1h}\n"
        "  broken: {run: 'mine:broken', cron: '0 0 1 1 *'}\n"
        "  hopeless: {run: 'mine:hopeless', every: 1h, enabled: false}\n"
        "  endless: {run: 'mine:endless'}\n"
        "  slow: {run: 'mine:slow', every: 1h, timeout: 200ms}\n"
        "  child: {run: 'mine:broken', every: 1h, isolation: process, max_consecutive_failures: 2}\n"
        "  elsewhere: {run: 'missing:f', every: 1h}\n"
    )
    return tmp_path


TRIES = {
    "fine": (0, ["✓ fine: passed", "progress: 2 of 4", "alert, not sent (critical): look",
                 "ctx.db is not available"]),
    "bro": (1, ["✖ broken: failed", "LookupError: no price", "mine.py", "an alert with failure 3 in a row"]),
    "hopeless": (1, ["Fatal: never", "critical stop at once"]),
    "endless": (0, ["healthy, first heartbeat"]),
    "slow": (1, ["✖ slow: failed"]),
    "child": (1, ["LookupError: no price", "with failure 2 in a row the critical stop"]),
    "elsewhere": (2, ["config.yaml:10", "missing"]),
    "nothing": (1, ["There is no task nothing"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TRIES)
async def test_one_run_without_a_runner(folder: Path, name: str) -> None:
    code, says = TRIES[name]
    ran = await run("try", name, "-c", str(folder / "config.yaml"))
    assert ran.exit_code == code, ran.output
    for words in says:
        assert words in ran.output, ran.output
    assert "secret-word" not in ran.output
    assert not (folder / ".dozor").exists()


async def test_it_runs_again_when_a_file_changes(folder: Path) -> None:
    command = [sys.executable, "-m", "dozor", "try", "broken", "--watch", "-c", str(folder / "config.yaml")]
    process = Process(command, cwd=folder, output=folder / "output")
    try:
        await process.says("Waiting for a change")
        source = folder / "mine.py"
        source.write_text(source.read_text().replace("raise LookupError('no price')", "return"))
        await process.says("✓ broken: passed")
    finally:
        process.kill()


async def test_the_schema_is_printed() -> None:
    ran = await run("schema")
    assert json.loads(ran.stdout)["$schema"].startswith("http://json-schema.org/")


def test_what_is_written_is_the_persons_own(tmp_path: Path) -> None:
    write(tmp_path, Choices(Language.EN, "UTC", "url"))
    assert all(os.access(tmp_path / name, os.W_OK) for name in FILES)
    assert not stat.S_IMODE((tmp_path / "checkers.py").stat().st_mode) & stat.S_IXUSR
