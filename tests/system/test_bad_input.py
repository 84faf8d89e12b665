"""Mistakes in the configuration and around the process: one clear line each, saying what to do."""

from __future__ import annotations

import re

import pytest

from tests.system.stage import QUICK, Stage

STARTED = (" работает: задач", "Запуск", "Traceback")


async def _refused(stage: Stage, *words: str, command: str = "run") -> str:
    """Exit 2 with `words`, and nothing was started."""
    answer = await stage.cli(command)
    assert answer.code == 2, answer.text
    for word in words:
        assert word in answer.text, answer.text
    assert not (stage.folder / "pg").exists()
    return answer.text


@pytest.mark.parametrize("command", ["run", "check"])
async def test_broken_yaml_names_the_line(stage: Stage, command: str) -> None:
    stage.config.write_text("language: ru\ntasks:\n  presale: {run: 'scripted:obey'\n")
    text = await _refused(stage, "config.yaml:", command=command)
    assert re.match(r"^\S*config\.yaml:\d+: ", text)
    assert not any(word in text for word in STARTED)


async def test_unknown_keys_and_bad_values_are_all_named_at_once_each_with_its_line(stage: Stage) -> None:
    stage.config.write_text(
        "langauge: ru\n"
        "telegram:\n"
        "  admins: [anna]\n"
        "tasks:\n"
        "  presale:\n"
        "    run: scripted:obey\n"
        "    every: 60 parsecs\n"
        "    max_consecutive_failures: 0\n"
        "    retries: 5\n"
        "  deposits:\n"
        "    run: scripted:no_such_function\n"
    )
    text = await _refused(
        stage,
        "config.yaml:1: langauge",
        "config.yaml:3: telegram.admins",
        "config.yaml:7: tasks.presale.every",
        "config.yaml:8: tasks.presale.max_consecutive_failures",
        "config.yaml:9: tasks.presale.retries",
    )
    assert all("config.yaml:" in line for line in text.strip().splitlines()), text
    assert not any(word in text for word in STARTED)


async def test_a_module_that_fails_to_import_shows_its_own_traceback(stage: Stage) -> None:
    (stage.folder / "broken.py").write_text(
        "import json\n\nRATES = json.loads('{')\n\nasync def check(): ...\n"
    )
    stage.write({"rates": {**QUICK, "run": "broken:check"}, "gone": {**QUICK, "run": "nowhere:check"}})
    text = await _refused(stage, "config.yaml:", "tasks.rates.run", "tasks.gone.run", "JSONDecodeError")
    assert 'broken.py", line 3' in text
    assert "RATES = json.loads('{')" in text
    assert "nowhere" in text
    assert "importlib" not in text  # their own frames, not ours


async def test_a_missing_file_and_an_unset_variable_say_what_to_do(stage: Stage) -> None:
    answer = await stage.cli("run")
    assert answer.code == 2
    assert "config.yaml" in answer.text
    assert len(answer.text.strip().splitlines()) == 1
    telegram = {"token": "${DOZOR_NO_SUCH_VARIABLE}", "chat": -1}
    stage.write({"task": QUICK}, telegram=telegram)
    text = await _refused(stage, "telegram.token", "DOZOR_NO_SUCH_VARIABLE")
    assert len(text.strip().splitlines()) == 1


async def test_what_cannot_be_a_token_is_refused_before_anything_starts(stage: Stage) -> None:
    stage.write({"task": QUICK}, telegram={"token": "my secret bot", "chat": -1})
    text = await _refused(stage, "telegram.token", "@BotFather")
    assert "my secret bot" not in text
