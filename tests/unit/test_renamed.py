"""Names of version 0.1 in a configuration and in a user's checkers; extras that are not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import dozor
from dozor import extras
from dozor.config import ConfigError, load
from dozor.config.imports.checkers import CheckerImportError, import_checker, import_checkers
from dozor.config.source.renamed import PUBLIC, new_name
from dozor.extras import Extra, extra_of, install_command
from tests.house.sources import ROOT

USERS = ("dozor_old", "dozor_outer", "dozor_mine")
"""Modules that the tests write."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, the only one that user modules come from; they are forgotten afterwards.

    The repository's root is no place to import from here: its `runner/` would be a package of that name.
    """
    path = list(sys.path)
    sys.path[:] = [entry for entry in path if entry and Path(entry).resolve() != ROOT]
    _forget()
    yield tmp_path
    sys.path[:] = path
    _forget()


def _forget() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in ("runner", "bot", *USERS):
            del sys.modules[name]


def refusal(folder: Path, run: str) -> str:
    with pytest.raises(CheckerImportError) as caught:
        import_checker(run, folder)
    return str(caught.value)


def write(folder: Path, name: str, source: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")


@pytest.mark.parametrize(
    ("run", "new"),
    [
        ("runner.checkers.auctions:check_auctions", "dozor_market.auctions:check_auctions"),
        ("runner.checkers.ton_deposits:check_transactions", "dozor_market.ton_deposits:check_transactions"),
        ("runner.checkers.ton.providers:open", "dozor_market.ton.providers:open"),
        ("runner.checkers.toolkit.batches:drain", "dozor.toolkit.batches:drain"),
        ("runner.checkers.toolkit:drain", "dozor.toolkit:drain"),
        ("runner.checkers.context:X", "dozor.toolkit.context:X"),
        ("runner.demo.market:Market.open", "dozor_market.demo.market:Market.open"),
        ("runner.errors:Fatal", "dozor.errors:Fatal"),
    ],
)
@pytest.mark.parametrize(
    "own", [None, "runner.py", "runner/__init__.py", "runner/feed.py", "runner/checkers/mine.py"]
)
def test_a_run_of_version_0_1_is_answered_with_the_new_path(
    folder: Path, run: str, new: str, own: str | None
) -> None:
    if own is not None:
        write(folder, own, "")
    found = refusal(folder, run)
    assert found.startswith("no module named runner")
    assert found.endswith(f"is now {new.partition(':')[0]}, write {new}")
    assert "\n" not in found


@pytest.mark.parametrize(
    "run", ["runner.feed:feed", "runner.checkers.mine:f", "bot.checks:f", "runners.checkers:f"]
)
def test_a_module_that_never_was_ours_is_only_missing(folder: Path, run: str) -> None:
    assert "is now" not in refusal(folder, run)


@pytest.mark.parametrize(
    ("file", "run"),
    [
        ("runner/checkers/auctions.py", "runner.checkers.auctions:check_auctions"),
        ("runner/feed.py", "runner.feed:check_auctions"),
        ("runner.py", "runner:check_auctions"),
        ("bot/checks.py", "bot.checks:check_auctions"),
        ("bot.py", "bot:check_auctions"),
    ],
)
def test_a_users_own_module_of_an_old_name_is_run(folder: Path, file: str, run: str) -> None:
    write(folder, file, "async def check_auctions(): ...\n")
    function = import_checker(run, folder)
    assert function.__code__.co_filename == str(folder / file)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from runner import Context", "runner is now dozor"),
        ("import runner", "runner is now dozor"),
        ("import runner.app as app", "runner.app is now dozor.app"),
        ("from runner.checkers.toolkit import drain", "runner.checkers.toolkit is now dozor.toolkit"),
        ("from runner.checkers.ledger import transfer", "runner.checkers.ledger is now dozor_market.ledger"),
        ("from runner.checkers import auctions", "runner.checkers is now dozor_market"),
        ("from runner.gone import x", "runner is now dozor, and runner.checkers is now dozor_market"),
    ],
)
@pytest.mark.parametrize("depth", ["direct", "through another module"])
def test_an_old_import_in_a_checker_is_one_line_with_its_place(
    folder: Path, line: str, expected: str, depth: str
) -> None:
    write(folder, "dozor_old.py", f"import sys\n\n{line}\n")
    write(folder, "dozor_outer.py", "import dozor_old\n")
    module = "dozor_old" if depth == "direct" else "dozor_outer"
    found = refusal(folder, f"{module}:check")
    assert found == f"the module {module} cannot be imported: {expected} ({folder}/dozor_old.py:3)"


@pytest.mark.parametrize("name", sorted(PUBLIC))
@pytest.mark.parametrize("own", ["runner.py", "runner/__init__.py", "runner/other.py"])
def test_beside_a_users_own_runner_a_public_name_of_ours_is_explained(
    folder: Path, name: str, own: str
) -> None:
    write(folder, own, "")
    write(folder, "dozor_old.py", f"from runner import {name}\n")
    found = refusal(folder, "dozor_old:check")
    assert f"runner is now dozor; write: from dozor import {name} ({folder}/dozor_old.py:1)" in found
    assert name in dozor.__all__


def test_a_mistake_in_a_users_own_runner_stays_their_own(folder: Path) -> None:
    write(folder, "runner/__init__.py", "")
    write(folder, "dozor_mine.py", "from runner import Feed\n")
    assert "is now" not in refusal(folder, "dozor_mine:check")
    write(folder, "dozor_mine.py", "import sys\nimport runner.feed\n")
    found = refusal(folder, "dozor_mine:check")
    assert "is now" not in found
    assert "No module named 'runner.feed'" in found


def test_every_new_name_can_be_imported() -> None:
    for old in ("runner", "runner.checkers", "runner.checkers.toolkit", "runner.demo", "runner.checkers.ton"):
        new = new_name(old)
        assert new is not None
        assert find_spec(new) is not None
    assert new_name("runner.checkers.none_such") is None
    assert new_name("runner.none.such") is None


def test_public_names_are_listed_before_they_are_loaded() -> None:
    assert set(dozor.__all__) <= set(dir(dozor))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No extra is installed."""
    hidden = {module for extra in Extra for module in extra.modules}
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in hidden else find_spec(name))


