"""The wheel, built from this checkout and installed into a venv of its own.

The venv holds the wheel's files and, as links, the distributions it depends on: those of a plain install, or
of an install with some extras, taken from the environment that runs the tests. Nothing else can be imported
there, this checkout included, and no package index is asked.
"""

from __future__ import annotations

import email
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.sources import ROOT

LIMIT = 300
"""Seconds that building or installing may take on a busy machine."""


def build(target: str, folder: Path, source: Path = ROOT) -> Path:
    """The file that `hatchling build -t TARGET` (wheel, sdist) makes in `folder`."""
    _run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder], cwd=source)
    [built] = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def requirements_of(wheel: Path, extras: Sequence[str] = ()) -> dict[str, Distribution]:
    """Every distribution that installing the wheel with `extras` brings, by its canonical name."""
    found: dict[str, Distribution] = {}
    waiting = list(_wanted(metadata_of(wheel).get_all("Requires-Dist") or [], extras))
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        known = name in found
        if known and not wanted.extras:
            continue
        found[name] = dist = distribution(name)
        more = _wanted(dist.requires or [], tuple(wanted.extras), own=not known)
        waiting += [one for one in more if canonicalize_name(one.name) not in found]
    return found


def size_of(dist: Distribution) -> int:
    """Bytes on the disk, as `du` counts them; scripts in bin/ are left out."""
    blocks = 0
    for file in dist.files or ():
        path = Path(str(dist.locate_file(file)))
        if ".." not in file.parts and path.is_file():
            blocks += path.stat().st_blocks
    return blocks * 512


@dataclass(frozen=True, slots=True)
class Installed:
    """A venv with the wheel in it."""

    folder: Path
    site: Path
    """Its site-packages."""

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def dozor(self) -> Path:
        return self.folder / "bin" / "dozor"

    def run(
        self, cwd: Path, *command: str | Path, timeout: float = 60, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command to its end. Nothing of the tests' own environment but PATH and the folders."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**kept, "LANG": "C.UTF-8", "PYTHONUTF8": "1", **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )


def install(wheel: Path, folder: Path, extras: Sequence[str] = ()) -> Installed:
    """A fresh venv in `folder`."""
    _run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder.parent)
    python = folder / "bin" / "python"
    options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "-q"]
    _run([sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], cwd=folder.parent)
    [site] = folder.glob("lib/python3*/site-packages")
    for dist in requirements_of(wheel, extras).values():
        for top in {file.parts[0] for file in dist.files or ()} - {"..", "__pycache__"}:
            link = site / top
            if not link.exists():
                link.symlink_to(str(dist.locate_file(top)))
    return Installed(folder, site)


def _wanted(lines: Sequence[str], extras: Sequence[str], *, own: bool = True) -> Iterator[Requirement]:
    """`own` False: only what the extras add."""
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        plain = marker is None or marker.evaluate({"extra": ""})
        if (plain and own) or (
            not plain and marker is not None and any(marker.evaluate({"extra": extra}) for extra in extras)
        ):
            yield requirement


def _run(command: Sequence[str | Path], *, cwd: Path) -> None:
    ran = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=LIMIT
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
