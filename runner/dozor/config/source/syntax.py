"""Explains YAML syntax errors in words that help."""

from __future__ import annotations

import re

import yaml
from yaml.reader import Reader

from dozor.config.source.problems import Problem
from dozor.language import msg

_UNQUOTED_IPV6 = re.compile(r":\s*\[[0-9a-fA-F:.]*\]:[0-9]")


def syntax_problem(text: str) -> Problem | None:
    """What the parser would trip over without a useful word."""
    odd = Reader.NON_PRINTABLE.search(text)
    if odd is not None:
        line = text.count("\n", 0, odd.start()) + 1
        code = ord(odd.group())
        return Problem(msg("config-yaml-character", code=f"{code:04X}"), (), line)
    return None


def explain_syntax(text: str, error: yaml.YAMLError | RecursionError) -> Problem:
    """The parser's complaint as a problem with its line."""
    context = str(getattr(error, "context", None) or "")
    problem = str(getattr(error, "problem", None) or error)
    line = _mark(error, "problem_mark")
    opened = _mark(error, "context_mark") or line
    lines = text.splitlines()
    here = lines[line - 1] if line and line <= len(lines) else ""
    opening = lines[opened - 1] if opened and opened <= len(lines) else ""

    if isinstance(error, RecursionError) or "nesting depth" in problem:
        return Problem(msg("config-yaml-nesting"), (), line)
    if "single document" in context:
        return Problem(msg("config-yaml-second-document"), (), line)
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return Problem(msg("config-yaml-tab"), (), line)
    if "flow" in context and "${" in opening:
        return Problem(msg("config-yaml-reference-quotes"), (), opened)
    if "flow" in context and _UNQUOTED_IPV6.search(opening):
        return Problem(msg("config-yaml-address-quotes"), (), opened)
    if "undefined alias" in problem:
        return Problem(msg("config-yaml-alias"), (), line)
    if "duplicate anchor" in context + problem:
        return Problem(msg("config-yaml-anchor-twice"), (), line)
    if "mapping values are not allowed" in problem:
        hint = msg("config-yaml-colon")
        return Problem(hint, (), line)
    if "expected ':'" in problem:
        return Problem(msg("config-yaml-no-colon"), (), opened)
    if "quoted scalar" in context and "end of stream" in problem:
        return Problem(msg("config-yaml-open-quote"), (), opened)
    if "flow" in context:
        return Problem(msg("config-yaml-open-bracket"), (), opened)
    if "cannot start any token" in problem:
        return Problem(msg("config-yaml-bad-start"), (), line)
    words = f"{context}, {problem}" if context else problem
    return Problem(msg("config-yaml-not-valid", words=words), (), line)


def _mark(error: Exception, name: str) -> int | None:
    mark = getattr(error, name, None)
    return None if mark is None else int(mark.line) + 1
