"""Importing checkers in child processes, before anything of them is imported in this one.

A module may hang, crash or end its process while it is imported. The probe tells which one did, and the
others are examined all the same.
"""

from __future__ import annotations

import base64
import faulthandler
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dozor.arguments import argument_problems
from dozor.config.imports.environment import ALWAYS_WITHHELD, child_environment, explain_withheld
from dozor.config.imports.importing import Checker, CheckerImportError, import_checker
from dozor.config.imports.setups import check_setup
from dozor.config.imports.signatures import check_function, what_it_is
from dozor.config.source.problems import Place
from dozor.language import Language, msg
from dozor.language.process import language_in_use, use_language
from dozor.process import keeper

PROBE_SECONDS = 10.0
"""How long the import of one module may take."""
BEGIN_SECONDS = 30.0
"""How long the child may take to begin: the interpreter has to start, perhaps on a busy machine."""
PROBES_AT_ONCE = 2
TAIL = 16_384
"""Bytes of its output that are kept."""
_LINES_SHOWN = 20
_NOT_THEIRS = (
    "<frozen importlib",
    "importlib/__init__.py",
    '"<string>"',
    f"{Path(__file__).parents[2]}{os.sep}",
)
"""Frames of the import machinery and of ours in what `faulthandler` wrote."""
_ROOT = str(Path(__file__).parents[3])  # the folder that holds `dozor`


@dataclass(frozen=True, slots=True)
class Question:
    """A function to be imported, and how it would be called. `args`: pickled, None if they are not known.

    `blocking`: whether a function that may block can be called where the task runs. `env`: names of withheld
    variables that it gets.
    """

    run: str
    args: bytes | None = None
    blocking: bool = True
    env: tuple[str, ...] = ()
    setup: bool = False
    """It is named by a `setup`."""

    @property
    def module(self) -> str:
        return self.run.partition(":")[0]


Found = tuple[tuple[Place, str], ...]
"""Places within the task and sentences: what keeps the function from being used. Under `NOTE`: what it is."""

NOTE: Place = ("note",)
"""Not a key of a task: a sentence about a function that can be used."""


@dataclass(frozen=True, slots=True)
class Hung:
    """The module was still being imported when its time was up."""

    text: str


Answer = Found | Hung


class RemoteChecker:
    """Stands for a function that is imported only in child processes."""

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def __call__(self) -> None:
        """Raises RuntimeError: it is called in its own process, by its reference."""
        raise RuntimeError(f"{self.reference} is not imported in this process")


def import_hung(reference: str, seconds: float, where: str = "") -> str:
    """The sentence for a module whose import does not end."""
    module = reference.partition(":")[0]
    place = "" if not where else msg("config-import-hung-where", where=where)
    return msg("config-import-hung", module=module, seconds=f"{seconds:g}", where=place)


def examine(question: Question, folder: Path) -> Found:
    """Import the function in this process."""
    try:
        function = import_checker(question.run, folder)
    except CheckerImportError as error:
        return ((("run",), str(error)),)
    if question.setup:
        return tuple((("setup",), text) for text in check_setup(function))
    args = None if question.args is None else pickle.loads(question.args)  # noqa: S301 -- the parent wrote it
    problems = examine_function(function, args, blocking=question.blocking)
    found = what_it_is(function)
    return problems if problems or not found else ((NOTE, found),)


def examine_function(function: Checker, args: Mapping[str, Any] | None, *, blocking: bool) -> Found:
    """What keeps an imported function from being used; `args` None: they are not known."""
    problems: list[tuple[Place, str]] = [
        ((key,), text) for key, text in check_function(function, args, blocking=blocking)
    ]
    if args is not None:
        problems += [(("args", *one.place), one.text) for one in argument_problems(function, args)]
    return tuple(problems)


class ProbeProgress(Protocol):
    """How far it is, in modules. Called in any thread."""

    def expect(self, total: int) -> None: ...

    def step(self) -> None: ...


