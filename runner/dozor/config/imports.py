"""From `module:function` to the function itself, checked before anything starts."""

from __future__ import annotations

import importlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dozor.arguments import argument_problems
from dozor.config.channels import check_channels
from dozor.config.extras import check_extras
from dozor.config.fields import nearest
from dozor.config.models import Config
from dozor.config.problems import Place, Problem, as_error
from dozor.config.renamed import explain_import, last_line, new_name
from dozor.config.secrets import register_config_secrets
from dozor.config.signatures import check_call, check_kind, is_async, may_be_async
from dozor.config.tasks import Isolation, TaskConfig
from dozor.errors import DozorError
from dozor.extras import extra_of, install_command, is_installed, needed_extra
from dozor.language import msg
from dozor.redaction import Redactor

Checker = Callable[..., Any]


class CheckerImportError(DozorError):
    """A checker cannot be used. The message says why; it may end in the module's own traceback."""


class _MissingModuleError(CheckerImportError):
    """The module itself, or a package it lies in, is not there."""


def make_importable(folder: Path) -> None:
    """Let modules in `folder` be imported by name.

    At the end of the path: a `queue.py` or a `bot` folder beside the config file must not
    stand in for modules that this program imports later.
    """
    text = str(folder)
    if text not in sys.path:
        sys.path.append(text)
    importlib.invalidate_caches()


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


def import_checkers(config: Config) -> dict[str, Checker]:
    """The function of each enabled task by the task's name.

    Raises ConfigError with every one that cannot be imported or called as configured, by line; with what
    keeps the second channel from being used; and with each extra that the configuration needs and lacks.
    """
    redactor = Redactor()
    register_config_secrets(config, redactor)
    checkers: dict[str, Checker] = {}
    problems: list[Problem] = []
    for task in config.tasks:
        if not task.enabled:
            continue
        try:
            function = import_checker(task.run, config.path.parent)
        except CheckerImportError as error:
            text = redactor.redact(str(error))
            problems.append(Problem(text, _place(config, task, "run")))
            continue
        checkers[task.name] = function
        for key, text in check_task(function, task):
            problems.append(Problem(text, _place(config, task, key)))
        for found in argument_problems(function, task.args):
            text = redactor.redact(found.text)
            problems.append(Problem(text, (*_place(config, task, "args"), *found.place)))
    problems += check_channels(config)
    problems += check_extras(config)
    if problems:
        raise as_error(config.source, config.lines, problems)
    return checkers


def check_task(function: Checker, task: TaskConfig) -> Iterator[tuple[str, str]]:
    """What keeps `function` from being called as `task` asks: keys of the task, and sentences."""
    unusable = check_kind(function)
    if unusable is not None:
        yield "run", unusable
        return
    extra = needed_extra(function)
    if extra is not None and not is_installed(extra):
        yield "run", msg("config-needs-extra", command=install_command(extra))
    for text in check_call(function, task.args):
        yield "args", text
    if task.isolation is Isolation.INLINE and not may_be_async(function):
        yield "isolation", msg("config-blocking-def")


def isolation_of(function: Checker, configured: Isolation | None) -> Isolation:
    """Where its runs happen: as configured, or on the loop for `async def`, in a thread for `def`."""
    if configured is not None:
        return configured
    return Isolation.INLINE if is_async(function) else Isolation.THREAD


def _place(config: Config, task: TaskConfig, key: str) -> Place:
    """The key in the task itself, or in `defaults` if it comes from there."""
    own = ("tasks", task.name, key)
    return ("defaults", key) if own not in config.lines and ("defaults", key) in config.lines else own


def _import_module(name: str, folder: Path) -> Any:
    try:
        return importlib.import_module(name)
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
