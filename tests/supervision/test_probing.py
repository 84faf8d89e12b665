"""Imports in child processes: what a module does there is reported and harms nothing."""

from __future__ import annotations

import pickle
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dozor.config import ConfigError, load
from dozor.config.imports import probing as probing_module
from dozor.config.imports.checkers import check_file, import_checkers, load_with_checkers
from dozor.config.imports.probing import Hung, Question, probe
from dozor.errors import DozorError
from dozor.language import Language
from tests.waiting import stretched, until

NO_ARGS = pickle.dumps({})
HANGS = "import threading\nthreading.Event().wait(600)\n"
GOOD = "async def check(ctx): ...\ndef plain(): ...\n"


def found(folder: Path, *questions: Question, seconds: float = 5.0) -> list[object]:
    answers = probe(questions, (), folder, frozenset(("BOT_TOKEN",)), seconds=seconds)
    return [answers[question] for question in questions]


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def configuration(folder: Path, *tasks: str, more: str = "") -> Path:
    path = folder / "config.yaml"
    lines = [f"  t{number}: {{{task}}}" for number, task in enumerate(tasks)]
    path.write_text("\n".join(["language: en", more, "tasks:", *lines]) + "\n")
    return path


BAD = (
    ("import sys; sys.exit(3)", "sys.exit was called"),
    ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    ("import os; os._exit(5)", "it ended its process with exit code 5"),
    ("import ctypes; ctypes.string_at(0)", "it made its process end by SIGSEGV"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it made its process end by SIGKILL"),
    ("import os; os.closerange(3, 256)", "cannot be imported"),
    ("import os; os.environ['BOT_TOKEN']", "BOT_TOKEN is withheld from the process of this task"),
)


def test_a_module_that_cannot_be_imported_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, probed_good=GOOD)
    for number, (text, _) in enumerate(BAD):
        write(tmp_path, **{f"probed_bad{number}": f"{text}\n{GOOD}"})
    modules = [f"probed_bad{number}" for number in range(len(BAD))]
    *bad, good = found(
        tmp_path,
        *(Question(f"{module}:check", NO_ARGS) for module in (*modules, "probed_good")),
        seconds=20.0,
    )
    for module, (_, said), answer in zip(modules, BAD, bad, strict=True):
        assert isinstance(answer, tuple), module
        assert [place for place, _ in answer] == [("run",)]
        assert module in answer[0][1]
        assert said in answer[0][1]
    assert good == ()
    assert not {*modules, "probed_good"} & set(sys.modules)


def test_a_module_that_hangs_is_named_with_its_place_and_killed_with_what_it_started(tmp_path: Path) -> None:
    helper = f"import subprocess\nsubprocess.Popen(['sleep', '597'], start_new_session=True)\n{HANGS}"
    write(tmp_path, probed_hangs=helper)
    seconds = round(stretched(0.5), 1)
    [answer] = found(tmp_path, Question("probed_hangs:check"), seconds=seconds)
    assert isinstance(answer, Hung)
    assert f"the import of module probed_hangs does not end within {seconds:g} s" in answer.text
    assert "probed_hangs.py:4 in <module>" in answer.text
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "597"]]


def test_a_module_that_prints_without_end_is_imported(tmp_path: Path) -> None:
    write(tmp_path, probed_prints="for _ in range(100):\n    print('x' * 1_000_000)\n" + GOOD)
    assert found(tmp_path, Question("probed_prints:check", NO_ARGS), seconds=60.0) == [()]


def test_modules_that_share_a_process_are_examined_all_the_same_after_one_that_hangs(tmp_path: Path) -> None:
    write(
        tmp_path, probed_one=GOOD, probed_two=HANGS, probed_three="import os; os._exit(1)\n", probed_four=GOOD
    )
    questions = [Question(f"probed_{name}:check", NO_ARGS) for name in ("one", "two", "three", "four")]
    answers = probe((), questions, tmp_path, seconds=stretched(0.5))
    kinds = [type(answers[question]).__name__ for question in questions]
    assert kinds == ["tuple", "Hung", "tuple", "tuple"]
    assert answers[questions[0]] == answers[questions[3]] == ()
    assert answers[questions[2]] != ()