def probe(
    apart: Iterable[Question],
    together: Iterable[Question],
    folder: Path,
    withheld: frozenset[str] = ALWAYS_WITHHELD,
    *,
    seconds: float | None = None,
    progress: ProbeProgress | None = None,
) -> dict[Question, Answer]:
    """Import each module in a child process, `PROBES_AT_ONCE` at a time.

    Modules of `apart` get a child each, without the variables `withheld`; those of `together`, which share
    the runner's process, share one with its whole environment. Blocks; at most `seconds` a module, by
    default `PROBE_SECONDS`. `progress` is called after each.
    """
    limit = PROBE_SECONDS if seconds is None else seconds
    batches = [_Batch([group], withheld - set(group[0].env)) for group in _by_module(apart)]
    shared = _by_module(together)
    if shared:
        batches.append(_Batch(shared, frozenset()))
    if progress is not None:
        progress.expect(sum(len(batch.groups) for batch in batches))
    answers: dict[Question, Answer] = {}
    with ThreadPoolExecutor(PROBES_AT_ONCE, "dozor probe") as pool:
        for found in pool.map(lambda batch: _examine_batch(batch, folder, limit, progress), batches):
            answers.update(found)
    return answers


def _by_module(questions: Iterable[Question]) -> list[list[Question]]:
    groups: dict[tuple[str, ...], list[Question]] = {}
    for question in dict.fromkeys(questions):
        groups.setdefault((question.module, *question.env), []).append(question)
    return list(groups.values())


@dataclass(frozen=True, slots=True)
class _Batch:
    groups: list[list[Question]]
    withheld: frozenset[str]


def _examine_batch(
    batch: _Batch, folder: Path, seconds: float, progress: ProbeProgress | None
) -> dict[Question, Answer]:
    """After a module that hangs or ends the process, the rest go on in another one."""
    answers: dict[Question, Answer] = {}
    rest = list(batch.groups)
    while rest:
        child = _Child(rest, folder, batch.withheld, seconds, progress)
        try:
            child.listen()
        finally:
            child.end()
        for group, found in zip(rest, child.answers, strict=False):
            answers.update(zip(group, found, strict=True))
        rest = rest[len(child.answers) :]
        if rest:
            answer = child.verdict(rest[0][0])
            answers.update(dict.fromkeys(rest[0], answer))
            rest = rest[1:]
            if progress is not None:
                progress.step()
    return answers


