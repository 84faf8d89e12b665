from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from dozor.config import Config, ConfigError, Isolation, load
from dozor.config.imports import channels
from dozor.config.imports.checkers import CheckerImportError, import_checker, import_checkers
from dozor.config.imports.probing import RemoteChecker
from dozor.config.imports.signatures import is_async, isolation_of, takes_context
from dozor.language import Language

MODULE = """
import functools

async def check(): ...
async def with_context(ctx): ...
async def with_args(ctx, limit, *, dry_run=False): ...
async def open_ended(**kwargs): ...
async def needs(account): ...
async def positional(ctx, /): ...
def plain(ctx): ...
async def stream():
    yield 1
def generate():
    yield 1
constant = 5
partial = functools.partial(with_args, limit=3)

class Account:
    @staticmethod
    async def static(): ...
    @classmethod
    async def of_class(cls, ctx): ...
    async def method(self): ...

class Callable:
    async def __call__(self, ctx): ...
instance = Callable()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a module of checkers; what is imported from it is forgotten afterwards."""
    (tmp_path / "dozor_sample.py").write_text(MODULE, encoding="utf-8")
    before = set(sys.modules)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:  # libraries stay: a second copy of one would not know the first
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def configured(folder: Path, *tasks: str) -> Config:
    lines = [f"  t{number}: {{{task}}}" for number, task in enumerate(tasks)]
    path = folder / "config.yaml"
    path.write_text("\n".join(["tasks:", *lines]) + "\n", encoding="utf-8")
    return load(path, {}, language=Language.EN)


def refusal(folder: Path, run: str) -> str:
    with pytest.raises(CheckerImportError) as caught:
        import_checker(run, folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("run", "asynchronous", "context"),
    [
        ("dozor_sample:check", True, False),
        ("dozor_sample:with_context", True, True),
        ("dozor_sample:plain", False, True),
        ("dozor_sample:Account.static", True, False),
        ("dozor_sample:Account.of_class", True, True),
        ("dozor_sample:instance", True, True),
        ("dozor_sample:partial", True, True),
        ("builtins:print", False, False),
    ],
)
def test_a_checker_beside_the_config_file_is_found(
    folder: Path, run: str, asynchronous: bool, context: bool
) -> None:
    function = import_checker(run, folder)
    assert is_async(function) is asynchronous
    assert takes_context(function) is context
    assert isolation_of(function, None) is (Isolation.INLINE if asynchronous else Isolation.THREAD)
    assert isolation_of(function, Isolation.PROCESS) is Isolation.PROCESS


def test_a_file_beside_the_config_does_not_stand_in_for_the_standard_library(folder: Path) -> None:
    (folder / "colorsys.py").write_text("async def check(): ...\n", encoding="utf-8")
    found = refusal(folder, "colorsys:check")
    assert "the module colorsys has no check" in found
    assert f"the one in {folder} is hidden by it: rename that one" in found


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("dozor_sample:chek", "the module dozor_sample has no chek; did you mean check?"),
        ("dozor_sample:zzz", "the module dozor_sample has no zzz; correct the name"),
        ("dozor_sample:Acount.static", "the module dozor_sample has no Acount; did you mean Account?"),
        ("dozor_sample:Account.statik", "the class Account has no statik; did you mean static?"),
        ("dozor_sample:check.x", "check in the module dozor_sample is not a class; write module:function"),
        (
            "dozor_sample:Account.method",
            "Account.method needs an instance of Account; make it a @staticmethod or a @classmethod",
        ),
        (
            "dozor_sample:constant",
            "constant in the module dozor_sample is int, not a function; name a function",
        ),
        ("dozor_sampel:check", "no module named dozor_sampel; looked in"),
        ("dozor_sampel:check", "; did you mean dozor_sample?"),
        ("dozor_sample.sub:check", "no module named dozor_sample.sub"),
        ("none_such.sub:check", "no module named none_such; looked in"),
    ],
)
def test_a_function_that_is_not_there_is_named_with_the_nearest_one(
    folder: Path, run: str, expected: str
) -> None:
    assert expected in refusal(folder, run)