def test_two_modules_are_probed_at_a_time(tmp_path: Path) -> None:
    names = [f"probed_slow{number}" for number in range(4)]
    write(tmp_path, **dict.fromkeys(names, HANGS))
    began = time.monotonic()
    answers = found(tmp_path, *(Question(f"{name}:check") for name in names), seconds=0.4)
    assert all(isinstance(answer, Hung) for answer in answers)
    assert time.monotonic() - began > 0.8


def test_every_error_of_the_file_is_told_with_those_of_its_imports(tmp_path: Path) -> None:
    write(tmp_path, told_good=GOOD, told_exits="import sys; sys.exit(3)\n")
    path = configuration(
        tmp_path,
        "run: 'told_good:chek', every: soon",
        "run: 'none_such_told:check', timeout: -1s",
        "run: 'told_exits:check', isolation: process, every: 1s",
        "run: 'told_good:check', isolation: process, args: {limit: 3}",
        "run: 'told_good:plain', isolation: inline",
        more="web: {listen: nowhere}",
    )
    for examine in (check_file, load_with_checkers):
        with pytest.raises(ConfigError) as caught:
            examine(path, {})
        told = "\n".join(caught.value.problems)
        for part in (
            "tasks.t0.every:",
            "tasks.t0.run: the module told_good has no chek; did you mean check?",
            "tasks.t1.timeout:",
            "tasks.t1.run: no module named none_such_told",
            "tasks.t2.run: the module told_exits cannot be imported, sys.exit was called",
            "tasks.t3.args: the function",
            "tasks.t4.isolation:",
            "web.listen:",
        ):
            assert part in told, part


def test_a_check_imports_nothing_here(tmp_path: Path) -> None:
    write(tmp_path, checked_apart=GOOD)
    path = configuration(tmp_path, "run: 'checked_apart:check'", "run: 'checked_apart:plain'")
    assert [task.name for task in check_file(path, {}).config.tasks] == ["t0", "t1"]
    assert "checked_apart" not in sys.modules


def test_what_hangs_is_a_problem_of_a_check_and_a_stopped_task_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = round(stretched(0.5), 1)
    monkeypatch.setattr(probing_module, "PROBE_SECONDS", seconds)
    hangs = re.escape(f"hangs_alone does not end within {seconds:g} s")
    write(tmp_path, hangs_alone=HANGS, hangs_not=GOOD)
    path = configuration(
        tmp_path, "run: 'hangs_alone:check', isolation: process", "run: 'hangs_not:check', isolation: process"
    )
    with pytest.raises(ConfigError, match=hangs):
        check_file(path, {})
    with pytest.raises(ConfigError, match=hangs):
        import_checkers(load(path, {}, language=Language.EN))
    loaded = load_with_checkers(path, {}, allow_hung=True)
    assert list(loaded.hung) == ["t0"]
    assert set(loaded.checkers) == {"t0", "t1"}
    assert "hangs_not" not in sys.modules


def test_a_new_module_that_would_end_this_process_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ends_us="import os; os._exit(9)\n")
    path = configuration(tmp_path, "run: 'ends_us:check'")
    with pytest.raises(ConfigError, match="ended its process with exit code 9"):
        load_with_checkers(path, {}, probe_new=True)


async def test_a_function_that_was_added_after_the_import_is_explained(tmp_path: Path) -> None:
    write(tmp_path, added_later="async def first(): ...\n")
    path = configuration(tmp_path, "run: 'added_later:first'")
    load_with_checkers(path, {})
    module = tmp_path / "added_later.py"
    before = module.stat().st_mtime_ns

    def changed() -> bool:
        write(tmp_path, added_later="async def first(): ...\nasync def second(): ...\n")
        return module.stat().st_mtime_ns > before

    await until(changed)
    configuration(tmp_path, "run: 'added_later:first'", "run: 'added_later:second'")
    with pytest.raises(DozorError, match=r"added_later\.py is newer than what was imported; restart"):
        load_with_checkers(path, {})
    configuration(tmp_path, "run: 'added_later:first'", "run: 'added_later:second', isolation: process")
    assert set(load_with_checkers(path, {}).checkers) == {"t0", "t1"}


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("env: [1A]", "t0.env: '1A' is not the name of a variable"),
        ("env: KEY", "t0.env: 'KEY' is not a list"),
        ("env: [KEY], isolation: thread", "t0.env: has no effect without isolation: process"),
        (
            "isolation: process, args: {table: '${file:table}', more: '${file:table}'}",
            "t0.args: 4.2MB are too",
        ),
    ],
)
def test_env_and_the_size_of_arguments_are_checked(tmp_path: Path, task: str, said: str) -> None:
    (tmp_path / "table").write_text("x" * 1_048_576)
    task = task.replace("more:", "b: '${file:table}', c: '${file:table}', more:")
    path = configuration(tmp_path, f"run: 'math:floor', {task}")
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(path, {}, language=Language.EN)


