"""`databases:` in the configuration: values, errors with their lines, what is secret."""

from __future__ import annotations

from pathlib import Path

from dozor.config.imports.environment import withheld_names
from dozor.config.secrets import register_config_secrets
from dozor.redaction import Redactor
from tests.unit.configuring import problems, read

TASK = "tasks:\n  t:\n    run: dozor_setups:nothing\n"


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
