"""`databases:` and `setup:` in the configuration: values, errors with their lines, what is secret."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dozor.config import ConfigError
from dozor.config.imports.checkers import check_file, load_with_checkers
from dozor.config.imports.environment import withheld_names
from dozor.config.secrets import register_config_secrets
from dozor.language import Language
from dozor.redaction import Redactor
from tests.unit.configuring import problems, read

SETUPS = (Path(__file__).parents[1] / "supervision" / "setups.py").read_text(encoding="utf-8")
TASK = "tasks:\n  t:\n    run: dozor_setups:nothing\n"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "dozor_setups.py").write_text(SETUPS, encoding="utf-8")
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("dozor_setups", None)


def test_a_database_is_a_url_or_a_mapping(tmp_path: Path) -> None:
    text = (
        "databases:\n"
        "  shop: postgresql://shop:vault-secret-77@h/shop\n"
        "  ledger: {url: '${LEDGER_URL}', pool_size: 2, command_timeout: null}\n" + TASK
    )
    config = read(tmp_path, text, LEDGER_URL="postgresql://h/ledger")
    assert config.databases["shop"].pool_size == 5
    assert (config.databases["ledger"].pool_size, config.databases["ledger"].command_timeout) == (2, None)
    assert "vault-secret-77" not in repr(config)
    redactor = Redactor()
    register_config_secrets(config, redactor)
    assert "vault-secret-77" not in redactor.redact("wrong password vault-secret-77")
    assert "LEDGER_URL" in withheld_names(config.filled)


def test_bad_databases_are_named_with_their_lines_and_without_their_values(tmp_path: Path) -> None:
    text = (
        "databases:\n"
        "  shop: mysql://a:vault-secret-77@h/x\n"
        "  empty:\n"
        "  own: embedded\n"
        "  typo: {url: 'postgresql://h/x', pool: 3}\n"
        "  none: {url: 'postgresql://h/x', pool_size: 0}\n" + TASK
    )
    found = problems(tmp_path, text)
    assert [problem.split(": ")[:2] for problem in found] == [
        ["config.yaml:2", "databases.shop.url"],
        ["config.yaml:3", "databases.empty.url"],
        ["config.yaml:4", "databases.own.url"],
        ["config.yaml:5", "databases.typo.pool"],
        ["config.yaml:6", "databases.none.pool_size"],
    ]
    assert "vault-secret-77" not in "".join(found)
    assert "pool_size" in found[3]


@pytest.mark.parametrize("isolation", ["inline", "process"])
@pytest.mark.parametrize("probed", [False, True])
def test_bad_setups_are_named_with_their_lines(folder: Path, isolation: str, probed: bool) -> None:
    bad = ("undecorated", "plain", "coroutine", "wants", "nope", "Context")
    lines = ["language: en", "setup: dozor_setups:nothing", "tasks:"]
    lines += [
        f"  {name}: {{run: 'dozor_setups:nothing', setup: 'dozor_setups:{name}', isolation: {isolation}}}"
        for name in bad
    ]
    lines.append("  broken: {run: 'dozor_setups:nothing', every: soon, setup: 'dozor_setups:gone'}")
    lines.append("  good: {run: 'dozor_setups:nothing', setup: 'dozor_setups:own'}")
    path = folder / "config.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        check_file(path) if probed else load_with_checkers(path, language=Language.EN)
    found = [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]
    places = [": ".join(problem.split(": ")[:2]) for problem in found]
    assert places == [
        "config.yaml:2: setup",
        *(f"config.yaml:{number}: tasks.{name}.setup" for number, name in enumerate(bad, start=4)),
        "config.yaml:10: tasks.broken.every",
        "config.yaml:10: tasks.broken.setup",
    ]
    assert "asynccontextmanager" in found[1]
    assert "config" in found[4].split("parameter", 1)[1]


def test_a_good_setup_is_accepted(folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text("setup: dozor_setups:shared\n" + TASK + "    setup: dozor_setups:own\n", encoding="utf-8")
    loaded = load_with_checkers(path, language=Language.EN)
    assert list(loaded.checkers) == ["t"]
    assert loaded.checkers["t"].__name__ == "nothing"