WRAPPED = """
import functools

def traced(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper

@traced
async def payouts(ctx): ...

def simple(): ...
part = functools.partial(payouts, limit=1)

class Account:
    @classmethod
    async def all(cls): ...
    async def __call__(self): ...
    def one(self): ...
    @classmethod
    def stream(cls):
        yield 1

account = Account()
method = account.one
generator = functools.partial(Account.stream)
"""


def test_a_check_says_what_it_found_behind_wrappers(tmp_path: Path) -> None:
    write(tmp_path, wrapped_mine=WRAPPED)
    names = ("payouts", "part", "Account.all", "account", "method", "simple")
    path = configuration(tmp_path, *(f"run: 'wrapped_mine:{name}'" for name in names))
    assert check_file(path, {}).notes == (
        "t0: a decorator's function payouts, in the end async def payouts; called in a thread, and awaited",
        "t1: functools.partial → a decorator's function payouts, in the end async def payouts; "
        "called in a thread, and awaited",
        "t2: a class method of Account, in the end async def Account.all",
        "t3: an object of class Account, in the end async def Account.__call__",
        "t4: a method of an object of class Account, in the end def Account.one",
    )
    path = configuration(tmp_path, "run: 'wrapped_mine:generator'")
    with pytest.raises(ConfigError, match=r"Account\.stream"):
        check_file(path, {})


SETUPS = Path(__file__).with_name("setups.py").read_text(encoding="utf-8")
TASK = "tasks:\n  t:\n    run: dozor_setups:nothing\n"


@pytest.fixture
def setups(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "dozor_setups.py").write_text(SETUPS, encoding="utf-8")
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("dozor_setups", None)


@pytest.mark.parametrize("isolation", ["inline", "process"])
@pytest.mark.parametrize("probed", [False, True])
def test_bad_setups_are_named_with_their_lines(setups: Path, isolation: str, probed: bool) -> None:
    bad = ("undecorated", "plain", "coroutine", "wants", "nope", "Context")
    lines = ["language: en", "setup: dozor_setups:nothing", "tasks:"]
    lines += [
        f"  {name}: {{run: 'dozor_setups:nothing', setup: 'dozor_setups:{name}', isolation: {isolation}}}"
        for name in bad
    ]
    lines.append("  broken: {run: 'dozor_setups:nothing', every: soon, setup: 'dozor_setups:gone'}")
    lines.append("  good: {run: 'dozor_setups:nothing', setup: 'dozor_setups:own'}")
    path = setups / "config.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        check_file(path) if probed else load_with_checkers(path, language=Language.EN)
    found = [problem.removeprefix(f"{setups}/") for problem in caught.value.problems]
    places = [": ".join(problem.split(": ")[:2]) for problem in found]
    assert places == [
        "config.yaml:2: setup",
        *(f"config.yaml:{number}: tasks.{name}.setup" for number, name in enumerate(bad, start=4)),
        "config.yaml:10: tasks.broken.every",
        "config.yaml:10: tasks.broken.setup",
    ]
    assert "asynccontextmanager" in found[1]
    assert "config" in found[4].split("parameter", 1)[1]


def test_a_good_setup_is_accepted(setups: Path) -> None:
    path = setups / "config.yaml"
    path.write_text("setup: dozor_setups:shared\n" + TASK + "    setup: dozor_setups:own\n", encoding="utf-8")
    loaded = load_with_checkers(path, language=Language.EN)
    assert list(loaded.checkers) == ["t"]
    assert loaded.checkers["t"].__name__ == "nothing"
