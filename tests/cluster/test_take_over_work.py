"""What a take-over with many tasks does not do again."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from dozor.app import surroundings
from dozor.app.surroundings import Surroundings

IMPORTS = """
import asyncio, sys
from dozor.app.leading.pools import import_queue
assert "pgqueuer" not in sys.modules
asyncio.run(import_queue())
assert "pgqueuer" in sys.modules
"""


def test_the_digest_of_the_configuration_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[Any] = []

    def compute(config: Any) -> str:
        computed.append(config)
        return "digest"

    monkeypatch.setattr(surroundings, "config_digest", compute)
    around = Surroundings(**{field.name: None for field in fields(Surroundings)})  # type: ignore[arg-type]
    assert [around.digest for _ in range(3)] == ["digest"] * 3
    assert len(computed) == 1


def test_a_standby_imports_the_queue_before_it_leads() -> None:
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, timeout=60)
