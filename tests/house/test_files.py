"""Files: their size, the map of the house, and what must not be in any of them."""

from __future__ import annotations

import re

import dozor
from tests.house.sources import ROOT, python_files, repository_files

LINES_MAX = 500


def test_no_file_of_code_is_longer_than_a_reader_can_hold() -> None:
    sizes = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in python_files("runner", "bot", "tests", "benchmarks")
    }
    long = {name: size for name, size in sizes.items() if size > LINES_MAX}
    assert not long


def test_the_map_of_the_house_names_every_room_and_nothing_that_is_not_there() -> None:
    """The map is the indented part of the docstring of `dozor`: a name, then what it is for."""
    named = set(re.findall(r"^ {4}([a-z_]+)/? ", dozor.__doc__ or "", re.MULTILINE))
    inside = [path for path in (ROOT / "runner" / "dozor").iterdir() if not path.name.startswith("_")]
    folders = {path.name for path in inside if (path / "__init__.py").exists()}
    modules = {path.stem for path in inside if path.suffix == ".py"}
    assert named <= folders | modules, "the map shows what is not there"
    assert folders <= named, "a room is missing on the map"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in python_files("runner", "bot")
        if path.read_text().strip() and not path.read_text().lstrip().startswith(('"""', 'r"""'))
    ]
    assert not silent


def test_nothing_ties_the_repository_to_one_machine_or_index() -> None:
    # In pieces, so that this file does not hold them itself.
    needles = [
        "/" + "work/",
        "/" + "root/",
        "/home" + "/",
        "py" + "pi.org/simple",
        "files." + "pythonhosted",
        "--" + "index-url",
        "extra-" + "index",
        "find-" + "links",
        "artifact" + "ory",
        "nexus" + ".",
    ]
    found = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {needle}" for needle in needles if needle in text]
    assert not found


def test_the_locks_hold_hashes_and_no_address() -> None:
    for name in (
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-bench.lock",
        "deploy/requirements.lock",
    ):
        text = (ROOT / name).read_text()
        assert "://" not in text
        pinned = re.findall(r"^[a-z0-9].*==.*$", text, re.MULTILINE)
        assert pinned
        assert all(line.endswith("\\") for line in pinned), "a pin without hashes"
