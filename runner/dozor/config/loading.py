"""From a file to a `Config`, or to every problem of it at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from dozor.config.alike import AlikeTasks, shape_of
from dozor.config.checks import (
    check_defaults,
    check_placements,
    check_process,
    check_requirements,
    check_sections,
    check_task,
    check_timing,
)
from dozor.config.explain import kind_of, translate, unknown_key
from dozor.config.sections.base import Section
from dozor.config.sections.config import Config
from dozor.config.sections.tasks import Isolation, TaskConfig
from dozor.config.source.document import Document, read_document
from dozor.config.source.problems import Place, Problem, as_error
from dozor.config.values.fields import parse_reference, parse_timezone
from dozor.config.values.requirements import DATABASE
from dozor.errors import ConfigError
from dozor.language import Language, msg
from dozor.language.process import from_file, language_for_now

SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes."""

_SCHEDULE = ("every", "cron")
_Model = TypeVar("_Model", bound=Section)


class CandidateKey(StrEnum):
    """Which key names the function."""

    RUN = "run"
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function that an enabled task names, of a task that may have other problems.

    `args` are None where the task cannot be built. `env`: withheld variables given back.
    """

    name: str
    run: str
    isolation: Isolation | None
    args: Mapping[str, Any] | None = None
    env: tuple[str, ...] = ()
    key: CandidateKey = CandidateKey.RUN

    @property
    def module(self) -> str:
        return self.run.partition(":")[0]

    @classmethod
    def of(cls, task: TaskConfig) -> Candidate:
        return cls(task.name, task.run, task.isolation, task.args, task.env)

    @classmethod
    def setups_of(cls, config: Config) -> Iterator[Candidate]:
        """The setups of enabled tasks, and the runner's, whose name is ""."""
        enabled = [task for task in config.tasks if task.enabled]
        yield from cls.of_runner(config.setup, [task.isolation for task in enabled])
        for task in enabled:
            if task.setup is not None:
                yield cls(task.name, task.setup, task.isolation, None, task.env, CandidateKey.SETUP)

    @classmethod
    def of_runner(cls, setup: object, isolations: Sequence[Isolation | None]) -> Iterator[Candidate]:
        """The runner's setup, if it is one; it is opened in the processes of tasks with `isolations`."""
        try:
            reference = parse_reference(setup)
        except ValueError:
            return
        if isolations:
            apart = all(isolation is Isolation.PROCESS for isolation in isolations)
            isolation = Isolation.PROCESS if apart else None
            yield cls("", reference, isolation, key=CandidateKey.SETUP)


@dataclass(frozen=True, slots=True)
class Draft:
    """A file as far as it could be read: without a configuration there are problems that say why.

    `values`: the file as plain values.
    """

    source: str
    path: Path
    lines: Mapping[Place, int]
    filled: Mapping[Place, str]
    values: Mapping[str, Any]
    config: Config | None
    problems: tuple[Problem, ...]
    candidates: tuple[Candidate, ...]

    @property
    def filled_values(self) -> Iterator[str]:
        """Texts that came from the environment or a file: any of them may be a secret."""
        for place in self.filled:
            value: Any = self.values
            for step in place:
                try:
                    value = value[step]
                except (KeyError, IndexError, TypeError):
                    break
            else:
                yield str(value)


def load(
    path: Path | str, env: Mapping[str, str] = os.environ, *, language: Language | None = None
) -> Config:
    """The configuration in the file `path`, its references filled in from `env`.

    Raises ConfigError with every problem, by line, in `language`: by default the one the file asks for, even
    if the file cannot be used otherwise.
    """
    with language_for_now(language or from_file(Path(path), env)):
        draft = read_draft(path, env)
        if draft.config is None or draft.problems:
            raise as_error(draft.source, draft.lines, draft.problems)
        return draft.config


def read_draft(path: Path | str, env: Mapping[str, str]) -> Draft:
    """As much of the file as can be read. Raises ConfigError only if it cannot be opened as text."""
    source = str(path)
    path = Path(path).absolute()
    document = read_document(_read(path, source), path.parent, env)
    loading = _Loading(document, path, env)
    config = loading.config() if document.values else None
    if config is not None:
        config._source, config._lines, config._filled = source, document.lines, document.filled
        config._hints = tuple(as_error(source, document.lines, document.hints).problems)
        config._references = tuple(document.references)
    return Draft(
        source,
        path,
        document.lines,
        document.filled,
        document.values,
        config,
        tuple(loading.problems),
        tuple(loading.candidates),
    )


