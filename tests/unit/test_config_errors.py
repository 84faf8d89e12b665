"""Configurations that are not usable: every error, with its line and what would be right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dozor.config import (
    ConfigError,
    load,
)
from dozor.config.source import document
from dozor.language import Language
from tests.effort import cases
from tests.unit.configuring import TASK, TOKEN, only, problems, read


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
         "4: tasks.t.args.x: an alias is inside its own anchor; write the value out"),
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


def test_aliases_that_multiply_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = cases(5_000, document.MOST_VALUES)
    monkeypatch.setattr(document, "MOST_VALUES", limit)
    lines = ["x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 10)]
    found = problems(tmp_path, "\n".join(lines) + "\n" + TASK)
    assert any(f"more than {limit} values" in problem for problem in found)


def test_a_file_that_is_not_there_or_not_readable_gives_one_line(tmp_path: Path) -> None:
    def problem_of(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(path, {}, language=Language.EN)
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
        load(path, {}, language=Language.EN)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TASK.encode())
    assert load(path, {}, language=Language.EN).tasks[0].name == "t"


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
        ("${file:/dev/zero}", "/dev/zero is not a regular file: a secret is read from one"),
        ("${BYTES}", "the value from BYTES is not UTF-8 text without NUL bytes"),
        ("${SECRET}", "1: language: the value of '${SECRET}' is not known here; write auto, ru or en"),
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
        ("telegram", "proxy", "ftp://u:hunter2@h:1", "neither http:// nor https:// nor socks5://"),
        ("telegram", "proxy", "socks4://u:hunter2@h:1080", "of SOCKS only version 5 is supported"),
        ("telegram", "proxy", "socks5://u@h:1080", "a SOCKS password has 1 to 255 ASCII characters"),
        ("telegram", "proxy", "socks5://u:hunter2é@h:1080", "a SOCKS password has 1 to 255 ASCII characters"),
        ("telegram", "proxy", "socks5://:hunter2@h:1080", "a SOCKS user has 1 to 255 ASCII characters"),
        ("telegram", "proxy", f"socks5://u:{'hunter2' * 37}@h:1", "a SOCKS password has 1 to 255"),
        ("telegram", "proxy", "socks5://u:hun/ter2@h:1080", "in a password are written %40 %3A %2F %23 %3F"),
        ("telegram", "proxy", "'socks5://u:hunter2@h:1080?x=1'", "the host and port cannot be read"),
        ("telegram", "proxy", "socks5://u:hunter2@h:x", "write http://host:3128 or socks5://host:1080"),
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
        ("web", "listen", "'::1:9464'", "an IPv6 address needs brackets"),
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
        ("timezone", "UTC", "has no effect without cron; add cron, or remove timezone"),
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
        ("requires", "[redis]", "tasks.t.requires[0]: 'redis' is not known here; known here: database"),
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


_SERVER = "postgresql://u@h:6432/db"


@pytest.mark.parametrize(
    ("database", "place", "remedy"),
    [
        (f"url: {_SERVER}\n  direct_url: {_SERVER}", "3: database.direct_url",
         "is for pooling: transaction only"),
        (f"url: {_SERVER}\n  pooling: session\n  direct_url: {_SERVER}", "4: database.direct_url",
         "add that line if url leads to a pooler such as pgbouncer in transaction mode"),
        (f"url: {_SERVER}\n  pooling: transaction", "3: database.pooling",
         "add direct_url: postgresql://… (the same database past the pooler), or cluster.enabled: true"),
        (f"url: {_SERVER}\n  pooling: transaction\n  direct_url: ''", "3: database.pooling",
         "add direct_url"),
        ("url: embedded\n  pooling: transaction", "3: database.pooling",
         "write the pooler's address under url"),
        (f"url: {_SERVER}\n  pooling: transaction\n  direct_url: embedded", "4: database.direct_url",
         "write postgresql://user@host:5432/database, or leave the key out"),
        (f"url: {_SERVER}\n  pooling: statement", "3: database.pooling", "session"),
    ],
)  # fmt: skip
def test_pooling(tmp_path: Path, database: str, place: str, remedy: str) -> None:
    found = only(tmp_path, f"database:\n  {database}\n{TASK}")
    assert found.startswith(f"config.yaml:{place}: ")
    assert remedy in found


def test_a_cluster_needs_no_session_of_its_own(tmp_path: Path) -> None:
    pooled = f"database:\n  url: {_SERVER}\n  pooling: transaction\n"
    config = read(tmp_path, f"cluster: {{enabled: true}}\n{pooled}{TASK}")
    assert config.database.direct_url is None
