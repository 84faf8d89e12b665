from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runner.config import (
    ChatTarget,
    Config,
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

TASK = "tasks:\n  t:\n    run: m:f\n"
TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz_0123"


def read(folder: Path, text: str, **env: str) -> Config:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, env)


def problems(folder: Path, text: str, **env: str) -> list[str]:
    """The problems of `text`, without the folder in front."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, **env)
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


def only(folder: Path, text: str, **env: str) -> str:
    found = problems(folder, text, **env)
    assert len(found) == 1, found
    return found[0]


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
    run: runner.checkers.presales:check_presales
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
        load(Path("config.yaml"), {})
    assert caught.value.problems == [
        "config.yaml:2: tasks.t.run: is missing; add it",
        "config.yaml:2: tasks.t.rum: unknown key; did you mean run?",
    ]


def test_the_shipped_file_is_valid_without_any_variable() -> None:
    config = load(Path(__file__).parents[2] / "config.yaml", {})
    assert [task.run for task in config.tasks] == ["runner.checkers.auctions:check_auctions"]
    assert config.database.url is None
    assert config.telegram.token is None


def test_the_environment_is_read_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOZOR_TEST_LANGUAGE", "en")
    path = tmp_path / "config.yaml"
    path.write_text("language: ${DOZOR_TEST_LANGUAGE}\n" + TASK, encoding="utf-8")
    assert load(path).language == "en"


# Broken files


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: the file is empty; name at least one task under tasks:"),
        ("# nothing\n", "1: the file is empty; name at least one task under tasks:"),
        ("---\n", "1: the file is empty; name at least one task under tasks:"),
        ("- a\n", "1: the file holds a list; write sections, such as tasks:"),
        ("\ntext\n", "2: the file holds text; write sections, such as tasks:"),
        ("tasks:\n\tt: 1\n", "2: a tab indents this line; indent with spaces"),
        (TASK + "---\n" + TASK, "4: a second document begins here; keep one, without ---"),
        ("a: 'x\nb: 1\n", "1: a quote that opens here is never closed; close it"),
        ("a: [1, 2\nb: 3\n", "1: a [ or { that opens here is not closed properly; close it"),
        ("a: 1\nb c\nd: 1\n", "2: a key without its ':'; write key: value"),
        ("a: @x\n", "1: a value cannot begin with this character; put it in quotes"),
        ("a: *x\n", "1: the alias (*) names no anchor (&) above it; define it first"),
        ("t: {a: ${X}}\n", '1: within { } or [ ] a reference needs quotes: "${NAME}"'),
        ("a: 1\nl: [::1]:9464\n", '2: an address in [ ] needs quotes: "[::1]:9464"'),
        ("a: b: c\n", "1: a ':' is not expected here; check the indentation, or put text that holds "
         "': ' in quotes"),
        ("a: &x 1\nb: &x 2\n", "2: an anchor (&) of this name exists already; give it another name"),
        ("a: \x07\n", "1: the character U+0007 is not allowed in YAML; remove it"),
        ("a: " + "[" * 100_000, "1: nested far too deeply; flatten it"),
        ("tasks: null\n", "1: tasks: no task is named; write a name, and run: module:function under it"),
        ("language: ru\n", "1: tasks: no task is named; write a name, and run: module:function under it"),
        ("tasks: {}\n", "1: tasks: no task is named; write a name, and run: module:function under it"),
        ("tasks: [a]\n", "1: tasks: must be a mapping of names to tasks, not a list"),
        ("defaults: 5\n" + TASK, "1: defaults: must be a mapping, lines of key: value, not a number"),
        ("web: on\n" + TASK, "1: web: must be a mapping, lines of key: value, not true or false"),
        (TASK + "  t:\n    run: m:g\n", "4: tasks.t: the key is already on line 2; remove one of the two"),
        (TASK + "    args: !!python/name:os.system x\n",
         "4: tasks.t.args: the tag !!python/name:os.system has no meaning here; remove it"),
        (TASK + "    args: {a: !!set {x}}\n", "4: tasks.t.args.a: the tag !!set has no meaning here; "
         "remove it"),
        (TASK + "    args: {a: 2024-13-45}\n",
         "4: tasks.t.args.a: the value is not a valid timestamp; correct it, or put it in quotes"),
        (TASK + "    args: {a: !!bool x}\n",
         "4: tasks.t.args.a: the value is not a valid bool; correct it, or put it in quotes"),
        (TASK + "    args: {? [a] : 1}\n", "4: tasks.t.args: a key must be text, not a list or a mapping"),
        (TASK + "    args: &a {x: *a}\n",
         "4: tasks.t.args.x: an alias stands inside its own anchor; write the value out"),
        (TASK + "    args: &a {<<: *a}\n",
         "4: tasks.t.args: <<: leads back to itself, or to far too much; write the keys out"),
        (TASK + "    <<: 5\n", "4: tasks.t: <<: takes *anchor of a mapping, or a list of such"),
        (TASK + "    args: {x: " + "[" * 60 + "]" * 60 + "}\n", None),
    ],
)  # fmt: skip
def test_a_broken_file_gives_one_clear_line(tmp_path: Path, text: str, expected: str | None) -> None:
    found = only(tmp_path, text)
    if expected is None:
        assert found.endswith("nested more than 50 levels deep; flatten it")
    else:
        assert found == f"config.yaml:{expected}"


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 10)]
    found = problems(tmp_path, "\n".join(lines) + "\n" + TASK)
    assert any("more than 500000 values" in problem for problem in found)


def test_a_file_that_is_not_there_or_not_readable_gives_one_line(tmp_path: Path) -> None:
    def problem_of(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(path, {})
        (problem,) = caught.value.problems
        return problem

    missing = tmp_path / "none.yaml"
    assert problem_of(missing) == f"{missing}: no such file; create it, or name another one with -c FILE"
    assert problem_of(tmp_path) == f"{tmp_path}: this is a folder; name the file in it with -c FILE"
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    assert problem_of(latin) == f"{latin}:2: not UTF-8 text; save the file as UTF-8"
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    assert problem_of(loop).startswith(f"{loop}: cannot be read: Too many levels of symbolic links")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_gives_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.touch(mode=0o000)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(path, {})


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TASK.encode())
    assert load(path, {}).tasks[0].name == "t"


# Values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "${NOPE}",
            "1: language: the environment variable NOPE is not set; set it, or write ${NOPE:-default}",
        ),
        ("${A${B}}", "1: language: '${' without its '}', or one inside another; write"),
        ("${A", "1: language: '${' without its '}', or one inside another; write"),
        ("${A B}", "1: language: '${A B}' is not understood; write"),
        ("${}", "1: language: '${}' is not understood; write"),
        ("${file:}", "1: language: '${file:}' names no file"),
        ("${file:none}", "/none cannot be read: No such file or directory; correct the path"),
        ("${file:.}", "cannot be read: Is a directory"),
        ("${file:binary}", "binary is not UTF-8 text"),
        ("${file:nul}", "is not UTF-8 text without NUL bytes"),
        ("${file:/dev/zero}", "the file /dev/zero is larger than 1 MiB"),
        ("${BYTES}", "the value from BYTES is not UTF-8 text without NUL bytes"),
        ("${SECRET}", "1: language: the value of '${SECRET}' is not known here; write ru or en"),
    ],
)
def test_a_reference_that_cannot_be_filled_in_is_an_error(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "nul").write_bytes(b"a\0b")
    found = only(tmp_path, f"language: {text}\n{TASK}", SECRET="hunter2hunter2", BYTES="a\udcff")
    assert expected in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("database", "url", "mysql://u:hunter2@h/d", "neither embedded nor a PostgreSQL URL"),
        ("database", "url", "embeded-hunter2", "neither embedded nor a PostgreSQL URL"),
        ("database", "url", "'postgresql://u:hun#ter2@h/d'", "in a password are written %40 %3A %2F %23 %3F"),
        ("database", "url", "postgresql://u:hun/ter2@h/d", "in a password are written %40 %3A %2F %23 %3F"),
        ("database", "url", "postgresql://u:hunter2@h:99999/d", "the host and port cannot be read"),
        ("database", "url", "'postgresql://u:hunter2@[::1/d'", "the URL cannot be read"),
        ("database", "url", "postgresql:///d", "the URL names no host"),
        ("database", "url", "", "is empty; write embedded or postgresql://"),
        ("database", "url", "5", "this is not a URL"),
        ("database", "data_dir", "[a]", "must be text, not a list; put it in quotes"),
        ("telegram", "token", "hunter2", "this is not a bot's token"),
        ("telegram", "token", "12345:hun ter2", "this is not a bot's token"),
        ("telegram", "proxy", "ftp://u:hunter2@h:1", "neither http:// nor https://"),
        ("telegram", "proxy", "socks5://u:hunter2@h:1080", "SOCKS is not spoken here, only HTTP"),
        ("telegram", "proxy", "http://u:hunter2@", "the host and port cannot be read"),
        ("telegram", "api_url", "ftp://x", "neither http:// nor https://"),
        ("telegram", "api_url", "https://u:hunter2@x", "holds more than an address"),
        ("telegram", "api_url", "http://", "the host and port cannot be read"),
        ("telegram", "chat", "'@dozor'", "'@dozor' is a public name; write the numeric id"),
        ("telegram", "chat", "0", "0 is not a chat"),
        ("telegram", "chat", "'-100:x'", "'-100:x' is not a chat"),
        ("telegram", "chat", "'-100:0'", "names no topic behind its ':'"),
        ("telegram", "chat", "true", "true is not a chat"),
        ("telegram", "chat", "[1]", "a list is not a chat"),
        ("telegram", "chat", "9999999999999999", "is not a chat"),
        ("telegram", "admins", "{a: 1}", "must be a list, in [ ] or lines of - value, not a mapping"),
        ("telegram", "admins", "[-100123]", "telegram.admins[0]: -100123 is the id of a chat"),
        ("telegram", "admins", "['@vasya']", "'@vasya' is a name, which its owner can give away"),
        ("telegram", "viewers", "[1.5, 1]", "telegram.viewers[0]: 1.5 is not a Telegram user id"),
        ("telegram", "admin", "[1]", "telegram.admin: unknown key; did you mean admins?"),
        ("alerts", "repeated_errors", "0", "0 is too small; the least is 1"),
        ("alerts", "repeated_errors", "true", "true is not a whole number"),
        ("alerts", "repeated_errors", "2.5", "2.5 is not a whole number"),
        ("alerts", "remind_every", "0", "0 is too short; the shortest is 1ms"),
        ("alerts", "remind_every", ".inf", "inf is not a length of time"),
        ("alerts", "remind_every", "soon", "'soon' is not a duration; write 60s, 5m, 1h30m or a number"),
        ("web", "listen", "9464", "9464 has no host; write 127.0.0.1:9464"),
        ("web", "listen", "localhost", "'localhost' has no port"),
        ("web", "listen", "http://x:1", "'http://x:1' is a URL"),
        ("web", "listen", "x:70000", "'x:70000': a port is at most 65535"),
        ("web", "listen", "'::1:9464'", "an IPv6 address stands in brackets"),
        ("web", "listen", "a b:1", "'a b:1' is not an address"),
        ("web", "port", "1", "web.port: unknown key; known here: listen"),
    ],
)
def test_a_bad_value_of_a_section(tmp_path: Path, section: str, key: str, value: str, expected: str) -> None:
    chat = "  chat: 1\n" if key == "token" else ""
    found = only(tmp_path, f"{section}:\n  {key}: {value}\n{chat}{TASK}")
    assert found.startswith(f"config.yaml:2: {section}.{key}")
    assert expected in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("run", "m.f", "'m.f' has no ':' before the function; write m:f"),
        ("run", "src/m.py:f", "'src/m.py:f' is a path; write the module's name: src.m:f"),
        ("run", "m:f()", "'m:f()' is not a function; write module:function or module:Class.method"),
        ("run", "m:A.b.c", "is not a function"),
        ("run", "", "an empty value is not a function"),
        ("every", "0", "0 is too short"),
        ("every", "-5s", "'-5s' is not a duration"),
        ("every", "1:30", "'1:30' is not a duration"),
        ("cron", "'* * * *'", "'* * * *' has 4 fields; write \"minute hour"),
        ("cron", "'61 * * * *'", "the minute field of '61 * * * *' is not valid"),
        ("cron", "'* * * * FOO'", "the day-of-week field of '* * * * FOO' is not valid"),
        ("cron", "'0 0 30 2 *'", "the day-of-month field of '0 0 30 2 *' is not valid"),
        ("cron", f"'{'9' * 5000} * * * *'", "is not a cron expression"),
        ("cron", "5", "5 is not a cron expression"),
        ("timezone", "UTC", "means nothing without cron; add cron, or remove timezone"),
        ("args", "[1]", "must be a mapping, lines of key: value, not a list"),
        ("restart_delay", "soon", "'soon' is not a duration"),
        ("restart_delay", "{factor: 2}", "tasks.t.restart_delay.initial: is missing; add it"),
        ("restart_delay", "{initial: 5m, max: 1m}", "max (1m) is below initial (5m); make it at least 5m"),
        (
            "restart_delay",
            "{initial: 1s, factor: 0.5}",
            "restart_delay.factor: 0.5 is too small; the least is 1",
        ),
        ("restart_delay", "{initial: 1s, factor: .nan}", "nan is not a number"),
        ("restart_delay", "{initial: 1s, jitter: 2}", "restart_delay.jitter: 2 is too large; the most is 1"),
        ("restart_delay", "{initial: 1s, jitter: yes}", "true is not a number"),
        ("max_consecutive_failures", "0", "0 is too small; the least is 1"),
        ("max_consecutive_failures", "five", "'five' is not a whole number"),
        (
            "misfire",
            "run-once",
            "'run-once' is not known here; write run_once or skip; did you mean run_once?",
        ),
        ("isolation", "tread", "write inline, thread or process; did you mean thread?"),
        ("requires", "database", "must be a list, in [ ] or lines of - value, not text"),
        ("requires", "[redis]", "tasks.t.requires[0]: 'redis' is not known here; write database"),
        ("on_critical", "go", "'go' is not understood; write stop or {retry_every: 10m}"),
        ("on_critical", "{retry_every: x}", "tasks.t.on_critical.retry_every: 'x' is not a duration"),
        (
            "on_critical",
            "{retry_every: 1m, a: 1}",
            "tasks.t.on_critical.a: unknown key; known here: retry_every",
        ),
        (
            "alerts",
            "{remind_evry: 1m}",
            "tasks.t.alerts.remind_evry: unknown key; did you mean remind_every?",
        ),
        ("enabled", "maybe", "'maybe' is neither true nor false"),
        ("enabled", "null", "an empty value is neither true nor false"),
        ("description", "[a]", "must be text, not a list; put it in quotes"),
        ("description", "5", "must be text, not a number; put it in quotes"),
        ("name", "x", "unknown key; a task's name is its key under tasks:"),
        ("evry", "5s", "tasks.t.evry: unknown key; did you mean every?"),
    ],
)
def test_a_bad_value_of_a_task(tmp_path: Path, key: str, value: str, expected: str) -> None:
    run = "" if key == "run" else "    run: m:f\n"
    found = only(tmp_path, f"tasks:\n  t:\n    {key}: {value}\n{run}")
    assert found.startswith(f"config.yaml:3: tasks.t.{key}")
    assert expected in found


@pytest.mark.parametrize("name", ["a b", "й", "x" * 41, "a:b", "''", "all"])
def test_a_bad_name_of_a_task(tmp_path: Path, name: str) -> None:
    found = only(tmp_path, f"tasks:\n  {name}:\n    run: m:f\n")
    assert found.startswith("config.yaml:2: tasks")
    assert "name" in found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Europe/Moscw", "did you mean Europe/Moscow?"),
        ("Moscow", "did you mean Europe/Moscow?"),
        ("../../etc/passwd", "is not a known timezone"),
        ("Europe", "is not a known timezone"),
        ("3", "3 is not a timezone"),
    ],
)
def test_an_unknown_timezone(tmp_path: Path, written: str, expected: str) -> None:
    found = only(tmp_path, f"timezone: {written}\n{TASK}    cron: '* * * * *'\n")
    assert found.startswith("config.yaml:1: timezone: ")
    assert expected in found


def test_every_and_cron_exclude_each_other(tmp_path: Path) -> None:
    expected = "tasks.t.cron: every and cron exclude each other; keep one of them"
    assert expected in only(tmp_path, TASK + "    every: 5s\n    cron: '* * * * *'\n")
    text = "defaults: {every: 5s, cron: '* * * * *'}\ntasks:\n  t: {run: 'm:f'}\n"
    assert "1: defaults.cron: every and cron" in only(tmp_path, text)


def test_a_token_needs_a_chat(tmp_path: Path) -> None:
    found = only(tmp_path, "telegram:\n  token: ${T}\n" + TASK, T=TOKEN)
    assert found.startswith("config.yaml:1: telegram.chat: a token without a chat")
    assert "set telegram.chat" in found
    assert TOKEN not in found
    assert read(tmp_path, "telegram:\n  token: ${T}\n  chat: 5\n" + TASK, T=TOKEN).telegram.admins == ()


def test_a_task_that_would_be_overdue_all_the_time_is_refused(tmp_path: Path) -> None:
    found = only(tmp_path, TASK + "    every: 5m\n    overdue_after: 1m\n")
    assert found.startswith("config.yaml:5: tasks.t.overdue_after: after 1m a task that runs every 5m")


def test_an_error_in_defaults_is_reported_once_on_its_line(tmp_path: Path) -> None:
    text = """\
