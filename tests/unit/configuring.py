"""Reading a configuration given as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from dozor.config import (
    Config,
    ConfigError,
    load,
)
from dozor.language import Language

TASK = "tasks:\n  t:\n    run: m:f\n"
TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz_0123"


def read(folder: Path, text: str, **env: str) -> Config:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, env, language=Language.EN)


def problems(folder: Path, text: str, **env: str) -> list[str]:
    """The problems of `text`, without the folder in front."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, **env)
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


def only(folder: Path, text: str, **env: str) -> str:
    found = problems(folder, text, **env)
    assert len(found) == 1, found
    return found[0]