@dataclass(slots=True)
class _Child:
    groups: list[list[Question]]
    folder: Path
    withheld: frozenset[str]
    seconds: float
    progress: ProbeProgress | None = None
    answers: list[list[Found]] = field(default_factory=list)
    _tail: bytes = b""
    _rest: bytes = b""
    _hung: bool = False
    _process: subprocess.Popen[bytes] = field(init=False)
    _socket: socket.socket = field(init=False)
    _output: int = -1

    def __post_init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        theirs.setblocking(True)  # not so by itself after `socket.setdefaulttimeout`
        self._output, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *("-P", "-c", keeper.BOOT, _ROOT, "dozor.config.imports.probing:main"),
                    *(str(os.getpid()), str(keeper.NO_DEADLINES), str(theirs.fileno())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=child_environment(os.environ, self.withheld),
            )
        finally:
            theirs.close()
            os.close(writing)
        self._socket.sendall(json.dumps(self._request()).encode() + b"\n")

    def _request(self) -> dict[str, Any]:
        return {
            "language": language_in_use().value,
            "folder": str(self.folder),
            "path": [str(entry) for entry in sys.path],
            "withheld": sorted(self.withheld),
            "seconds": self.seconds,
            "groups": [
                [[q.run, _encoded(q.args), q.blocking, q.setup] for q in group] for group in self.groups
            ],
        }

    def listen(self) -> None:
        """Until all groups are answered, the process is gone, or a module has had its time."""
        until = time.monotonic() + BEGIN_SECONDS
        ends: list[Any] = [self._socket, self._output]
        while len(self.answers) < len(self.groups) and self._socket in ends:
            left = until - time.monotonic()
            if left <= 0:
                self._hung = True
                return
            # A process that holds the socket open does not keep us from seeing that the child has ended.
            readable = select.select(ends, [], [], min(left, 0.2))[0]
            if not readable and self._process.poll() is not None:
                return
            if self._output in readable and not self._read_output():
                ends.remove(self._output)
            if self._socket in readable:
                data = self._socket.recv(65_536)
                if not data:
                    ends.remove(self._socket)
                for frame in self._frames(data):
                    until = time.monotonic() + self.seconds
                    if "found" in frame:
                        self.answers.append(
                            [tuple((tuple(place), text) for place, text in one) for one in frame["found"]]
                        )
                        if self.progress is not None:
                            self.progress.step()

    def _frames(self, data: bytes) -> Iterator[dict[str, Any]]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        yield from map(json.loads, lines)

    def _read_output(self) -> bool:
        data = os.read(self._output, 65_536)
        self._tail = (self._tail + data)[-TAIL:]
        return bool(data)

    def end(self) -> None:
        """The process, and what it has started."""
        self._socket.close()
        if self._hung or len(self.answers) == len(self.groups):
            self._signal(self._process.pid, signal.SIGTERM if keeper.AVAILABLE else signal.SIGKILL)
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.set_blocking(self._output, False)
        with suppress(OSError):
            while self._read_output():
                pass
        os.close(self._output)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def verdict(self, question: Question) -> Answer:
        """The problem of the module at which it ended."""
        lines = self._tail.decode("utf-8", "replace").splitlines()
        if self._hung:
            return Hung(import_hung(question.run, self.seconds, innermost_frame(lines)))
        how = _how(self._process.returncode)
        text = msg("config-import-died", module=question.module, how=how)
        own = [line for line in lines if not any(part in line for part in _NOT_THEIRS)]
        return ((("run",), "\n".join((text, *own[-_LINES_SHOWN:]))),)


def _encoded(args: bytes | None) -> str | None:
    return None if args is None else base64.b64encode(args).decode()


def innermost_frame(lines: Sequence[str]) -> str:
    """The innermost frame of a checker's own code in what `faulthandler` wrote: most recent call first."""
    for line in lines:
        head, _, rest = line.strip().partition('File "')
        path, _, place = rest.partition('", line ')
        if head == "" and place and "/lib/python" not in path and "/dozor/" not in path:
            if path.startswith("<"):
                continue
            number, _, name = place.partition(" in ")
            return f"{path.rpartition('/')[2]}:{number} in {name}"
    return ""


def _how(returncode: int) -> str:
    if returncode >= 0:
        return msg("config-ended-with-code", code=returncode)
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = str(-returncode)
    return msg("config-ended-by-signal", name=name)


def main(arguments: list[str]) -> None:
    """The child. `arguments`: the number of its socket. Called by `dozor.process.keeper`."""
    end = socket.socket(fileno=int(arguments[0]))
    with end.makefile("rb") as file:
        request: Mapping[str, Any] = json.loads(file.readline())
    use_language(Language(request["language"]))
    sys.path[:] = request["path"]
    explain_withheld(request["withheld"])
    faulthandler.enable()
    folder = Path(request["folder"])
    for group in request["groups"]:
        end.sendall(b'{"begun": true}\n')
        # Half a second before the time is up, so that the output says where the import is.
        faulthandler.dump_traceback_later(max(request["seconds"] - 0.5, 0.1))
        found = [
            examine(
                Question(run, None if args is None else base64.b64decode(args), blocking, setup=setup), folder
            )
            for run, args, blocking, setup in group
        ]
        faulthandler.cancel_dump_traceback_later()
        end.sendall(json.dumps({"found": found}).encode() + b"\n")
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(0)
