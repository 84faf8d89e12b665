"""`placement`: its forms, and one line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from dozor.cluster.placement import digest_of
from dozor.config.sections.tasks import LeaderPlacement, PoolPlacement
from tests.unit.configuring import only, read

CLUSTER = "database: {url: 'postgresql://db/x'}\ncluster: {enabled: true}\n"
TASK = "tasks: {t: {run: 'json:dumps', every: 1s, placement: PLACEMENT}}\n"


@pytest.mark.parametrize(("written", "pool"), [("leader", None), ("pool", "default"), ("{pool: gpu}", "gpu")])
def test_each_form(tmp_path: Path, written: str, pool: str | None) -> None:
    (task,) = read(tmp_path, CLUSTER + TASK.replace("PLACEMENT", written)).tasks
    expected = LeaderPlacement() if pool is None else PoolPlacement(pool=pool)
    assert task.placement == expected


@pytest.mark.parametrize("written", ["pools", "7", "[pool]", "{pool: ''}", "{pool: 'a b'}"])
def test_what_is_no_placement_is_one_line(tmp_path: Path, written: str) -> None:
    assert "placement" in only(tmp_path, CLUSTER + TASK.replace("PLACEMENT", written))


@pytest.mark.parametrize("cluster", ["", "cluster: {enabled: false}\n"])
def test_a_pool_without_a_cluster(tmp_path: Path, cluster: str) -> None:
    found = only(tmp_path, cluster + TASK.replace("PLACEMENT", "pool"))
    assert "tasks.t.placement: a pool needs cluster.enabled: true" in found


def test_a_digest_tells_functions_and_arguments_apart() -> None:
    one = digest_of("shop:check", {"limit": 1, "name": "x"})
    assert one == digest_of("shop:check", {"name": "x", "limit": 1})
    assert len({one, digest_of("shop:other", {}), digest_of("shop:check", {"limit": 2, "name": "x"})}) == 3
