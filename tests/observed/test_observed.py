"""Debian's Prometheus and Alertmanager over a real runner: rules fire and resolve, every panel has data."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dozor.web.metrics import lag
from tests.bot.botapi.server import BotApi
from tests.observed.scenario import ADMIN, WHILE_BROKEN, WITHOUT_DATABASE, World, fires, quiet, resolves
from tests.observed.stack import ROOT, RULES, Stack, observing, program, quick_rules
from tests.server import PostgresControl

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "dozor.json"


def promtool(*arguments: str | Path) -> None:
    command = [program("promtool"), *map(str, arguments)]
    done = subprocess.run(command, cwd=RULES.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration_and_the_rules_and_their_tests_pass() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "dozor.rules.yml")
    promtool("test", "rules", "dozor.rules.test.yml")


def test_alertmanager_accepts_its_example() -> None:
    command = [program("amtool"), "check-config", "alertmanager.yml"]
    done = subprocess.run(command, cwd=RULES.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested_and_says_what_to_do() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    tested = (RULES.parent / "dozor.rules.test.yml").read_text()
    for rule in rules:
        assert f"alertname: {rule['alert']}," in tested, rule["alert"]
        assert {"summary", "description"} <= set(rule["annotations"])
        assert rule["labels"]["severity"] in ("warning", "critical")


def panels() -> Iterator[tuple[str, str]]:
    """(title of the panel, query) of the whole dashboard, annotations and variables included."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            yield f"variable {variable['name']}", f"group by ({label}) ({series})"


def as_grafana_sends_it(query: str) -> str:
    for name, value in (("$__rate_interval", "10s"), ("$__range", "5m"), ("$task", ".+")):
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


async def empty_panels(stack: Stack, left: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of `left` that return no data now."""
    return [(title, query) for title, query in left if not await stack.query(as_grafana_sends_it(query))]


def test_the_dashboard_has_no_two_panels_in_one_place() -> None:
    taken: set[tuple[int, int]] = set()
    ids: list[Any] = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        ids.append(panel["id"])
    assert len(set(ids)) == len(ids)


@pytest.mark.timeout(390)
async def test_each_rule_fires_and_resolves_and_each_panel_has_data(
    postgres_control: PostgresControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "WINDOW", 2.0)
    api = BotApi()
    api.world.add_user(ADMIN, "Anna")
    async with api:
        world = World(tmp_path, postgres_control, api)
        async with observing(
            tmp_path, world.port, rules=quick_rules(RULES.read_text()), interval="500ms"
        ) as stack:
            await fires(stack, {"DozorAbsent"}, within=30)
            async with world.runner():
                await resolves(stack, {"DozorAbsent"}, within=30)
                await world.site.becomes("/readyz", 200, within=60)
                await quiet(stack, 2.0, within=60)
                left = await empty_panels(stack, list(panels()))

                await world.break_everything()
                await fires(stack, WHILE_BROKEN, within=60)
                left = await empty_panels(stack, left)
                await world.mend_everything()
                await resolves(stack, WHILE_BROKEN, within=60)
                await asyncio.sleep(2)
                left = await empty_panels(stack, left)
                assert not left, "these queries never returned any data"

                await world.stop_database()
                await fires(stack, WITHOUT_DATABASE, within=30)
                await world.start_database()
                await resolves(stack, WITHOUT_DATABASE, within=40)
            await fires(stack, {"DozorAbsent"}, within=30)
            async with world.runner():
                await resolves(stack, {"DozorAbsent"}, within=30)
        for alert in WHILE_BROKEN | WITHOUT_DATABASE:
            assert stack.told.heard(alert, "firing"), f"Alertmanager told nobody of {alert}"
            assert stack.told.heard(alert, "resolved"), f"nobody heard that {alert} is over"
