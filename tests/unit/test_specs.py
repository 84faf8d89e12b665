"""Specifications of many tasks: what they share, and that they are the same as one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dozor.config import load
from dozor.config.imports import checkers as imports
from dozor.config.imports.checkers import Checker, load_with_checkers
from dozor.errors import ConfigError
from dozor.supervision.core.events import DependencyUp, Failed
from dozor.supervision.core.policy import Intensity, Policy, RestartDelay
from dozor.supervision.core.spec import from_config, offset, specs_of, with_unusable
from dozor.supervision.core.state import Failure, FailureRecord, State, TaskState

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


def test_a_task_without_rules_has_the_policy_that_the_code_has_without_any(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("language: en\ntasks:\n  one: {run: 'm:f'}\n")
    [spec] = specs_of(load(path).tasks, {"one": _f})
    assert spec.policy == Policy()
    assert RestartDelay() == RestartDelay.fixed(60.0)
    assert (spec.unusable, spec.pool) == ("", None)


def test_the_rules_of_a_task_are_those_of_its_policy(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "language: en\ntasks:\n"
        "  one: {run: 'm:f', every: 1s, misfire: skip, timeout: 9s, requires: [database], start_jitter: 8s}\n"
        "  two: {run: 'm:f', every: 1s, misfire: run_once, overdue_after: 5m}\n"
    )
    one, two = specs_of(load(path).tasks, {"one": _f, "two": _f})
    assert (one.policy.skip_missed, two.policy.skip_missed) == (True, False)
    assert (one.policy.timeout, two.policy.timeout) == (9.0, None)
    assert (one.policy.needs, two.policy.needs) == (frozenset({"database"}), frozenset())
    assert (one.policy.requires, one.policy.requires_database) == (frozenset(), True)
    assert one.policy.offset == offset("one", 8.0)
    assert two.policy.overdue_after == 300.0


def test_everything_that_a_task_needs_is_its_dependencies_and_the_database() -> None:
    some = Policy(requires=frozenset({"redis"}))
    assert some.needs == {"redis"}
    assert replace(some, requires_database=True).needs == {"redis", "database"}
    assert Policy(requires_database=True).needs == {"database"}
    assert Policy().needs == frozenset()


def test_the_offset_of_a_task_is_its_share_of_the_jitter_and_the_same_everywhere() -> None:
    assert offset("one", None) == 0.0
    assert offset("one", 60.0) == pytest.approx(60.0 * 2053932785 / 4294967296)
    assert offset("one", 120.0) == 2 * offset("one", 60.0)
    assert {0.0 <= offset(f"task_{number}", 60.0) < 60.0 for number in range(1000)} == {True}


def test_a_task_that_is_unusable_runs_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("language: en\ntasks:\n  one: {run: 'm:f', cron: '0 3 * * *', timezone: UTC}\n")
    [task] = load(path).tasks
    spec = from_config(task, _f, unusable="no memory")
    assert (spec.unusable, spec.policy.run_at_start) == ("no memory", True)
    good = from_config(task, _f)
    assert not good.policy.run_at_start
    other = replace(good, name="two")
    assert with_unusable([good, other], {"two": "why"}) == [
        good,
        replace(other, unusable="why", policy=replace(other.policy, run_at_start=True)),
    ]


def test_delays_and_limits_at_their_edges() -> None:
    delay = RestartDelay(initial=3.0, factor=2.0, max=10.0, jitter=0.5)
    assert [delay.after(n, 0.0) for n in (1, 2, 3, 4)] == [3.0, 6.0, 10.0, 10.0]
    assert [delay.after(1, luck) for luck in (0.5, 1.0)] == [2.25, 1.5]
    assert RestartDelay(factor=10.0, max=7.0).after(100_000, 0.0) == 7.0
    window = Intensity(3, 100.0)
    assert window.recent((), 5.0) == (5.0,)
    assert window.recent((10.0, 11.0, 60.0), 110.0) == (11.0, 60.0, 110.0), "not the one of 100 s ago"
    assert window.recent((5.0, 60.0), 110.0) == (60.0, 110.0)
    assert window.recent((10.0, 20.0, 30.0), 40.0) == (20.0, 30.0, 40.0)
    assert window.recent((50.0, 60.0), 55.0) == (50.0, 55.0), "none of the future: the clock was set"
    assert [window.exceeded((1.0,) * n) for n in (2, 3, 4)] == [False, True, True]


def test_what_events_and_records_say_when_nothing_is_given() -> None:
    failure = Failure("ValueError", "boom", "checker.py:1 in check", "Traceback …")
    assert (failure.timed_out, failure.fatal) == (False, False)
    assert (Failed(failure).jitter, DependencyUp().spread) == (0.0, 0.0)
    assert FailureRecord().failures_total == 0
    assert TaskState() == TaskState(State.WAITING, None, None, None, False, 0, 0, None, None, None)


def test_a_run_of_a_pool_is_timed_by_its_worker_and_only_waited_for_by_the_leader(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "language: en\ndatabase: {url: 'postgresql://dozor@db/dozor'}\n"
        "cluster: {enabled: true, pools: [slow]}\ntasks:\n"
        "  one: {run: 'm:f', every: 1m, timeout: 9s, heartbeat_timeout: 4s, placement: {pool: slow}}\n"
    )
    [task] = load(path).tasks
    leader = from_config(task, _f)
    assert (leader.pool, leader.policy.timeout, leader.policy.heartbeat_timeout) == ("slow", None, None)
    worker = from_config(task, _f, on_worker=True)
    assert (worker.pool, worker.policy.timeout, worker.policy.heartbeat_timeout) == (None, 9.0, 4.0)
