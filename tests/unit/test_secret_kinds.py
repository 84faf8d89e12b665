"""What is secret in a configuration and in a text, by its name, its origin and its looks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dozor.cli.terminal.streams import RedactingStream
from dozor.config import load
from dozor.config.places import exposed, make_folder, state_dir
from dozor.config.secrets import looks_random, register_config_secrets
from dozor.errors import ConfigError
from dozor.redaction import Redactor

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("pass=hunter2", "hunter2"), ("pwd: hunter2", "hunter2"), ('{"auth": "hunter2"}', "hunter2"),
        ("key=hunter2", "hunter2"), ("?sig_key=hunter2&x=1", "hunter2"), ("private_key: hunter2", "hunter2"),
        ("{'token': 'hunter2'}", "hunter2"), ("token: abcdef123456", "abcdef123456"),
        ("Cookie: sid=hunter2; theme=x", "hunter2"), ("Set-Cookie: sid=hunter2; Path=/", "hunter2"),
        ("{'Cookie': 'sid=hunter2'}", "hunter2"), (f"got {JWT}!", JWT[10:]), (PEM, "MIIEvQIBADANBgkq"),
        (repr(PEM), "hkiG9w0BAQEFAASC"), (PEM[:60], "MIIEvQIBADANBgkq"), ("apiKey=hunter2", "hunter2"),
        ("amqp+ssl://u:hunter2@h/v", "hunter2"), ("mongodb+srv://:hunter2@h", "hunter2"),
        ("ftp://u:hun/ter2@h", "ter2"), ("userPass=hunter2", "hunter2"),
    ],
)  # fmt: skip
def test_a_secret_by_its_looks_is_hidden(text: str, secret: str) -> None:
    assert secret not in Redactor().redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "monkey=banana", "compass=north", "Key (id)=(5) already exists", "primary key: id", "author: Ann",
        "KeyError: 'price'", "no such key: presale", "shipping=5", "-----BEGIN CERTIFICATE-----",
        "eyJ is short",
    ],
)  # fmt: skip
def test_words_that_hold_a_short_name_are_left_alone(text: str) -> None:
    assert Redactor().redact(text) == text


@pytest.mark.parametrize(
    ("text", "random"),
    [
        ("xK9mQ2vL7pR4", True), ("9f86d081884c7d65", True), ("S3cr3t!Passw0rd#2024x", True),
        ("sk_live_4eC39HqLyjWDarjtT1", True), ("jbswy3dpehpk3pxp", True),
        ("production", False), ("presale_checker", False), ("db.internal.example.com", False),
        ("/var/lib/dozor/postgres", False), ("-1001234567890", False), ("Europe/Moscow", False),
        ("eu-west-1-production", False), ("2024-01-01T00:00:00Z", False), ("two words here 1a2b", False),
    ],
)  # fmt: skip
def test_what_looks_random(text: str, random: bool) -> None:
    assert looks_random(text) is random


def test_values_are_secret_by_name_origin_and_looks_and_prod_never_is(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(PEM)
    (tmp_path / "stage").write_text("prod\n")
    path = tmp_path / "config.yaml"
    path.write_text(
        "tasks:\n  t:\n    run: m:f\n    args:\n"
        "      environment: ${ENVIRONMENT}\n      stage: '${file:stage}'\n      secret_stage: prod\n"
        "      nested: {list: [{dbpass: sesame77}], auth: {user: ann, value: opensesame}}\n"
        "      pin: 48213\n      author: Leo Tolstoy\n      shipping: express-mail\n"
        "      opaque: ${OPAQUE}\n      pem: '${file:key.pem}'\n      broker: amqp://u:rabbit-pw@h/v\n"
    )
    env = {"ENVIRONMENT": "prod", "OPAQUE": "xK9mQ2vL7pR4"}
    redactor = Redactor()
    register_config_secrets(load(path, env), redactor)
    for secret in ("sesame77", "opensesame", "48213", "xK9mQ2vL7pR4", "MIIEvQIBADANBgkq", "rabbit-pw"):
        assert redactor.redact(f"<{secret}>") == "<***>", secret
    for harmless in ("prod", "Leo Tolstoy", "express-mail"):
        assert redactor.redact(f"<{harmless}>") == f"<{harmless}>"


def test_a_fifo_in_place_of_a_secret_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    path = tmp_path / "config.yaml"
    path.write_text("language: en\ntasks: {t: {run: 'm:f', args: {x: '${file:fifo}'}}}\n")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(path, {})


def test_a_huge_configuration_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with path.open("wb") as file:
        file.write(b"language: en\ntasks: {}\n")
        file.truncate(50 * 1024 * 1024)
    with pytest.raises(ConfigError, match="larger than 16 MiB"):
        load(path, {})


def test_the_state_directory_is_configured_given_by_systemd_or_beside_the_data(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("tasks: {t: {run: 'm:f'}}\n")
    config = load(path, {})
    assert state_dir(config, {}) == tmp_path / ".dozor"
    assert state_dir(config, {"STATE_DIRECTORY": "/var/lib/dozor:/x"}) == Path("/var/lib/dozor")
    path.write_text("state_dir: mine\ntasks: {t: {run: 'm:f'}}\n")
    assert state_dir(load(path, {}), {"STATE_DIRECTORY": "/var/lib/dozor"}) == tmp_path / "mine"


def test_what_everybody_may_write_or_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    token = "123456789:AAF-abcdefghijklmnopqrstuvwxyz_0123"
    path.write_text(f"telegram: {{token: '{token}', chat: 1}}\ntasks: {{t: {{run: 'm:f'}}}}\n")
    tmp_path.chmod(0o755)
    path.chmod(0o640)
    assert exposed(load(path, {})) == []
    path.chmod(0o644)
    assert "chmod 0640" in "".join(exposed(load(path, {})))
    path.chmod(0o666)
    assert "chmod o-w" in "".join(exposed(load(path, {})))
    path.chmod(0o600)
    before = os.umask(0)
    try:
        make_folder(tmp_path / ".dozor" / "postgres")
    finally:
        os.umask(before)
    assert exposed(load(path, {})) == []
    (tmp_path / ".dozor" / "postgres").chmod(0o777)
    assert "postgres" in "".join(exposed(load(path, {})))


def test_what_is_printed_goes_through_the_same_border(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    stream = RedactingStream(sys.stdout, Redactor(["hunter2-secret"]).redact)
    print("one", "hunter2-secret", file=stream)
    print("hunter2-", end="", file=stream)
    print("secret", file=stream)
    print("no line end: hunter2-secret", end="", file=stream, flush=True)
    assert capsys.readouterr().out == "one ***\n***\nno line end: ***"
    stream.buffer.write(b"bytes: hunter2-")
    stream.buffer.write("secret, пол".encode()[:-1])
    stream.buffer.write("пол".encode()[-1:] + b" \xff\n")
    print("text, then bytes: ", end="", file=stream)
    stream.buffer.write(memoryview(b"hunter2-secret"))
    stream.buffer.flush()
    assert capsys.readouterr().out == "bytes: ***, пол \\xff\ntext, then bytes: ***"
