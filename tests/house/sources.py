"""The repository's own files, for tests of the house rules."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def repository_files() -> list[Path]:
    """What git tracks or would track; without git (an unpacked archive), all but hidden and built files."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\0")
        paths = [ROOT / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not _hidden(path.relative_to(ROOT))]
    return sorted(path for path in paths if path.is_file())


def python_files(*folders: str) -> list[Path]:
    """Python files below these folders of the repository."""
    roots = [ROOT / folder for folder in folders]
    return [path for path in repository_files() if path.suffix == ".py" and _below(path, roots)]


def module_name(path: Path) -> str:
    """`runner/dozor/storage/postgres/pool.py` is `dozor.storage.postgres.pool`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] in ("runner", "bot"):  # source roots
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Names and values assigned at module level."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case _:
                pass


def _below(path: Path, roots: list[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.parts[:-1])