defaults:
  timeout: x
  restart_delay: {initial: 1s, fctor: 2}
tasks:
  a: {run: "m:f"}
  b: {run: "m:f"}
"""
    assert problems(tmp_path, text) == [
        "config.yaml:2: defaults.timeout: 'x' is not a duration; write 60s, 5m, 1h30m or a number of seconds",
        "config.yaml:3: defaults.restart_delay.fctor: unknown key; did you mean factor?",
    ]


def test_all_errors_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = """\
langauge: ru
telegram:
  token: ${TOKEN}
  chat: nowhere
  admins: [1, x]
tasks:
  a:
    every: 5x
    every: 6x
    cron: "* *"
    run: ${UNSET}
  b c: {}
web: {listen: x}
"""
    found = problems(tmp_path, text, TOKEN="not-a-token-hunter2")
    assert [problem.split(": ")[0:2] for problem in found] == [
        ["config.yaml:1", "langauge"],
        ["config.yaml:3", "telegram.token"],
        ["config.yaml:4", "telegram.chat"],
        ["config.yaml:5", "telegram.admins[1]"],
        ["config.yaml:9", "tasks.a.every"],
        ["config.yaml:10", "tasks.a.cron"],
        ["config.yaml:10", "tasks.a.cron"],
        ["config.yaml:11", "tasks.a.run"],
        ["config.yaml:12", "tasks.b c"],
        ["config.yaml:12", "tasks.b c.run"],
        ["config.yaml:13", "web.listen"],
    ]
    assert "hunter2" not in "".join(found)


def test_a_secret_pasted_in_the_wrong_place_does_not_come_out(tmp_path: Path) -> None:
    text = f"telegram:\n  {TOKEN.replace(':', '_')}: x\n  chat: '{TOKEN}'\n{TOKEN}: 1\n{TASK}"
    found = "\n".join(problems(tmp_path, text))
    assert TOKEN not in found


def test_secrets_do_not_show_when_a_config_is_printed(tmp_path: Path) -> None:
    text = "database: {url: 'postgresql://u:hunter2@h/d'}\ntelegram: {token: '${T}', chat: 1, proxy: 'http://u:hunter2@h:1'}\n"
    shown = repr(read(tmp_path, text + TASK, T=TOKEN))
    assert "hunter2" not in shown
    assert TOKEN not in shown
