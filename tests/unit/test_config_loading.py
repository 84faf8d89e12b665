"""Configurations that are read."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dozor.config import (
    ChatTarget,
    ConfigError,
    Continuous,
    Cron,
    Every,
    Isolation,
    ListenAddress,
    Misfire,
    RestartDelay,
    RetryEvery,
    Stop,
    load,
)
from dozor.language import Language
from tests.unit.configuring import TASK, read

CONTRACT = """\
language: ru
database:
  url: embedded
  data_dir: .dozor/postgres
telegram:
  token: ${BOT_TOKEN:-}
  api_url: https://api.telegram.org
  proxy: null
  chat: -1001234567890
  admins: [111]
  operators: []
  viewers: []
alerts:
  repeated_errors: 3
  remind_every: 30m
web:
  listen: 127.0.0.1:9464
defaults: {restart_delay: 60s, max_consecutive_failures: 5}
tasks:
  presale_checker:
    run: dozor_market.presales:check_presales
    every: 60s
"""


def test_the_documented_file_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, CONTRACT)
    assert config.path == tmp_path / "config.yaml"
    assert config.language == "ru"
    assert config.timezone == ZoneInfo("UTC")
    assert config.database.url is None
    assert config.database.data_dir == tmp_path / ".dozor/postgres"
    assert config.telegram.token is None
    assert config.telegram.chat == ChatTarget(-1001234567890, None)
    assert config.telegram.admins == (111,)
    assert config.alerts.remind_every == 1800
    assert config.web.listen == ListenAddress("127.0.0.1", 9464)
    (task,) = config.tasks
    assert task.name == "presale_checker"
    assert task.schedule == Every(60)
    assert task.restart_delay == RestartDelay(initial=60, max=60)
    assert task.max_consecutive_failures == 5
    assert config.line("tasks", "presale_checker", "run") == 21


def test_everything_but_a_task_has_a_default(tmp_path: Path) -> None:
    config = read(tmp_path, TASK)
    (task,) = config.tasks
    assert config.database.data_dir == tmp_path / ".dozor/postgres"
    assert config.web.listen == ListenAddress("127.0.0.1", 9464)
    assert config.alerts.repeated_errors == 3
    assert task.schedule == Continuous()
    assert (task.timeout, task.overdue_after, task.isolation) == (None, None, None)
    assert (task.stable_after, task.misfire, task.on_critical) == (300, Misfire.RUN_ONCE, Stop())
    assert (task.requires, task.args, task.enabled, task.description) == ((), {}, True, "")


def test_every_key_of_a_task_is_read(tmp_path: Path) -> None:
    text = """\
timezone: Europe/Moscow
tasks:
  nightly:
    run: pkg.mod:Account.check
    cron: "0 3  * * MON"
    args: {limit: 10, nested: {a: [1, yes]}}
    restart_delay: {initial: 1s, factor: 2, max: 1m, jitter: 0.5}
    max_consecutive_failures: null
    stable_after: 10m
    timeout: 30s
    overdue_after: 2d
    misfire: skip
    isolation: process
    requires: [database]
    on_critical: {retry_every: 10m}
    alerts: {repeated_errors: 1, remind_every: 1h}
    enabled: false
    description: Раз в неделю
"""
    (task,) = read(tmp_path, text).tasks
    assert task.schedule == Cron("0 3 * * MON", ZoneInfo("Europe/Moscow"))
    assert task.args == {"limit": 10, "nested": {"a": [1, True]}}
    assert task.restart_delay == RestartDelay(initial=1, factor=2, max=60, jitter=0.5)
    assert task.max_consecutive_failures is None
    assert (task.stable_after, task.timeout, task.overdue_after) == (600, 30, 172800)
    assert (task.misfire, task.isolation) == (Misfire.SKIP, Isolation.PROCESS)
    assert task.requires == ("database",)
    assert task.on_critical == RetryEvery(retry_every=600)
    assert (task.alerts.repeated_errors, task.alerts.remind_every) == (1, 3600)
    assert (task.enabled, task.description) == (False, "Раз в неделю")


def test_a_section_that_is_commented_out_is_absent(tmp_path: Path) -> None:
    config = read(tmp_path, "telegram:\n# token: x\nweb:\ndefaults:\n" + TASK)
    assert config.telegram.token is None
    assert config.web.listen is not None


def test_a_config_cannot_be_changed(tmp_path: Path) -> None:
    config = read(tmp_path, TASK)
    with pytest.raises(ValueError, match="frozen"):
        config.language = "en"  # type: ignore[misc, assignment]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("-1001234567890", ChatTarget(-1001234567890)),
        ('"-1001234567890"', ChatTarget(-1001234567890)),
        ('"-1001234567890:17"', ChatTarget(-1001234567890, 17)),
        ("-1001234567890:17", ChatTarget(-1001234567890, 17)),
        ('"-1001234567890:1"', ChatTarget(-1001234567890)),
        ("111", ChatTarget(111)),
        ("null", None),
        ('""', None),
    ],
)
def test_forms_of_a_chat(tmp_path: Path, written: str, expected: ChatTarget | None) -> None:
    assert read(tmp_path, f"telegram: {{chat: {written}}}\n{TASK}").telegram.chat == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("127.0.0.1:9464", ListenAddress("127.0.0.1", 9464)),
        ("'[::1]:9464'", ListenAddress("::1", 9464)),
        (":9464", ListenAddress("", 9464)),
        ("localhost:0", ListenAddress("localhost", 0)),
        ("null", None),
        ("''", None),
    ],
)
def test_forms_of_a_listening_address(tmp_path: Path, written: str, expected: ListenAddress | None) -> None:
    assert read(tmp_path, f"web:\n  listen: {written}\n{TASK}").web.listen == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("[1, '2', 1]", (1, 2, 1)), ("7", (7,)), ("'1, 2 3'", (1, 2, 3)), ("null", ()), ("", ())],
)
def test_forms_of_user_ids(tmp_path: Path, written: str, expected: tuple[int, ...]) -> None:
    assert read(tmp_path, f"telegram:\n  admins: {written}\n{TASK}").telegram.admins == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@host:5432/db",
        "postgres://host/db?sslmode=require",
        "postgresql://u@one:5432,two:5433/db",
        "postgresql:///db?host=/run/postgresql",
        "postgresql://u:p%40ss@[::1]:5432/db",
    ],
)
def test_forms_of_a_database_url(tmp_path: Path, url: str) -> None:
    secret = read(tmp_path, f"database:\n  url: {url}\n{TASK}").database.url
    assert secret is not None
    assert secret.get_secret_value() == url


@pytest.mark.parametrize(
    ("written", "longest"),
    [
        ("5m", 300),
        ("{initial: 5m}", 300),
        ("{initial: 1m, factor: 2}", 3600),
        ("{initial: 2h, factor: 2}", 7200),
    ],
)
def test_the_longest_restart_delay_has_a_default(tmp_path: Path, written: str, longest: float) -> None:
    (task,) = read(tmp_path, TASK + f"    restart_delay: {written}\n").tasks
    assert task.restart_delay.max == longest


def test_defaults_are_spread_over_tasks_and_yield_to_them(tmp_path: Path) -> None:
    text = """\
