"""`make audit`: licences of what the lock installs, and its known vulnerabilities.

    python -m tests.house.audit [PIP_AUDIT]

`PIP_AUDIT`: the command of https://pypi.org/project/pip-audit/. Exit 1 for a licence that is not on the list,
or for a known vulnerability. An index without vulnerability data is named, and is no failure.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ALLOWED = (
    "0bsd", "apache", "bsd", "cc0", "isc", "mit", "mpl", "mozilla public", "psf", "public domain",
    "python software foundation", "unlicense", "zlib", "dfsg approved", "postgresql",
)  # fmt: skip
"""Beginnings of the names of licences that let a program be used and passed on; MPL is copyleft by file."""
UNNAMED = {
    "axe-playwright-python": "MIT License",  # ships axe-core, whose file says MPL-2.0; for tests alone
    "pytoniq-core": "MIT License",
}
"""Packages whose metadata name no licence, with the first line of the licence file that they install."""


def main(argv: list[str]) -> int:
    """Prints what is wrong; the exit code."""
    locked = sorted(read_lock((ROOT / "requirements-dev.lock").read_text("utf-8")))
    wrong = [f"licence: {name}: {licence or 'none is named'}" for name, licence in refused(licences(locked))]
    print(f"licences: {len(locked)} packages of the lock, {len(wrong)} to look at")
    if argv:
        wrong += vulnerabilities(argv[0])
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


def read_lock(text: str) -> set[str]:
    """The names of the packages in a lock."""
    return {match.group(1).lower() for match in re.finditer(r"(?m)^([A-Za-z0-9_.-]+)==", text)}


def licences(names: Iterable[str]) -> list[tuple[str, str]]:
    """Of those that are installed here, in words of their own metadata."""
    found = []
    for name in names:
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform
        classifiers = about.get_all("Classifier") or []
        listed = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License ::")]
        licence = _one(about, "License-Expression") or " / ".join(listed) or _one(about, "License")
        if not licence and name in UNNAMED:
            licence = licence_file(name)
            licence = licence if licence == UNNAMED[name] else f"its licence file begins with {licence!r}"
        found.append((name, licence.partition("\n")[0][:80]))
    return found


def licence_file(name: str) -> str:
    """The first line of the licence file that an installed package brings; "" without one."""
    files = metadata.files(name) or []
    paths = [one.locate() for one in files if one.match("*.dist-info/**/LICENSE*")]
    return next((Path(str(path)).read_text("utf-8").strip().partition("\n")[0] for path in paths), "")


def _one(about: metadata.PackageMetadata, field: str) -> str:
    return next(iter(about.get_all(field) or []), "")


def refused(found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those with a licence, or a part of one joined by AND, that is not allowed."""
    return [(name, text) for name, text in found if not _is_allowed(text)]


def _is_allowed(licence: str) -> bool:
    parts = re.split(r"\s+AND\s+|\s+/\s+", licence.strip("() "))
    return all(
        any(
            one.strip("() ").lower().removeprefix("3-clause ").startswith(ALLOWED)
            for one in part.split(" OR ")
        )
        for part in parts
    )


def vulnerabilities(command: str) -> list[str]:
    """Each known one of both locks."""
    found: list[str] = []
    for lock in ("requirements-dev.lock", "deploy/requirements.lock"):
        result = subprocess.run(
            [command, "--disable-pip", "--require-hashes", "-f", "json", "-r", lock],
            cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        try:
            packages: list[dict[str, Any]] = json.loads(result.stdout)["dependencies"]
        except (ValueError, KeyError):
            print(f"vulnerabilities: NOT CHECKED, {lock}: {result.stderr.strip()[-300:]}")
            continue
        skipped = sum("skip_reason" in one for one in packages)
        if skipped:
            print(f"vulnerabilities: NOT CHECKED, {lock}: the index has no data on {skipped} packages")
        else:
            print(f"vulnerabilities: {lock}: {len(packages)} packages checked")
        for one in packages:
            what = f"{one['name']} {one.get('version', '')}"
            found.extend(f"vulnerability: {what}: {known['id']}" for known in one.get("vulns", []))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
