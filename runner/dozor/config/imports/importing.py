"""From `module:function` to the function itself. Without the models of a configuration: child processes of
`isolation: process` and the probe of `dozor.config.imports.probing` import no more than this.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import linecache
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dozor.config.source.renamed import explain_import, last_line, new_name
from dozor.config.values.fields import nearest
from dozor.errors import DozorError
from dozor.extras import extra_of, install_command
from dozor.language import msg

Checker = Callable[..., Any]

_STARTED_NS = time.time_ns()
_stamps: dict[str, int] = {}
"""Modification times of the files of imported modules, by module, as they were before the import."""
_under_way: list[str] = []


def now_importing() -> str:
    """The module that is being imported for a checker at this moment, or ""."""
    return _under_way[-1] if _under_way else ""


def is_imported(module: str) -> bool:
    """Whether `module` is loaded in this process."""
    return module in sys.modules


def newer_file(module: Any) -> Path | None:
    """The source file of `module`, if it has changed since it was imported."""
    name, file = getattr(module, "__name__", ""), getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    changed = _modified(file)
    # A module that another one has imported has no stamp of its own: it was imported after our start.
    return Path(file) if changed is not None and changed > _stamps.get(name, _STARTED_NS) else None


def _modified(file: str) -> int | None:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return None


class CheckerImportError(DozorError):
    """A checker cannot be used. The message says why; it may end in the module's own traceback."""


class _MissingModuleError(CheckerImportError):
    """The module itself, or a package it lies in, is not there."""


def make_importable(folder: Path) -> None:
    """Let modules in `folder` be imported by name.

    At the end of the path: a `queue.py` or a `bot` folder beside the config file must not
    hide modules that this program imports later.
    """
    text = str(folder)
    if text not in sys.path:
        sys.path.append(text)


def import_checker(run: str, folder: Path) -> Checker:
    """The function `run` names ("module:function", "module:Class.method"); `folder` becomes importable.

    Raises CheckerImportError, also for whatever the module raises while it is imported.
    """
    make_importable(folder)
    module_name, _, path = run.partition(":")
    try:
        module = _import_module(module_name, folder)
    except _MissingModuleError as error:
        new = new_name(module_name)
        hint = "" if new is None else msg("config-renamed-hint", old=module_name, new=new, path=path)
        raise CheckerImportError(f"{error}{hint}") from None
    return _find(module, module_name, path, folder)


def preload(module: str, folder: Path) -> CheckerImportError | None:
    """Import `module` now, so that `import_checker` finds it. What it raised, if it raised anything.

    A module that is not there is left to `import_checker`, which says more about it.
    """
    if is_imported(module):
        return None
    make_importable(folder)
    try:
        _import_module(module, folder)
    except _MissingModuleError:
        return None
    except CheckerImportError as error:
        return error
    return None


def _import_module(name: str, folder: Path) -> Any:
    loaded = is_imported(name)
    if not loaded:
        importlib.invalidate_caches()  # it looks at every folder of the path: too slow to do for each task
    before = time.time_ns()
    _under_way.append(name)
    # A module may call `asyncio.run` while it is imported, which is refused where a loop runs.
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        module = importlib.import_module(name)
        if not loaded:
            _stamp(name, module, before)
        return module
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- a user's module may raise anything, SystemExit included
        if isinstance(error, ModuleNotFoundError) and error.name and _is_part(error.name, name):
            hint = _nearest_module(name, folder)
            text = msg("config-no-module", name=error.name, folder=folder, hint=hint)
            raise _MissingModuleError(text) from None
        if isinstance(error, ImportError) and (known := _known_cause(error)) is not None:
            raise CheckerImportError(msg("config-import-known", name=name, cause=known)) from None
        kind = msg("config-import-exited") if isinstance(error, SystemExit) else msg("config-import-raised")
        head = msg("config-import-failed", name=name, kind=kind)
        text = f"{head}\n{_own_traceback(error)}"
        raise CheckerImportError(text) from None
    finally:
        asyncio._set_running_loop(loop)
        _under_way.remove(name)


