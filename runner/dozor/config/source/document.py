"""The configuration file as plain values, with the line of each."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import BaseResolver

from dozor.config.source.interpolation import Reference, has_reference, interpolate
from dozor.config.source.problems import Place, Problem
from dozor.config.source.syntax import explain_syntax, syntax_problem
from dozor.language import msg

DEEPEST = 50
MOST_VALUES = 500_000
"""Aliases of aliases grow without bound ("a billion laughs"); 10,000 tasks are a tenth of this."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str", "timestamp"))

# YAML 1.1 reads 1:30 as 90 and 010 as 8. Here such a value stays text: `-100123:17` is a topic, not a sum.
_PLAIN_NUMBER = re.compile(
    r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+|(?:[0-9][0-9_]*)?\.[0-9_]*(?:[eE][-+][0-9]+)?|\.(?:inf|nan))",
    re.ASCII | re.IGNORECASE,
)
_DECIMAL = re.compile(r"[-+]?[0-9_]+\.[0-9_]*", re.ASCII)
_NUMBERS = frozenset((_TAG + "int", _TAG + "float"))


_ARGS = ("args",)


def _is_read_otherwise(text: str, value: object) -> bool:
    """Whether a plain scalar became something that is not written as it was: `NO`, `3.10`, `1_000`."""
    if isinstance(value, bool):
        return text.lower() not in ("true", "false")
    if isinstance(value, float):
        return _DECIMAL.fullmatch(text) is not None and repr(value) != text.lstrip("+")
    if isinstance(value, int):
        return "_" in text
    return isinstance(value, date)


class Unreadable(Enum):
    """Stands for a value that has a problem of its own: neither there nor absent."""

    UNREADABLE = "unreadable"


UNREADABLE: Final = Unreadable.UNREADABLE


@dataclass(slots=True)
class Document:
    """`filled`: the places whose value came from the environment or a file, with the text in their stead."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Place, int] = field(default_factory=lambda: {(): 1})
    filled: dict[Place, str] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    """What `filled` was filled in with."""
    problems: list[Problem] = field(default_factory=list)
    hints: list[Problem] = field(default_factory=list)
    """Arguments of tasks that YAML may read otherwise than was meant: `NO`, `3.10`."""


class _Resolver(BaseResolver):
    """YAML's implicit typing, for text that has just been filled in."""

    yaml_implicit_resolvers = yaml.SafeLoader.yaml_implicit_resolvers


class _Constructor(SafeConstructor):
    """Values of scalars; never of anything that would run code."""


_RESOLVER: Final = _Resolver()
_CONSTRUCTOR: Final = _Constructor()
_SafeLoader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STR = _TAG + "str"