timezone: Asia/Tokyo
defaults: {every: 5m, timezone: Europe/Moscow, timeout: 10s, run: m:f, alerts: {repeated_errors: 2}}
tasks:
  inherits:
  scheduled: {cron: "* * * * *"}
  faster: {every: 1s, timeout: null}
  continuous: {every: null}
"""
    inherits, scheduled, faster, continuous = read(tmp_path, text).tasks
    assert (inherits.schedule, inherits.timeout, inherits.alerts.repeated_errors) == (Every(300), 10, 2)
    assert scheduled.schedule == Cron("* * * * *", ZoneInfo("Europe/Moscow"))
    assert (faster.schedule, faster.timeout) == (Every(1), None)
    assert continuous.schedule == Continuous()


def test_a_task_may_name_the_timezone_of_an_inherited_cron(tmp_path: Path) -> None:
    text = 'defaults: {cron: "0 9 * * *"}\ntasks:\n  t: {run: "m:f", timezone: Asia/Tokyo}\n'
    assert read(tmp_path, text).tasks[0].schedule == Cron("0 9 * * *", ZoneInfo("Asia/Tokyo"))


def test_anchors_aliases_and_merge_keys_work(tmp_path: Path) -> None:
    text = """\
tasks:
  a: &base
    run: m:f
    every: 60s
    args: {n: 1}
  b:
    <<: *base
    every: 5s
  c: {<<: [{timeout: 1s}, *base], timeout: 2s}
  d: *base
"""
    a, b, c, d = read(tmp_path, text).tasks
    assert (a.schedule, b.schedule, c.schedule) == (Every(60), Every(5), Every(60))
    assert (c.timeout, d.args) == (2, {"n": 1})


def test_references_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n\n", encoding="utf-8")
    text = """\
tasks:
  t:
    run: m:f
    args:
      number: ${N}
      quoted: "${N}"
      many: ${A}-${B:-b}-${N}
      empty: ${EMPTY}
      default: ${EMPTY:-fallback}
      file: ${file:secret}
      literal: $${N} and $N and $$
      octal: ${ZEROS}
      clock: ${CLOCK}
      flag: ${FLAG}
      inline: ["${A}"]
      injected: ${YAML}
"""
    env = {"N": "42", "A": "a", "EMPTY": "", "ZEROS": "0123", "CLOCK": "1:30", "FLAG": "yes"}
    (task,) = read(tmp_path, text, **env, YAML="{a: 1}\nb: 2").tasks
    assert task.args == {
        "number": 42,
        "quoted": "42",
        "many": "a-b-42",
        "empty": None,
        "default": "fallback",
        "file": "s3cret",
        "literal": "${N} and $N and $$",
        "octal": "0123",
        "clock": "1:30",
        "flag": True,
        "inline": ["a"],
        "injected": "{a: 1}\nb: 2",
    }


def test_keys_are_text_as_written(tmp_path: Path) -> None:
    config = read(tmp_path, "tasks:\n  17: {run: 'm:f'}\n  on: {run: 'm:f'}\n  1.5: {run: 'm:f'}\n")
    assert [task.name for task in config.tasks] == ["17", "on", "1.5"]


def test_a_relative_path_is_shown_as_given_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("tasks:\n  t: {rum: m}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(Path("config.yaml"), {}, language=Language.EN)
    assert caught.value.problems == [
        "config.yaml:2: tasks.t.run: is missing; add it",
        "config.yaml:2: tasks.t.rum: unknown key; did you mean run?",
    ]


def test_the_shipped_file_is_valid_without_any_variable() -> None:
    config = load(Path(__file__).parents[2] / "config.yaml", {})
    assert [task.run for task in config.tasks] == ["dozor_market.auctions:check_auctions"]
    assert config.database.url is None
    assert config.telegram.token is None


def test_the_environment_is_read_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOZOR_TEST_LANGUAGE", "en")
    path = tmp_path / "config.yaml"
    path.write_text("language: ${DOZOR_TEST_LANGUAGE}\n" + TASK, encoding="utf-8")
    assert load(path).language == "en"
