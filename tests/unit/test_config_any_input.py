"""Whatever a file holds, the answer is a config or a ConfigError whose lines are in form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dozor.config import Config, ConfigError, load
from dozor.config.sections.tasks import TaskConfig

LINE = re.compile(r"config\.yaml:[0-9]+: \S")

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(
        ["60s", "stop", "m:f", "* * * * *", "UTC", "embedded", "${A}", "${B:-1}", "ru", "-100:5"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = sorted(
    {*Config.known_keys(), *TaskConfig.known_keys(), "url", "token", "listen", "data_dir", "retry_every"}
)
SECTIONS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)
FILES = st.fixed_dictionaries(
    {"tasks": st.dictionaries(st.text(max_size=5), st.one_of(SECTIONS, VALUES), max_size=3)},
    optional={name: st.one_of(SECTIONS, VALUES) for name in Config.known_keys() if name != "tasks"},
)
SETTINGS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.chdir(folder)
    path = Path("config.yaml")
    path.write_bytes(data)
    problems = []
    try:
        assert load(path, {"A": "1"}).tasks
    except ConfigError as error:
        problems = error.problems or ["none"]
    assert [problem for problem in problems if not LINE.match(problem)] == []


@SETTINGS
@given(data=FILES)
def test_any_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]) -> None:
    check(tmp_path, monkeypatch, yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "replace"))


@SETTINGS
@given(data=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    check(tmp_path, monkeypatch, data)
