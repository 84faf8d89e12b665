"""Tasks that are written alike are validated once: with the same result as each by itself."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dozor.config import ConfigError, TaskConfig
from dozor.config.alike import AlikeTasks, shape_of
from dozor.config.imports.checkers import load_with_checkers
from dozor.config.values.fields import parse_timezone
from tests.unit.configuring import problems, read

KEYS: dict[str, list[Any]] = {
    "run": ["m:f", " m:g ", "m:C.f", "m", 3, None],
    "every": [1, 1.0, True, "1s", "2m", 0, None],
    "cron": ["* * * * *", "x", None],
    "args": [{}, {"a": 1}, {"a": True}, {"a": [1, {"b": "x"}]}, None, [1]],
    "description": ["", "text", None, 7, [1]],
    "restart_delay": ["1s", {"initial": "1s", "factor": 2}, {"initial": "1s", "factor": 2.0}, {"factor": 2}],
    "max_consecutive_failures": [1, True, "1", 5, None],
    "isolation": ["inline", "process", "none"],
    "max_memory": ["64MB"],
    "overdue_after": ["1s", "1h"],
    "requires": [["database"], ["other"], [], None],
    "setup": ["m:s", "s"],
    "alerts": [{"repeated_errors": 2}, {"severity": {"failed": "critical"}}, {"unknown": 1}],
    "enabled": [True, False, "no", 0],
    "timezone": ["UTC", "Nowhere"],
    "unknown": [1],
}
OWN = st.dictionaries(st.sampled_from(sorted(KEYS)), st.integers(0, 6)).map(
    lambda chosen: {key: KEYS[key][index % len(KEYS[key])] for key, index in chosen.items()}
)
NAMES = ["a", "b", "c", "-d", "all"]


def found(
    folder: Path, tasks: dict[str, Any], defaults: dict[str, Any]
) -> tuple[list[tuple[TaskConfig, set[str]]], set[str]]:
    """The tasks with the keys that they were given, and the problems without their lines."""
    text = f"language: en\ndefaults: {json.dumps(defaults)}\ntasks: {json.dumps(tasks)}\n"
    try:
        config = read(folder, text)
    except ConfigError as error:
        return [], {line.split(": ", 1)[1] for line in error.problems}
    return [(task, task.model_fields_set) for task in config.tasks], set()


@settings(deadline=None)
@given(st.lists(OWN, min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=2, max_size=5), OWN)
def test_many_together_are_what_each_is_alone(
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[dict[str, Any]],
    chosen: list[int],
    defaults: dict[str, Any],
) -> None:
    folder = tmp_path_factory.mktemp("alike")
    tasks = {
        name: {"run": "m:f", **kinds[which % len(kinds)]} for name, which in zip(NAMES, chosen, strict=False)
    }
    alone = [found(folder, {name: own}, defaults) for name, own in tasks.items()]
    together = found(folder, tasks, defaults)
    said = set().union(*(texts for _, texts in alone))
    assert together == ([] if said else [task for found, _ in alone for task in found], said)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"every": 1}, {"every": True}),
        ({"every": 1}, {"every": 1.0}),
        ({"enabled": False}, {"enabled": 0}),
        ({"requires": ["database"]}, {"requires": "database"}),
        ({"restart_delay": {"factor": 1}}, {"restart_delay": {"factor": True}}),
        ({"description": ""}, {"description": None}),
        ({"args": {}}, {"args": None}),
        ({"every": 1}, {"timeout": 1}),
    ],
)
def test_what_yaml_tells_apart_has_another_shape(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert shape_of(one) != shape_of(other)


def test_of_an_invalid_value_there_is_no_shape_and_no_task_alike() -> None:
    assert shape_of({"every": object()}) is None
    alike = AlikeTasks()
    own = {"run": "m:f", "every": "1s"}
    shape = shape_of(own)
    assert shape is not None
    assert alike.find(shape, "a", own) is None
    task = alike.add(shape, TaskConfig.model_validate({**own, "name": "a"}))
    assert alike.find(shape, "b", {**own, "run": "m:g"}) == task.model_copy(
        update={"name": "b", "run": "m:g"}
    )
    assert alike.find(shape, "all", own) is None
    assert alike.find(shape, "b", {**own, "run": "m"}) is None


def test_an_empty_description_is_an_empty_text_of_every_task(tmp_path: Path) -> None:
    config = read(tmp_path, "tasks:\n  a: {run: 'm:f', description: }\n  b: {run: 'm:f', description: }\n")
    assert [task.description for task in config.tasks] == ["", ""]


def test_empty_arguments_are_none_of_every_task(tmp_path: Path) -> None:
    first, second = read(tmp_path, "tasks:\n  a: {run: 'm:f', args: }\n  b: {run: 'm:f', args: }\n").tasks
    assert (first.args, second.args) == ({}, {})
    assert first.args is not second.args


def test_a_task_with_a_problem_of_several_keys_is_no_example(tmp_path: Path) -> None:
    text = "tasks:\n" + "".join(
        f"  {name}: {{run: 'm:f', every: 1m, overdue_after: 30s}}\n" for name in "abc"
    )
    assert [line.split(":")[1] for line in problems(tmp_path, text)] == ["2", "3", "4"]


def test_arguments_and_functions_stay_those_of_their_task(tmp_path: Path) -> None:
    (tmp_path / "alike_checkers.py").write_text("async def f(n): ...\n\n\nasync def g(n): ...\n")
    lines = [f"  t{n}: {{run: 'alike_checkers:{'fg'[n % 2]}', args: {{n: {n}}}}}\n" for n in range(4)]
    (tmp_path / "config.yaml").write_text("language: en\ntasks:\n" + "".join(lines))
    loaded = load_with_checkers(tmp_path / "config.yaml", {})
    assert [task.args for task in loaded.config.tasks] == [{"n": n} for n in range(4)]
    assert [loaded.checkers[f"t{n}"].__name__ for n in range(4)] == ["f", "g", "f", "g"]


def test_a_task_is_small_and_a_model_like_any_other(tmp_path: Path) -> None:
    tasks = read(
        tmp_path, "tasks:\n" + "".join(f"  t{n}: {{run: 'm:f', every: 1s}}\n" for n in range(50))
    ).tasks
    first, last = tasks[0], tasks[-1]
    assert first.__pydantic_fields_set__ is last.__pydantic_fields_set__
    plain = TaskConfig.model_validate({"name": "t49", "run": "m:f", "every": "1s"})
    assert last == plain
    assert last.model_dump() == plain.model_dump()
    assert last.model_fields_set == plain.model_fields_set
    assert pickle.loads(pickle.dumps(last)) == plain
    assert last.model_copy(update={"timezone": parse_timezone("UTC")}) != plain


SIZE = """
import tracemalloc
from dozor.config.alike import AlikeTasks, shape_of
from dozor.config.sections.tasks import TaskConfig

own = {"run": "m:f", "every": "1s"}
validated = [TaskConfig.model_validate({**own, "name": f"t{number}"}) for number in range(50)]
shape, alike = shape_of(own), AlikeTasks()
alike.add(shape, validated[0])
names = [f"task_{number}" for number in range(1000)]
tracemalloc.start()
before, _ = tracemalloc.get_traced_memory()
kept = [alike.find(shape, name, own) for name in names]
print((tracemalloc.get_traced_memory()[0] - before) // len(kept))
"""


def test_a_task_takes_few_bytes() -> None:
    """In a process of its own: here, other tests may have made tasks with any attributes."""
    ran = subprocess.run([sys.executable, "-c", SIZE], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 500  # a model of its own takes 1,200
