"""The workflow for GitHub agrees with pyproject.toml and `.ci/run`: it cannot be run here."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from tests.house.sources import ROOT

WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _commands(job: str) -> list[str]:
    return [step["run"] for step in WORKFLOW["jobs"][job]["steps"] if "run" in step]


def test_every_version_that_the_package_names_is_checked_and_no_other() -> None:
    named = [
        match[1]
        for one in PROJECT["classifiers"]
        if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one))
    ]
    assert WORKFLOW["jobs"]["check"]["strategy"]["matrix"]["python"] == named
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_each_version_runs_what_a_machine_of_ours_runs() -> None:
    assert _commands("check") == ["PYTHON=python .ci/run"]
    assert "${PYTHON:-python3}" in (ROOT / ".ci" / "run").read_text()


def test_the_wheel_is_built_by_the_lowest_version_and_installed_into_an_empty_environment() -> None:
    [lowest] = [step["with"]["python-version"] for step in WORKFLOW["jobs"]["wheel"]["steps"][1:2]]
    assert PROJECT["requires-python"] == f">={lowest}"
    build, install = _commands("wheel")
    assert "pip wheel --no-deps" in build
    assert "dist/*.whl" in install