def _read(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        problem = msg("config-no-file")
    except IsADirectoryError:
        problem = msg("config-is-folder")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or msg("config-not-path")
        problem = msg("config-cannot-read", reason=reason)
    else:
        if len(data) > SIZE_LIMIT:
            raise ConfigError([_at(source, None, msg("config-too-large"))])
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigError([_at(source, line, msg("config-encoding"))]) from None
    raise ConfigError([_at(source, None, problem)])


def _at(source: str, line: int | None, problem: str) -> str:
    return f"{source}: {problem}" if line is None else f"{source}:{line}: {problem}"


@dataclass(slots=True)
class _Loading:
    document: Document
    path: Path
    env: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    _broken: frozenset[Place] = frozenset()
    _alike: AlikeTasks = field(default_factory=AlikeTasks)

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
            self._note(Problem(msg("config-always-known"), ("dependencies", DATABASE)))
        tasks = [
            self._task(name, self._mapping(raw, ("tasks", name)), defaults, timezone)
            for name, raw in raw_tasks.items()
        ]
        isolations = [one.isolation for one in self.candidates]
        self.candidates += Candidate.of_runner(values.get("setup"), isolations)
        self._note(*check_placements(tasks, values))
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
            text = msg("config-no-task")
        else:
            text = msg("config-tasks-mapping", kind=kind_of(value))
        self._note(Problem(text, ("tasks",)))
        return {}

    def _mapping(self, value: object, place: Place) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        if value is not None:
            self._note(Problem(msg("config-must-be-mapping", kind=kind_of(value)), place))
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
        # Problems of what is broken are left out: a task without problems may then be no valid example.
        shape = None if self._broken or "name" in own else shape_of(own)
        if shape is not None:
            alike = self._alike.find(shape, name, own)
            if alike is not None:
                self._nominate(alike)
                return alike
        noted = len(self.problems)
        if "name" in own:
            self._note(_name_is_no_key((*place, "name")))
        self._note(*check_task(own, defaults, place))
        values = _inherit(own, defaults, timezone)
        task = self._build(TaskConfig, {**values, "name": name}, place, defaults)
        if task is None:
            candidate = _candidate(name, values)
            if candidate is not None:
                self.candidates.append(candidate)
                if values.get("setup") is not None:
                    with suppress(ValueError):
                        self.candidates.append(_setup(candidate, parse_reference(values["setup"])))
            return None
        self._nominate(task)
        inherited = frozenset(key for key in defaults if key not in own)
        self._note(*check_timing(task, place, inherited))
        self._note(*check_process(task, place, inherited))
        return task if shape is None or len(self.problems) > noted else self._alike.add(shape, task)

    def _nominate(self, task: TaskConfig) -> None:
        """The functions that a valid task names are examined, if it is enabled."""
        if task.enabled:
            candidate = Candidate.of(task)
            self.candidates.append(candidate)
            if task.setup is not None:
                self.candidates.append(_setup(candidate, task.setup))

    def _build(
        self,
        model: type[_Model],
        values: dict[str, Any],
        place: Place,
        inherited: Mapping[str, Any] | None = None,
    ) -> _Model | None:
        try:
            return model.model_validate(values, context={"folder": self.path.parent, "env": self.env})
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


def _candidate(name: str, values: Mapping[str, Any]) -> Candidate | None:
    """Of a task that cannot be built: its function is examined all the same, if it is named at all."""
    try:
        run = parse_reference(values.get("run"))
    except ValueError:
        return None
    if values.get("enabled") is False:
        return None
    isolation = values.get("isolation")
    return Candidate(name, run, Isolation(isolation) if isolation in set(Isolation) else None)


def _setup(candidate: Candidate, reference: str) -> Candidate:
    return replace(candidate, run=reference, args=None, key=CandidateKey.SETUP)


def _name_is_no_key(place: Place) -> Problem:
    return Problem(msg("config-name-is-key"), place)


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
