"""The checkers of a configuration: each function found and checked before anything starts."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from dozor.config.imports.channels import check_channels
from dozor.config.imports.environment import withheld_names
from dozor.config.imports.extras import check_extras
from dozor.config.imports.importing import Checker as Checker
from dozor.config.imports.importing import CheckerImportError as CheckerImportError
from dozor.config.imports.importing import import_checker as import_checker
from dozor.config.imports.importing import is_imported
from dozor.config.imports.importing import preload as preload
from dozor.config.imports.probing import (
    NOTE,
    Found,
    Hung,
    ProbeProgress,
    Question,
    RemoteChecker,
    examine_function,
    probe,
)
from dozor.config.imports.setups import check_setup
from dozor.config.loading import Candidate, CandidateKey, Draft, read_draft
from dozor.config.secrets import register_config_secrets
from dozor.config.sections.config import Config
from dozor.config.sections.tasks import Isolation
from dozor.config.source.problems import Place, Problem, as_error
from dozor.language import Language
from dozor.language.process import from_file, language_for_now
from dozor.redaction import Redactor


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration whose checkers can be used.

    A checker with `isolation: process` is not imported in this process: a `RemoteChecker` stands for it.
    `hung`: tasks whose module was still being imported when its time was up, and the sentence that says so.
    """

    config: Config
    checkers: dict[str, Checker]
    hung: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What was found under `run:` where it is not simply a function, by task."""
    unexamined: bool = False
    """`examine_apart` has to be called before anything is started."""


def load_with_checkers(
    path: Path | str,
    env: Mapping[str, str] = os.environ,
    *,
    language: Language | None = None,
    allow_hung: bool = False,
    probe_new: bool = False,
    later: bool = False,
    redactor: Redactor | None = None,
) -> Loaded:
    """The configuration in the file `path` and its checkers. Raises ConfigError with every problem, by line:
    of the file, of its imports and calls, of the second channel, and of extras that are not installed.

    `allow_hung`: a module of a child process whose import does not end is no problem, see `Loaded.hung`.
    `probe_new`: modules that are not imported yet are imported in a child process first, so that one that
    hangs or crashes is a problem and does no harm to this process.
    `later`: leave to `examine_apart` what takes long and is not needed here, if there is no problem so far.
    `redactor`: hides the secrets of the configuration afterwards.
    """
    with language_for_now(language or from_file(Path(path), env)):
        draft = read_draft(path, env)
        found = _Imports(draft, redactor=redactor or Redactor())
        return _examined(draft, found, allow_hung=allow_hung, probe_new=probe_new, later=later)


def modules_here(draft: Draft) -> list[str]:
    """Names of the modules that `examine_draft` imports into this process, each once."""
    here = (one.module for one in draft.candidates if one.isolation is not Isolation.PROCESS)
    return list(dict.fromkeys(here))


def examine_draft(
    draft: Draft, redactor: Redactor, raised: Mapping[str, CheckerImportError] = MappingProxyType({})
) -> Loaded:
    """As `load_with_checkers(allow_hung=True, later=True)`, of a file that was read already.

    `raised`: what modules raised that were imported before (`preload`); they are not tried again.
    """
    found = _Imports(draft, redactor=redactor, raised=raised)
    return _examined(draft, found, allow_hung=True, later=True)


def check_file(
    path: Path | str, env: Mapping[str, str] = os.environ, progress: ProbeProgress | None = None
) -> Loaded:
    """As `load_with_checkers`, with every import in child processes: nothing is imported here."""
    with language_for_now(from_file(Path(path), env)):
        draft = read_draft(path, env)
        return _examined(draft, _Imports(draft, progress=progress), only_probe=True)


def examine_apart(config: Config) -> Mapping[str, str]:
    """The rest of `load_with_checkers(later=True)`: child processes import their modules, and the second
    channel is checked. Blocks for as long as the imports take. Gives `Loaded.hung`; raises
    ConfigError with every problem.
    """
    functions = tuple(Candidate.of(task) for task in config.tasks if task.enabled)
    candidates = tuple(
        one for one in (*functions, *Candidate.setups_of(config)) if one.isolation is Isolation.PROCESS
    )
    draft = Draft(config.source, config.path, config.lines, config.filled, {}, config, (), candidates)
    return _examined(draft, _Imports(draft, only_rest=True), allow_hung=True).hung


def import_checkers(config: Config) -> dict[str, Checker]:
    """The function of each enabled task of `config` by the task's name.

    Raises ConfigError as `load_with_checkers` does.
    """
    functions = tuple(Candidate.of(task) for task in config.tasks if task.enabled)
    candidates = (*functions, *Candidate.setups_of(config))
    draft = Draft(config.source, config.path, config.lines, config.filled, {}, config, (), candidates)
    return _examined(draft, _Imports(draft)).checkers


@dataclass(slots=True)
class _Imports:
    """What is found while the candidates of `draft` are examined."""

    draft: Draft
    checkers: dict[str, Checker] = field(default_factory=dict)
    hung: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    redactor: Redactor = field(default_factory=Redactor)
    raised: Mapping[str, CheckerImportError] = field(default_factory=dict)
    """By modules whose import was tried before."""
    progress: ProbeProgress | None = None
    only_rest: bool = False
    """The rest of an examination: without candidates nothing is said that may hold a secret."""
    _functions: dict[str, Checker | CheckerImportError] = field(default_factory=dict)
    _examined: dict[tuple[str, bool], Found] = field(default_factory=dict)

    def function(self, run: str) -> Checker:
        """As `import_checker`, once for all tasks that name `run`. Raises CheckerImportError."""
        module = run.partition(":")[0]
        found = self.raised.get(module) or self._functions.get(run)
        if found is None:
            try:
                found = import_checker(run, self.draft.path.parent)
            except CheckerImportError as error:
                found = error
            self._functions[run] = found
        if isinstance(found, CheckerImportError):
            raise found
        return found

    def examine(self, one: Candidate, function: Checker) -> Found:
        """As `examine_function`, once for all tasks that call `function` without arguments."""
        blocking = _may_block(one)
        if one.args is None or one.args:
            return examine_function(function, one.args, blocking=blocking)
        found = self._examined.get((one.run, blocking))
        if found is None:
            found = self._examined[one.run, blocking] = examine_function(function, {}, blocking=blocking)
        return found

    def note(self, candidate: Candidate, found: Found) -> None:
        for place, text in found:
            if place == NOTE:
                self.notes.append(f"{candidate.name}: {self.redactor.redact(text)}")
                continue
            where: Place = (candidate.key.value,) if candidate.key is CandidateKey.SETUP else place
            self.problems.append(Problem(self.redactor.redact(text), self._place(candidate.name, where)))

    def place_of(self, one: Candidate) -> Place:
        """Where its function is named."""
        return self._place(one.name, (one.key.value,))

    def _place(self, task: str, place: Place) -> Place:
        """Of the task itself, or of `defaults` if the key comes from there."""
        if not task:
            return place
        key, lines = place[0], self.draft.lines
        inherited = ("tasks", task, key) not in lines and ("defaults", key) in lines
        return ("defaults", *place) if inherited else ("tasks", task, *place)


def _examined(
    draft: Draft,
    found: _Imports,
    *,
    allow_hung: bool = False,
    probe_new: bool = False,
    only_probe: bool = False,
    later: bool = False,
) -> Loaded:
    """Raises ConfigError with the problems of the draft and of its imports."""
    config = draft.config
    if config is None:
        found.redactor.register(*draft.filled_values)
    elif draft.candidates or not found.only_rest:
        register_config_secrets(config, found.redactor)
    found.problems += draft.problems
    apart = [one for one in draft.candidates if one.isolation is Isolation.PROCESS]
    here = [one for one in draft.candidates if one.isolation is not Isolation.PROCESS]
    if not later:
        _probe(found, apart, here if only_probe else _new(here) if probe_new else [], allow_hung=allow_hung)
    # What a child process could not import is not tried here, where it would do harm.
    refused = {problem.place for problem in found.problems}
    for one in apart:
        if one.key is CandidateKey.RUN:
            found.checkers[one.name] = RemoteChecker(one.run)
    for one in here:
        if not only_probe and (not refused or found.place_of(one) not in refused):
            _import_here(found, one)
    unexamined = later and config is not None and not found.problems
    if later and not unexamined:
        _probe(found, apart, [], allow_hung=allow_hung)
    if config is not None and not unexamined:
        found.problems += check_channels(config)
    if config is not None:
        found.problems += check_extras(config)
    if config is None or found.problems:
        raise as_error(draft.source, draft.lines, found.problems)
    return Loaded(config, found.checkers, found.hung, tuple(found.notes), unexamined)


def _new(candidates: list[Candidate]) -> list[Candidate]:
    return [one for one in candidates if not is_imported(one.module)]


def _probe(found: _Imports, apart: list[Candidate], together: list[Candidate], *, allow_hung: bool) -> None:
    questions = {(one.name, one.key): _question(one) for one in (*apart, *together)}
    if not questions:
        return
    answers = probe(
        [questions[one.name, one.key] for one in apart],
        [questions[one.name, one.key] for one in together],
        found.draft.path.parent,
        withheld_names(found.draft.filled),
        progress=found.progress,
    )
    for one in (*apart, *together):
        match answers[questions[one.name, one.key]]:
            case Hung(text):
                if allow_hung and one.isolation is Isolation.PROCESS:
                    found.hung[one.name] = found.redactor.redact(text)
                else:
                    found.note(one, ((("run",), text),))
            case problems:
                found.note(one, problems)


def _import_here(found: _Imports, one: Candidate) -> None:
    try:
        function = found.function(one.run)
    except CheckerImportError as error:
        found.note(one, ((("run",), str(error)),))
        return
    if one.key is CandidateKey.SETUP:
        found.note(one, tuple((("setup",), text) for text in check_setup(function)))
        return
    found.checkers[one.name] = function
    found.note(one, found.examine(one, function))


def _question(one: Candidate) -> Question:
    args = None if one.args is None else pickle.dumps(dict(one.args))
    return Question(one.run, args, _may_block(one), one.env, one.key is CandidateKey.SETUP)


def _may_block(one: Candidate) -> bool:
    return one.isolation is not Isolation.INLINE