def _stamp(name: str, module: Any, before: int) -> None:
    """A file that was written during its import may have been read in part: it counts as newer."""
    file = getattr(module, "__file__", None)
    changed = _modified(file) if isinstance(file, str) else None
    if changed is not None:
        _stamps[name] = min(changed, before)


def _known_cause(error: ImportError) -> str | None:
    """One line for an import whose remedy is known: an extra to install, or a name of version 0.1."""
    file, number = last_line(error.__traceback__)
    cause = explain_import(error, linecache.getline(file, number))
    if cause is None and isinstance(error, ModuleNotFoundError) and error.name is not None:
        extra = extra_of(error.name)
        if extra is not None:
            cause = msg("config-not-installed", name=error.name, command=install_command(extra))
    return None if cause is None else f"{cause} ({file}:{number})"


def _is_part(missing: str, wanted: str) -> bool:
    return wanted == missing or wanted.startswith(missing + ".")


def _nearest_module(name: str, folder: Path) -> str:
    """A module or package beside the missing one with a name like it."""
    parent, _, last = name.rpartition(".")
    base = folder.joinpath(*parent.split(".")) if parent else folder
    try:
        names = {entry.stem for entry in base.iterdir() if entry.suffix == ".py" or entry.is_dir()}
    except OSError:
        return ""
    return nearest(last, sorted(found for found in names if found.isidentifier()))


def _find(module: Any, module_name: str, path: str, folder: Path) -> Checker:
    owner: Any = module
    label = msg("config-the-module", module_name=module_name)
    *classes, function_name = path.split(".")
    for class_name in classes:
        owner = _attribute(owner, class_name, label, module, folder)
        if not inspect.isclass(owner):
            raise CheckerImportError(msg("config-not-class", class_name=class_name, label=label))
        label = msg("config-the-class", class_name=class_name)
    found = _attribute(owner, function_name, label, module, folder)
    if classes and inspect.isfunction(inspect.getattr_static(owner, function_name)):
        raise CheckerImportError(msg("config-needs-instance", path=path, owner=classes[-1]))
    if not callable(found):
        raise CheckerImportError(
            msg("config-not-callable", path=path, module=module_name, kind=type(found).__name__)
        )
    function: Checker = found
    return function


def _attribute(owner: Any, name: str, label: str, module: Any, folder: Path) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        pass
    known = [known for known in dir(owner) if callable(getattr(owner, known, None)) and known[:2] != "__"]
    hint = nearest(name, known) or msg("config-correct-name")
    file = getattr(module, "__file__", None)
    elsewhere = file is not None and (folder / f"{module.__name__.partition('.')[0]}.py").exists()
    if elsewhere and not Path(str(file)).is_relative_to(folder):
        hint = f"{hint} {msg('config-module-hidden', file=file, folder=folder)}"
    newer = newer_file(module)
    if newer is not None:
        hint = f"{hint} {msg('config-module-newer', file=newer)}"
    raise CheckerImportError(msg("config-no-attribute", label=label, name=name, hint=hint))


def _own_traceback(error: BaseException) -> str:
    """The traceback from the first frame of the user's code on, without frames of the import machinery."""
    report = traceback.TracebackException.from_exception(error)
    _strip(report, set())
    return "".join(report.format()).rstrip()


def _strip(report: traceback.TracebackException | None, seen: set[int]) -> None:
    if report is None or id(report) in seen:
        return
    seen.add(id(report))
    kept = [frame for frame in report.stack if not _is_machinery(frame.filename)]
    report.stack = traceback.StackSummary.from_list(kept)
    _strip(report.__cause__, seen)
    _strip(report.__context__, seen)


def _is_machinery(filename: str) -> bool:
    return filename in _MACHINERY or filename.startswith("<frozen importlib")


_MACHINERY = frozenset((__file__, importlib.__file__))
