from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dozor.config.reference import reference
from dozor.config.sections import alerts, tasks
from dozor.config.sections import config as models
from dozor.config.sections.base import Section

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def page() -> str:
    return reference()


def test_the_page_of_the_configuration_is_what_the_models_say(page: str) -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == page, "renew it: python -m dozor.config.reference > docs/configuration.md"


@pytest.mark.parametrize(
    "model",
    [
        models.Config, models.DatabaseConfig, models.TelegramConfig, models.WebConfig,
        alerts.AlertsConfig, alerts.OnCallConfig,
        alerts.RotationConfig, alerts.EscalationLevel,
        tasks.TaskConfig, tasks.RestartDelay, tasks.TaskAlerts,
    ],
)  # fmt: skip
def test_every_key_has_a_row(page: str, model: type[Section]) -> None:
    for key in model.known_keys():
        assert f"| `{key}` |" in page


def test_reading_a_configuration_loads_nothing_heavy() -> None:
    heavy = "{'aiogram', 'aiohttp', 'asyncpg', 'loguru', 'fluent'}"
    code = f"import sys, dozor.config; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