def test_the_traceback_of_a_failing_import_begins_in_the_users_code(folder: Path) -> None:
    (folder / "dozor_outer.py").write_text("import dozor_inner\n", encoding="utf-8")
    (folder / "dozor_inner.py").write_text(
        dedent("""
            def configure():
                try:
                    {}["missing"]
                except KeyError as error:
                    raise RuntimeError("cannot configure") from error
            configure()
        """),
        encoding="utf-8",
    )
    found = refusal(folder, "dozor_outer:check")
    assert found.startswith(
        "the module dozor_outer cannot be imported, it raised an error; correct it:\nTraceback"
    )
    assert "RuntimeError: cannot configure" in found
    assert "KeyError: 'missing'" in found
    assert "importlib" not in found
    assert "runner/dozor/config" not in found
    files = [line.strip() for line in found.splitlines() if line.startswith("  File")]
    assert str(folder / "dozor_inner.py") in files[0]
    assert str(folder / "dozor_outer.py") in files[1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import none_such_module\n", "ModuleNotFoundError: No module named 'none_such_module'"),
        ("import sys\nsys.exit(3)\n", "sys.exit was called; correct it:"),
        ("raise BaseException('odd')\n", "BaseException: odd"),
        ("import asyncio\nraise asyncio.CancelledError\n", "CancelledError"),
        ("def f(): f()\nf()\n", "RecursionError"),
        ("raise ExceptionGroup('several', [ValueError('one'), KeyError('two')])\n", "ValueError: one"),
        ("x = '\\udc80'\nraise ValueError(x)\n", "ValueError"),
    ],
)
def test_whatever_a_module_raises_is_a_problem_and_not_an_exit(
    folder: Path, source: str, expected: str
) -> None:
    (folder / "dozor_failing.py").write_text(source, encoding="utf-8")
    found = refusal(folder, "dozor_failing:check")
    assert found.startswith("the module dozor_failing cannot be imported")
    assert expected in found
    assert "dozor_failing" not in sys.modules


async def test_a_module_may_run_a_loop_of_its_own_while_it_is_imported(folder: Path) -> None:
    (folder / "dozor_loading.py").write_text(
        "import asyncio\nasync def load(): return 7\nLOADED = asyncio.run(load())\nasync def check(): ...\n",
        encoding="utf-8",
    )
    loop = asyncio.get_running_loop()
    try:
        assert is_async(import_checker("dozor_loading:check", folder))
        assert sys.modules["dozor_loading"].LOADED == 7
    finally:
        sys.modules.pop("dozor_loading", None)
    assert asyncio.get_running_loop() is loop
    assert await asyncio.sleep(0, "goes on") == "goes on"


