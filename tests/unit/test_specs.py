"""Specifications of many tasks: what they share, and that they are the same as one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dozor.config import load
from dozor.config.imports import checkers as imports
from dozor.config.imports.checkers import Checker, load_with_checkers
from dozor.errors import ConfigError
from dozor.supervision.core.spec import from_config, specs_of

TASKS = """
language: en
tasks:
  one: {run: 'm:f', every: 1s}
  two: {run: 'm:f', every: 1s}
  three: {run: 'm:g', cron: '* * * * *', timezone: Europe/Berlin, requires: [database]}
  four: {run: 'm:g', every: 1s, isolation: thread, args: {n: 1}, max_failures: {count: 3, within: 1h}}
  five: {run: 'm:h', restart_delay: {initial: 1s, factor: 2, max: 9s}, on_critical: {retry_every: 5m}}
"""


async def _f() -> None: ...


async def _g(ctx: object) -> None: ...


def _h() -> None: ...


def test_specifications_of_all_tasks_are_those_of_each(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TASKS)
    config = load(path)
    checkers: dict[str, Checker] = {"one": _f, "two": _f, "three": _g, "four": _g, "five": _h}
    specs = specs_of(config.tasks, checkers)
    assert specs == [from_config(task, checkers[task.name]) for task in config.tasks]
    assert [spec.takes_context for spec in specs] == [False, False, True, True, False]
    assert [spec.isolation.value for spec in specs] == ["inline", "inline", "inline", "thread", "thread"]
    assert specs[2].policy.requires_database
    assert specs[3].policy.max_failures is not None
    assert specs[4].policy.stop_retry_every == 300.0


def test_tasks_with_the_same_rules_share_one_policy(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TASKS)
    one, two, three, *_ = specs_of(
        load(path).tasks, dict.fromkeys(("one", "two", "three", "four", "five"), _f)
    )
    assert one.policy is two.policy
    assert one.policy is not three.policy


def test_a_function_that_many_tasks_name_is_imported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "many_checkers.py").write_text("async def f():\n    pass\n")
    path = tmp_path / "config.yaml"
    lines = [f"  t{number}: {{run: 'many_checkers:f', every: 1s}}" for number in range(20)]
    path.write_text("\n".join(["language: en", "tasks:", *lines]))
    asked: list[str] = []
    imported = imports.import_checker

    def counted(run: str, folder: Path) -> Checker:
        asked.append(run)
        return imported(run, folder)

    monkeypatch.setattr(imports, "import_checker", counted)
    loaded = load_with_checkers(path)
    assert asked == ["many_checkers:f"]
    assert len(loaded.checkers) == 20


def test_each_task_that_names_a_missing_function_has_its_problem(tmp_path: Path) -> None:
    (tmp_path / "few_checkers.py").write_text("async def f(needed):\n    pass\n")
    path = tmp_path / "config.yaml"
    path.write_text(
        "language: en\ntasks:\n"
        "  one: {run: 'few_checkers:missing', every: 1s}\n  two: {run: 'few_checkers:missing', every: 1s}\n"
        "  three: {run: 'few_checkers:f', every: 1s}\n  four: {run: 'few_checkers:f', every: 1s}\n"
        "  five: {run: 'few_checkers:f', every: 1s, args: {needed: 1}}\n"
    )
    with pytest.raises(ConfigError) as raised:
        load_with_checkers(path)
    found = str(raised.value)
    assert [name for name in ("one", "two", "three", "four", "five") if f"tasks.{name}" in found] == [
        "one",
        "two",
        "three",
        "four",
    ]
