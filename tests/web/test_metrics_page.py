"""docs/metrics.md names what /metrics shows, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from dozor.supervision.core.state import State
from tests.house.sources import ROOT
from tests.waiting import until
from tests.web.site import Work, open_site


async def test_the_page_names_every_family_with_its_type(database: str, tmp_path: Path, work: Work) -> None:
    work.error = ValueError("no")
    tasks = (
        "one: {run: 'm:f', every: 20ms, restart_delay: 10ms, max_consecutive_failures: 1, overdue_after: 1h}"
    )
    async with open_site(tmp_path, database, {"one": work.run}, tasks=tasks) as site:
        task = site.runner.supervisor.find("one")
        assert task is not None
        await until(lambda: task.state.state is State.STOPPED)
        _, text = await site.get("/metrics")
    shown = dict(re.findall(r"^# TYPE (dozor_\w+) (\w+)$", text, re.MULTILINE))
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(dozor_\w+)[^|]*\| (\w+) \|", page, re.MULTILINE))
    told.pop("dozor_telegram_last_poll_timestamp_seconds")  # only with a token
    of_a_cluster = ("leader", "epoch", "late_renewals_total", "replicas", "pool_runs")
    for name in of_a_cluster:  # see tests/cluster
        told.pop(f"dozor_{name}")
    assert told == shown


def test_the_page_names_every_alert_rule() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/dozor.rules.yml").read_text())["groups"][0]["rules"]
    page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(Dozor\w+)`", page, re.MULTILINE) == [rule["alert"] for rule in rules]
