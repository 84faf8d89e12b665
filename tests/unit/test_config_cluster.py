"""`cluster`: its defaults, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from dozor import Runner
from dozor.config import ConfigError
from dozor.config.values.roles import Role
from tests.unit.configuring import TASK, only, problems, read

URL = "database: {url: 'postgresql://db/x'}\n"


def test_the_defaults(tmp_path: Path) -> None:
    cluster = read(tmp_path, TASK).cluster
    assert (cluster.enabled, cluster.lease_ttl, cluster.pools, cluster.slots) == (
        False,
        15.0,
        ("default",),
        100,
    )


def test_a_whole_section(tmp_path: Path) -> None:
    text = f"{URL}cluster: {{enabled: true, lease_ttl: 3s, pools: [gpu, cpu], slots: 8}}\n{TASK}"
    cluster = read(tmp_path, text).cluster
    assert (cluster.enabled, cluster.lease_ttl, cluster.pools, cluster.slots) == (
        True,
        3.0,
        ("gpu", "cpu"),
        8,
    )


@pytest.mark.parametrize("ttl", ["2.9", "2900ms", "301", "5m1s", "1h", "0", "-1"])
def test_a_lease_outside_its_limits(tmp_path: Path, ttl: str) -> None:
    found = only(tmp_path, f"{URL}cluster: {{enabled: true, lease_ttl: {ttl}}}\n{TASK}")
    assert found.startswith("config.yaml:2: cluster.lease_ttl: ")


@pytest.mark.parametrize("ttl", ["3", "3s", "5m", "300"])
def test_a_lease_at_its_limits(tmp_path: Path, ttl: str) -> None:
    assert read(tmp_path, f"{URL}cluster: {{enabled: true, lease_ttl: {ttl}}}\n{TASK}").cluster.enabled


@pytest.mark.parametrize("pools", ["[]", "['']", "[a b]", "[a, a]", "[1.5]", "''"])
def test_pools_that_are_none(tmp_path: Path, pools: str) -> None:
    found = problems(tmp_path, f"{URL}cluster: {{enabled: true, pools: {pools}}}\n{TASK}")
    assert len(found) == 1
    assert "cluster.pools" in found[0]


@pytest.mark.parametrize("database", ["", "database: {url: embedded}\n", "database: {data_dir: x}\n"])
@pytest.mark.parametrize("enabled", ["true", "yes", "'on'"])
def test_a_cluster_on_the_embedded_server(tmp_path: Path, database: str, enabled: str) -> None:
    found = only(tmp_path, f"{database}cluster: {{enabled: {enabled}}}\n{TASK}")
    assert "cluster.enabled: " in found
    assert "postgresql://" in found


def test_every_mistake_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path, f"cluster: {{enabled: true, lease_ttl: 1s, pools: [], slots: 0, more: 1}}\n{TASK}"
    )
    assert len(found) == 5


async def test_a_role_without_a_cluster_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "m_of_roles.py").write_text("async def f() -> None: ...\n")
    path = tmp_path / "config.yaml"
    path.write_text("language: en\ncluster: {enabled: false}\ntasks: {t: {run: 'm_of_roles:f', every: 1m}}\n")
    with pytest.raises(ConfigError) as caught:
        Runner.from_config(path, role=Role.LEADER)
    assert str(caught.value).startswith(f"{path}:2: cluster.enabled: --role leader")