def test_each_section_whose_extra_is_missing_is_reported_on_its_line(folder: Path, plain: None) -> None:
    write(folder, "dozor_mine.py", "async def check(): ...\n")
    write(
        folder,
        "config.yaml",
        "database: {url: embedded}\n"
        "telegram:\n"
        "  totp: {secrets: {1: JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP}}\n"
        "alerts:\n"
        "  second_channel: {urls: ['json://h']}\n"
        "tasks:\n"
        "  mine: {run: 'dozor_mine:check'}\n"
        "  ton: {run: 'dozor_market.ton_deposits:check_transactions'}\n",
    )
    with pytest.raises(ConfigError) as caught:
        import_checkers(load(folder / "config.yaml", {}))
    assert [problem.removeprefix(f"{folder}/") for problem in caught.value.problems] == [
        "config.yaml:1: database.url: embedded needs a PostgreSQL, and none is installed: "
        "pip install 'dozor[embedded]', or write postgresql://…",
        "config.yaml:3: telegram.totp: needs pyotp: pip install 'dozor[totp]', or remove the section",
        "config.yaml:5: alerts.second_channel: needs Apprise: pip install 'dozor[channels]', "
        "or remove the section",
        "config.yaml:8: tasks.ton.run: this checker needs an extra: pip install 'dozor[ton]'",
    ]


def test_with_an_address_of_a_server_the_embedded_one_is_not_missed(folder: Path, plain: None) -> None:
    write(folder, "dozor_mine.py", "async def check(): ...\n")
    write(
        folder,
        "config.yaml",
        "database: {url: 'postgresql://h/d'}\ntasks:\n  mine: {run: 'dozor_mine:check'}\n",
    )
    assert list(import_checkers(load(folder / "config.yaml", {}))) == ["mine"]


@pytest.mark.parametrize("extra", list(Extra))
def test_a_checker_that_imports_a_library_of_an_extra_is_told_how_to_add_it(
    folder: Path, extra: Extra, monkeypatch: pytest.MonkeyPatch
) -> None:
    [module, *_] = extra.modules
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    write(folder, "dozor_mine.py", f"\nimport {module}\n")
    found = refusal(folder, "dozor_mine:check")
    assert found == (
        f"the module dozor_mine cannot be imported: {module} is not installed, "
        f"{install_command(extra)} adds it ({folder}/dozor_mine.py:2)"
    )
    assert extra_of(f"{module}.sub") is extra


def test_the_command_names_all_that_is_missing() -> None:
    assert install_command(Extra.EMBEDDED, Extra.TON) == "pip install 'dozor[embedded,ton]'"