def test_ctrl_c_during_an_import_is_still_ctrl_c(folder: Path) -> None:
    (folder / "dozor_slow.py").write_text("raise KeyboardInterrupt\n", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        import_checker("dozor_slow:check", folder)


def test_a_broken_checker_of_today_can_be_imported_once_it_is_mended(folder: Path) -> None:
    refusal(folder, "dozor_late:check")
    (folder / "dozor_late.py").write_text("async def check(): ...\n", encoding="utf-8")
    assert inspect.iscoroutinefunction(import_checker("dozor_late:check", folder))


def test_all_enabled_tasks_are_imported(folder: Path) -> None:
    config = configured(
        folder,
        "run: 'dozor_sample:check'",
        "run: 'dozor_sample:with_args', args: {limit: 1, dry_run: true}",
        "run: 'dozor_sample:open_ended', args: {anything: 1}",
        "run: 'dozor_sample:partial', args: {limit: 5}",
        "run: 'dozor_sample:plain', isolation: process",
        "run: 'none_such:check', enabled: false",
        "run: 'builtins:print', args: {end: ''}",
    )
    checkers = import_checkers(config)
    assert set(checkers) == {"t0", "t1", "t2", "t3", "t4", "t6"}
    assert isinstance(checkers["t4"], RemoteChecker), "it is imported in child processes only"
    assert checkers["t0"].__name__ == "check"


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("run: 'dozor_sample:Account'", "tasks.t0.run: Account is a class; name a function"),
        ("run: 'dozor_sample:stream'", "tasks.t0.run: it holds a yield"),
        ("run: 'dozor_sample:generate'", "tasks.t0.run: it holds a yield"),
        ("run: 'dozor_sample:needs'", "tasks.t0.args: the function needs account; give it under args:"),
        ("run: 'dozor_sample:with_args'", "tasks.t0.args: the function needs limit"),
        (
            "run: 'dozor_sample:with_args', args: {limit: 1, dryrun: 1}",
            "tasks.t0.args: the function has no argument dryrun; did you mean dry_run?",
        ),
        (
            "run: 'dozor_sample:check', args: {x: 1}",
            "tasks.t0.args: the function has no argument x; it takes no arguments",
        ),
        ("run: 'dozor_sample:open_ended', args: {ctx: 1}", "tasks.t0.args: ctx is given by the runner"),
        ("run: 'dozor_sample:positional'", "tasks.t0.args: the function's ctx cannot be given by name"),
        (
            "run: 'dozor_sample:plain', isolation: inline",
            "tasks.t0.isolation: a plain def would block the loop; write thread or process",
        ),
    ],
)
def test_a_function_that_cannot_be_called_as_configured_is_refused(
    folder: Path, task: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        import_checkers(configured(folder, task))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{folder}/config.yaml:2: {expected}")


def test_every_checker_that_cannot_be_imported_is_reported_with_its_line(folder: Path) -> None:
    (folder / "dozor_bad.py").write_text("1 / 0\n", encoding="utf-8")
    config = configured(
        folder,
        "run: 'none_such:f'",
        "run: 'dozor_sample:check'",
        "run: 'dozor_bad:f'",
        "run: 'dozor_sample:nope'",
    )
    with pytest.raises(ConfigError) as caught:
        import_checkers(config)
    heads = [problem.removeprefix(f"{folder}/").partition(": ")[0] for problem in caught.value.problems]
    assert heads == ["config.yaml:2", "config.yaml:4", "config.yaml:5"]
    assert "ZeroDivisionError" in caught.value.problems[1]


def test_secrets_in_the_traceback_of_an_import_are_hidden(folder: Path) -> None:
    (folder / "dozor_leak.py").write_text("raise ValueError('no hunter2hunter2 here')\n", encoding="utf-8")
    config = configured(folder, "run: 'dozor_leak:f', args: {api_key: hunter2hunter2}")
    with pytest.raises(ConfigError) as caught:
        import_checkers(config)
    assert "hunter2" not in str(caught.value)
    assert "ValueError: no *** here" in str(caught.value)


def test_urls_that_apprise_does_not_know_are_reported_with_the_checkers_by_line_and_without_a_word_of_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "config.yaml"
    path.write_text(
        "alerts:\n"
        "  second_channel:\n"
        "    urls:\n"
        "      - json://127.0.0.1/fine\n"
        "      - nonsense://u:hunter2@h\n"
        "      - hunter2hunter2\n"
        "      - mailto://hunter2\n"
        "tasks:\n"
        "  t: {run: 'none_such:f'}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        import_checkers(load(path, {}, language=Language.EN))
    heads = [
        ": ".join(problem.removeprefix(f"{folder}/").split(": ")[:3]) for problem in caught.value.problems
    ]
    unknown = "Apprise does not know this URL, or a part of it is missing; its forms are at https"
    assert [head.partition("://")[0] for head in heads] == [
        *(f"config.yaml:{line}: alerts.second_channel.urls[{line - 4}]: {unknown}" for line in (5, 6, 7)),
        heads[3],
    ]
    assert heads[3].startswith("config.yaml:9: tasks.t.run")
    shown = capsys.readouterr()
    assert "hunter2" not in str(caught.value) + shown.out + shown.err


def test_without_apprise_a_second_channel_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "is_installed", lambda extra: False)
    path = folder / "config.yaml"
    path.write_text(
        "alerts: {second_channel: {urls: ['json://h']}}\ntasks:\n  t: {run: 'dozor_sample:check'}\n"
    )
    with pytest.raises(
        ConfigError, match=r"config.yaml:1: alerts.second_channel: needs Apprise: pip install"
    ):
        import_checkers(load(path, {}, language=Language.EN))
