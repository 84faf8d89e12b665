"""From a file to a `Config`, or to every problem of it at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from dozor.config.base import Section
from dozor.config.checks import (
    check_defaults,
    check_process,
    check_requirements,
    check_sections,
    check_task,
    check_timing,
)
from dozor.config.document import Document, read_document
from dozor.config.explain import kind_of, translate, unknown_key
from dozor.config.fields import parse_timezone
from dozor.config.models import Config
from dozor.config.problems import Place, Problem, as_error
from dozor.config.requirements import DATABASE
from dozor.config.tasks import TaskConfig
from dozor.errors import ConfigError

SIZE_LIMIT = 16 * 1024 * 1024
"""Bytes."""

_SCHEDULE = ("every", "cron")
_Model = TypeVar("_Model", bound=Section)


def load(path: Path | str, env: Mapping[str, str] = os.environ) -> Config:
    """The configuration in the file `path`, its references filled in from `env`.

    Raises ConfigError with every problem, by line.
    """
    source = str(path)
    path = Path(path).absolute()
    document = read_document(_read(path, source), path.parent, env)
    loading = _Loading(document, path)
    config = loading.config() if document.values else None
    if config is None or loading.problems:
        raise as_error(source, document.lines, loading.problems)
    config._source, config._lines, config._filled = source, document.lines, document.filled
    return config


def _read(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        problem = "no such file; create it, or name another one with -c FILE"
    except IsADirectoryError:
        problem = "this is a folder; name the file in it with -c FILE"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        problem = f"cannot be read: {reason}; correct the path or its rights"
    else:
        if len(data) > SIZE_LIMIT:
            raise ConfigError([f"{source}: larger than 16 MiB; this is no configuration"])
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError([f"{source}:{line}: not UTF-8 text; save the file as UTF-8"]) from None
    raise ConfigError([f"{source}: {problem}"])


@dataclass(slots=True)
class _Loading:
    document: Document
    path: Path
    problems: list[Problem] = field(default_factory=list)
    _broken: frozenset[Place] = frozenset()

    def __post_init__(self) -> None:
        self.problems = list(self.document.problems)
        self._broken = frozenset(problem.place for problem in self.problems if problem.place)

    def config(self) -> Config | None:
        """None where the sections or tasks cannot be built; the problems say why."""
        values = dict(self.document.values)
        self._note(*check_sections(values))
        defaults = self._mapping(values.pop("defaults", None), ("defaults",))
        raw_tasks = self._raw_tasks(values.pop("tasks", None))
        if "path" in values:
            del values["path"]
            self._note(Problem(unknown_key("path", Config.known_keys()), ("path",)))
        # A section whose lines are all commented out is an empty value.
        given = {key: value for key, value in values.items() if value is not None}
        # Never left to the model's default, which knows no folder for its paths.
        given.setdefault("database", {})
        config = self._build(Config, {**given, "path": self.path}, ())
        timezone = self._timezone(values)
        self._check_defaults(defaults, timezone)
        dependencies = values.get("dependencies")
        self._note(*check_requirements(defaults.get("requires"), dependencies, ("defaults",)))
        for name, raw in raw_tasks.items():
            own = raw.get("requires") if isinstance(raw, dict) else None
            self._note(*check_requirements(own, dependencies, ("tasks", name)))
        if isinstance(dependencies, dict) and DATABASE in dependencies:
            self._note(Problem("is always known; choose another name", ("dependencies", DATABASE)))
        tasks = [
            self._task(name, self._mapping(raw, ("tasks", name)), defaults, timezone)
            for name, raw in raw_tasks.items()
        ]
        if config is None or any(task is None for task in tasks):
            return None
        return config.model_copy(update={"tasks": tuple(tasks)})

    def _timezone(self, values: Mapping[str, Any]) -> ZoneInfo:
        try:
            return parse_timezone(values.get("timezone") or "UTC")
        except ValueError:
            return parse_timezone("UTC")

    def _raw_tasks(self, value: object) -> dict[str, Any]:
        if isinstance(value, dict) and value:
            return value
        if value is None or value == {}:
            text = "no task is named; write a name, and run: module:function under it"
        else:
            text = f"must be a mapping of names to tasks, not {kind_of(value)}"
        self._note(Problem(text, ("tasks",)))
        return {}

    def _mapping(self, value: object, place: Place) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        if value is not None:
            self._note(Problem(f"must be a mapping, lines of key: value, not {kind_of(value)}", place))
            # Reported; its missing keys are no news.
            self._broken |= {place}
        return {}

    def _check_defaults(self, defaults: dict[str, Any], timezone: ZoneInfo) -> None:
        """As a task of its own, so that each mistake is reported once, on its line."""
        place: Place = ("defaults",)
        self._note(*check_defaults(defaults))
        example = {"run": "module:function", **defaults, "name": "defaults"}
        if defaults.get("cron") is not None and defaults.get("timezone") is None:
            example["timezone"] = timezone
        if "name" in defaults:
            self._note(_name_is_no_key((*place, "name")))
        self._build(TaskConfig, example, place)

    def _task(
        self, name: str, own: dict[str, Any], defaults: dict[str, Any], timezone: ZoneInfo
    ) -> TaskConfig | None:
        place: Place = ("tasks", name)
        if "name" in own:
            self._note(_name_is_no_key((*place, "name")))
        self._note(*check_task(own, defaults, place))
        task = self._build(TaskConfig, {**_inherit(own, defaults, timezone), "name": name}, place, defaults)
        if task is not None:
            inherited = frozenset(key for key in defaults if key not in own)
            self._note(*check_timing(task, place, inherited))
            if not inherited & {"max_memory", "max_runs"}:
                self._note(*check_process(task, place))
        return task

    def _build(
        self,
        model: type[_Model],
        values: dict[str, Any],
        place: Place,
        inherited: Mapping[str, Any] | None = None,
    ) -> _Model | None:
        try:
            return model.model_validate(values, context={"folder": self.path.parent})
        except ValidationError as error:
            found = list(translate(error, model, place, self.document.filled))
        lines = self.document.lines
        for problem in found:
            where = problem.place
            if inherited and len(where) > len(place):
                key = where[len(place)]
                if key in inherited and where[: len(place) + 1] not in lines:
                    continue
            if model is TaskConfig and where == (*place, "name"):
                problem = Problem(problem.text, place)
            self._note(problem)
        return None

    def _note(self, *problems: Problem) -> None:
        """Leaves out what only follows from a problem of the document."""
        for problem in problems:
            place = problem.place
            if not any(place[:length] in self._broken for length in range(1, len(place) + 1)):
                self.problems.append(problem)


def _name_is_no_key(place: Place) -> Problem:
    return Problem("unknown key; a task's name is its key under tasks:", place)


def _inherit(own: dict[str, Any], defaults: dict[str, Any], timezone: ZoneInfo) -> dict[str, Any]:
    """A task with its defaults. A schedule of its own replaces the inherited one as a whole."""
    values = {**defaults, **own}
    scheduled = [key for key in _SCHEDULE if key in own]
    if scheduled:
        for key in _SCHEDULE:
            if key not in own:
                values.pop(key, None)
    if values.get("cron") is None:
        if "timezone" not in own:
            values.pop("timezone", None)
    elif values.get("timezone") is None:
        values["timezone"] = timezone
    return values
