"""The documentation, checked by running it.

Blocks of a page work in one folder: `<!-- file: NAME -->` before a block writes it there; then, in order,
```python without a name is run; ```yaml is a whole configuration that `dozor check` must accept, unless the
page shows otherwise; ```console shows commands after "$ " and what they print, "…" standing for anything;
```sh is not run, but its make targets and dozor commands must exist. Every module written as a file is
imported, and run by pytest if it holds tests. `<!-- before: LIBRARY -->` marks code of another library, which
is only compiled. A Russian page whose blocks are those of the English one is not run again.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dozor.cli import cli
from tests.docs.pages import LINK, PAGES, Block, blocks_of
from tests.house.sources import ROOT
from tests.preloaded.processes import DOZOR, start

BIN = Path(sys.executable).parent
MAKEFILE = (ROOT / "Makefile").read_text()
SHELL = frozenset("|&;<>()$`\\\"'*?[]#~=%{}!")
"""Characters that mean something to a shell."""


def run(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in `folder`, with our `dozor` on the path and everything it says as one text."""
    words = [str(DOZOR) if command[0] == "dozor" else command[0], *command[1:]]
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONUTF8": "1", **more}
    with tempfile.TemporaryFile() as output, open(os.devnull, "rb") as nothing:
        process = start(
            words,
            cwd=folder,
            env=environment,
            stdin=nothing.fileno(),
            stdout=output.fileno(),
            stderr=output.fileno(),
        )
        try:
            code = process.wait(100)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        return subprocess.CompletedProcess(words, code, output.read().decode())


def names(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_code_on_the_page_works(page: Path, short_dir: Path) -> None:
    folder = short_dir / f"page-{page.relative_to(ROOT).with_suffix('').as_posix().replace('/', '-')}"
    folder.mkdir()
    blocks = blocks_of(page)
    if page.name.endswith(".ru.md") and same_code(page, english(page)):
        return  # the English page runs it
    refused = "".join(block.text for block in blocks if block.language == "console")
    for block in blocks:
        if block.about == "file":
            (folder / block.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.name).write_text(block.text, encoding="utf-8")
    for block in blocks:
        match block.language:
            case "python" if block.about == "before":
                compile(block.text, str(block), "exec")
            case "python" if block.about != "file":
                ran = run(folder, sys.executable, "-W", "error", "-c", block.text)
                assert ran.returncode == 0, f"{block}\n{ran.stdout}"
            case "json" if "…" not in block.text:
                json.loads(block.text)
            case "yaml" if f"check -c {block.name}\n" not in refused:
                check_configuration(folder, block)
            case "console":
                check_session(folder, block)
            case "sh":
                check_commands(block)
            case _:
                pass
    check_modules(folder, [block for block in blocks if block.language == "python" and block.about == "file"])


def check_modules(folder: Path, blocks: list[Block]) -> None:
    """Those with tests are run by pytest, the others imported: all of a page in one process of each kind."""
    tests = [block.name for block in blocks if "def test_" in block.text]
    modules = [block.name for block in blocks if block.name not in tests]
    if modules:
        code = "".join(f"import {name.removesuffix('.py').replace('/', '.')}\n" for name in modules)
        ran = run(folder, sys.executable, "-W", "error", "-c", code)
        assert ran.returncode == 0, f"{modules}\n{ran.stdout}"
    if tests:
        ran = run(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
        assert ran.returncode == 0, f"{tests}\n{ran.stdout}"


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".ru.md", ".md"))


def same_code(page: Path, other: Path) -> bool:
    pairs = [
        [(block.language, block.about, block.name, block.text) for block in blocks_of(one)]
        for one in (page, other)
    ]
    return pairs[0] == pairs[1]


def check_configuration(folder: Path, block: Block) -> None:
    name = block.name or "block.yaml"
    (folder / name).write_text(block.text, encoding="utf-8")
    wanted = re.findall(r"\$\{(\w+)\}", block.text)
    secrets = {
        variable: "postgresql://u:p@localhost/d" if variable.endswith("_URL") else "something"
        for variable in wanted
    }
    ran = run(folder, "dozor", "check", "-c", name, **secrets)
    assert ran.returncode == 0, f"{block}\n{ran.stdout}"


def check_session(folder: Path, block: Block) -> None:
    """Each command prints what stands under it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        words = ("bash", "-c", command) if SHELL & set(command) else command.split()
        ran = run(folder, *words)
        pattern = ".*".join(re.escape(piece) for piece in expected.strip().split("…"))
        assert re.fullmatch(pattern, ran.stdout.strip(), re.DOTALL), f"{block}: $ {command}\n{ran.stdout}"


def check_commands(block: Block) -> None:
    """What is shown can be typed: the targets and commands exist, with the options shown."""
    for target in re.findall(r"\bmake ([a-z]+)", block.text):
        assert f"\n{target}:" in MAKEFILE, f"{block}: no target {target}"
    for words in re.findall(r"^(?:\S+=\S+ )*(?:\S*/)?dozor ([a-z-]+[^\n#|&;]*)", block.text, re.MULTILINE):
        command, *rest = words.split()
        path = [command]
        if isinstance(cli.get_command(click.Context(cli), command), click.Group):
            path.append(rest.pop(0))
        ran = CliRunner().invoke(cli, [*path, "--help"], terminal_width=200)
        assert ran.exit_code == 0, f"{block}: no command {' '.join(path)}: {ran.output}"
        for option in (word.partition("=")[0] for word in rest if word.startswith("-")):
            assert option in ran.output, f"{block}: {command} has no option {option}"


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = page if not path else (page.parent / path)
        if not file.exists():
            lost.append(target)
        elif anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            if anchor not in slugs:
                lost.append(target)
    assert not lost


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    for page in (ROOT / "docs").glob("*.md"):
        targets = LINK.findall(page.read_text(encoding="utf-8"))
        linked |= {posixpath.normpath(f"docs/{target.partition('#')[0]}") for target in targets}
    missing = [page for page in names(PAGES) if page not in linked and page != "README.md"]
    assert not missing
