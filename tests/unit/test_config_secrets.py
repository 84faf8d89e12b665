from __future__ import annotations

from pathlib import Path

from dozor.config import load
from dozor.config.secrets import register_config_secrets
from dozor.redaction import Redactor

TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz_0123"

TEXT = f"""\
database: {{url: "postgresql://u:p%40ssword@h/d?sslpassword=key-password"}}
telegram: {{token: "{TOKEN}", chat: 1, proxy: "http://u:proxy-password@h:1"}}
defaults:
  args: {{inherited: "${{file:secret}}"}}
tasks:
  inheriting: {{run: "m:f"}}
  own:
    run: m:f
    args:
      api_key: the-api-key
      limit: 12345678
      pin_token: 87654321
      name: harmless-name
      nested: {{seeds: [first-seed, second-seed]}}
      dsn_like: postgresql://u:inner-password@h/d
      file: ${{file:secret}}
"""


def test_secrets_of_a_config_are_hidden_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n", encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(TEXT, encoding="utf-8")
    redactor = Redactor()
    register_config_secrets(load(path, {}), redactor)
    secrets = [
        TOKEN, TOKEN.partition(":")[2], "p%40ssword", "p@ssword", "key-password", "proxy-password",
        "from-a-file", "the-api-key", "87654321", "first-seed", "second-seed", "inner-password",
    ]  # fmt: skip
    for secret in secrets:
        assert secret not in redactor.redact(f"<{secret}>"), secret
    for harmless in ("12345678", "harmless-name", "embedded"):
        assert redactor.redact(f"<{harmless}>") == f"<{harmless}>"


def test_a_secret_inherited_from_defaults_is_hidden_when_no_task_reads_it_itself(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file", encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text('defaults: {args: {x: "${file:secret}"}}\ntasks: {t: {run: "m:f"}}\n', encoding="utf-8")
    redactor = Redactor()
    register_config_secrets(load(path, {}), redactor)
    assert redactor.redact("from-a-file") == "***"


def test_the_password_of_a_socks_proxy_is_hidden_as_written_and_decoded(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        TEXT.replace("http://u:proxy-password@h:1", "socks5://u:pr%40xy-w0rd@h"), encoding="utf-8"
    )
    (tmp_path / "secret").write_text("from-a-file\n", encoding="utf-8")
    redactor = Redactor()
    register_config_secrets(load(path, {}), redactor)
    assert redactor.redact("<pr@xy-w0rd> <pr%40xy-w0rd> socks5://u:pr%40xy-w0rd@h") == (
        "<***> <***> socks5://u:***@h"
    )


def test_passwords_and_tokens_of_the_second_channel_are_hidden_by_themselves(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    urls = "[slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/, mailto://ann:mail-pw@smtp.example-company.org]"
    path.write_text(
        f"alerts: {{second_channel: {{urls: {urls}}}}}\ntasks: {{t: {{run: 'm:f'}}}}\n", encoding="utf-8"
    )
    redactor = Redactor()
    register_config_secrets(load(path, {}), redactor)
    for secret in ("TIiajkdnlazkcOXrIdevi7FQ", "mail-pw"):
        assert redactor.redact(f"url: /services/{secret}/") == "url: /services/***/"
    assert redactor.redact("smtp.example-company.org") == "smtp.example-company.org"
