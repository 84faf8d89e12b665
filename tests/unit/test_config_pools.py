"""`database.pools`: sizes that are checked, and the number of connections that a runner takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.configuring import TASK, only, problems, read


def _with(pools: str) -> str:
    return f"database:\n  pools: {pools}\n{TASK}"


def test_the_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, TASK)
    pools = config.database.pools
    assert (pools.checkers, pools.core, pools.web, pools.process) == (10, 5, 3, 5)
    assert (pools.starved_after, pools.acquire_timeout) == (5.0, 30.0)
    assert config.connections == 20


def test_processes_and_queries_are_counted(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
database: {pools: {checkers: 1, core: 1, web: 1, process: 2}}
dependencies:
  rates: {query: "SELECT true"}
  node: {tcp: "node.example:1"}
tasks:
  a: {run: "m:f", isolation: process}
  b: {run: "m:f", isolation: process}
  c: {run: "m:f", isolation: process, enabled: false}
  d: {run: "m:f"}
""",
    )
    assert config.connections == 3 + 2 + 1 + 2 * 2


@pytest.mark.parametrize(
    "pools",
    [
        "{checkers: 0}", "{core: -1}", "{web: 1.5}", "{checkers: many}", "{process: true}", "{web: 501}",
        "{checkers: null}", "{starved_after: 0s}", "{acquire_timeout: soon}", "{bot: 3}", "[10, 5, 3]", "10",
    ],
)  # fmt: skip
def test_what_is_no_size_is_refused_at_its_line(tmp_path: Path, pools: str) -> None:
    assert only(tmp_path, _with(pools)).startswith("config.yaml:2: database.pools")


def test_every_bad_size_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, _with("{checkers: 0, core: x, web: 900}"))
    assert [one.split(":")[2].strip() for one in found] == [
        "database.pools.checkers", "database.pools.core", "database.pools.web",
    ]  # fmt: skip


def test_an_incident_must_be_possible_before_the_failure(tmp_path: Path) -> None:
    found = only(tmp_path, _with("{starved_after: 31s}"))
    assert "starved_after is longer than acquire_timeout" in found