class _Loader(_SafeLoader):  # type: ignore[misc]
    """libyaml's where it is installed. A tag is resolved once for equal texts: those of tasks repeat."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._resolved: dict[tuple[type[yaml.Node], str | None, object], str] = {}

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        key = kind, value, implicit
        tag = self._resolved.get(key)
        if tag is None:
            tag = self._resolved[key] = super().resolve(kind, value, implicit)
        return tag


def read_document(text: str, folder: Path, env: Mapping[str, str]) -> Document:
    """`text` as values. Never raises for what is in it: see `Document.problems`.

    After an error of YAML's grammar there is that one problem and no values, since
    nothing behind it can be trusted.
    """
    document = Document()
    problem = syntax_problem(text)
    if problem is not None:
        document.problems.append(problem)
        return document
    try:
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        document.problems.append(explain_syntax(text, error))
        return document
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value.strip()):
        document.problems.append(Problem(msg("config-empty-file"), (), 1))
    elif not isinstance(root, yaml.MappingNode):
        kind = msg("config-kind-list") if isinstance(root, yaml.SequenceNode) else msg("config-kind-text")
        document.problems.append(Problem(msg("config-no-sections", kind=kind), (), _line(root)))
    else:
        document.values = _Reading(document, folder, env).mapping(root, ())
    return document


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1


class _Reading:
    """One walk over the tree of nodes, noting lines and problems on the way."""

    def __init__(self, document: Document, folder: Path, env: Mapping[str, str]) -> None:
        self._document = document
        self._folder = folder
        self._env = env
        self._open: set[int] = set()
        self._count = 0

    def _problem(self, text: str, place: Place, node: yaml.Node) -> None:
        self._document.problems.append(Problem(text, place, _line(node)))

    def value(self, node: yaml.Node, place: Place) -> Any:
        """The value of `node`; UNREADABLE where it has none, with a problem noted."""
        self._count += 1
        if self._count > MOST_VALUES:
            if self._count == MOST_VALUES + 1:
                text = msg("config-too-many-values", count=MOST_VALUES)
                self._problem(text, place, node)
            return UNREADABLE
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if id(node) in self._open:
            self._problem(msg("config-alias-in-anchor"), place, node)
            return UNREADABLE
        if len(place) > DEEPEST:
            self._problem(msg("config-too-deep", count=DEEPEST), place, node)
            return UNREADABLE
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, place)
            if isinstance(node, yaml.SequenceNode):
                return self._sequence(node, place)
        finally:
            self._open.discard(id(node))
        raise AssertionError(f"a node of YAML is a scalar, a list or a mapping, not {type(node)}")

    def mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        """Keys are text as written: a task may be called 17 or `on`."""
        self._check_tag(node, "map", place)
        values: dict[str, Any] = {}
        lines = self._document.lines
        for written, (key_node, value_node) in self._entries(node, place).items():
            key = sys.intern(written)  # one text for the keys of all tasks
            here = (*place, key)
            lines[here] = _line(key_node)
            values[key] = self.value(value_node, here)
        return values

    def _entries(self, node: yaml.MappingNode, place: Place) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """The key and value nodes of a mapping, with `<<:` filled in for keys that are not there."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(msg("config-key-not-text"), place, key_node)
            elif key_node.tag == _TAG + "merge":
                merged.append(value_node)
            elif key_node.value in own:
                first = _line(own[key_node.value][0])
                text = msg("config-key-twice", first=first)
                self._problem(text, (*place, key_node.value), key_node)
            else:
                own[key_node.value] = (key_node, value_node)
        for source in merged:
            for key, nodes in self._merged(source, place).items():
                own.setdefault(key, nodes)
        return own

    def _merged(self, source: yaml.Node, place: Place) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        """What `<<: *anchor` or `<<: [*one, *two]` brings in; the first of several wins."""
        self._count += 1
        if id(source) in self._open or self._count > MOST_VALUES:
            self._problem(msg("config-merge-loop"), place, source)
            return {}
        self._open.add(id(source))
        try:
            if isinstance(source, yaml.MappingNode):
                return self._entries(source, place)
            if isinstance(source, yaml.SequenceNode):
                entries: dict[str, tuple[yaml.Node, yaml.Node]] = {}
                for item in source.value:
                    for key, nodes in self._merged(item, place).items():
                        entries.setdefault(key, nodes)
                return entries
        finally:
            self._open.discard(id(source))
        self._problem(msg("config-merge-what"), place, source)
        return {}

    def _sequence(self, node: yaml.SequenceNode, place: Place) -> list[Any]:
        self._check_tag(node, "seq", place)
        values = []
        for index, item in enumerate(node.value):
            self._document.lines[*place, index] = _line(item)
            values.append(self.value(item, (*place, index)))
        return values

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        text: str = node.value
        tag: str = node.tag
        if not has_reference(text):
            if tag == _STR:
                return text
        else:
            try:
                filled = interpolate(text, self._env, self._folder, self._document.references)
            except ValueError as error:
                self._problem(str(error), place, node)
                return UNREADABLE
            if filled != text:
                self._document.filled[place] = text
            text = filled
            if not node.style and tag == _STR:
                tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        if not node.style and tag in _NUMBERS and not _PLAIN_NUMBER.fullmatch(text):
            return text
        if tag not in _SCALARS:
            self._check_tag(node, "str", place)
            return UNREADABLE
        try:
            value = _CONSTRUCTOR.construct_object(yaml.ScalarNode(tag, text))
        except (ValueError, KeyError, AttributeError, TypeError, yaml.YAMLError):
            kind = tag.removeprefix(_TAG)
            self._problem(msg("config-value-not-valid", kind=kind), place, node)
            return UNREADABLE
        if (
            place not in self._document.filled
            and not node.style
            and _ARGS in (place[1:2], place[2:3])
            and _is_read_otherwise(text, value)
        ):
            hint = msg("config-hint-args", read=str(value), text=text)
            self._document.hints.append(Problem(hint, place, _line(node)))
        return value

    def _check_tag(self, node: yaml.Node, expected: str, place: Place) -> None:
        """Notes a problem where a tag asks for something of its own: `!!set`, `!Ref`, `!!python/name:`."""
        if node.tag != _TAG + expected:
            tag = node.tag.replace(_TAG, "!!")
            self._problem(msg("config-tag", tag=tag), place, node)
