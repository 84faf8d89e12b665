"""What is wrong with a file that is not YAML, in words that help."""

from __future__ import annotations

import re

import yaml
from yaml.reader import Reader

from dozor.config.problems import Problem

_UNQUOTED_IPV6 = re.compile(r":\s*\[[0-9a-fA-F:.]*\]:[0-9]")


def syntax_problem(text: str) -> Problem | None:
    """What the parser would trip over without a useful word."""
    odd = Reader.NON_PRINTABLE.search(text)
    if odd is not None:
        line = text.count("\n", 0, odd.start()) + 1
        code = ord(odd.group())
        return Problem(f"the character U+{code:04X} is not allowed in YAML; remove it", (), line)
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
        return Problem("nested far too deeply; flatten it", (), line)
    if "single document" in context:
        return Problem("a second document begins here; keep one, without ---", (), line)
    if "\t" in here[: len(here) - len(here.lstrip())]:
        return Problem("a tab indents this line; indent with spaces", (), line)
    if "flow" in context and "${" in opening:
        return Problem('within { } or [ ] a reference needs quotes: "${NAME}"', (), opened)
    if "flow" in context and _UNQUOTED_IPV6.search(opening):
        return Problem('an address in [ ] needs quotes: "[::1]:9464"', (), opened)
    if "undefined alias" in problem:
        return Problem("the alias (*) names no anchor (&) above it; define it first", (), line)
    if "duplicate anchor" in context + problem:
        return Problem("an anchor (&) of this name exists already; give it another name", (), line)
    if "mapping values are not allowed" in problem:
        hint = "a ':' is not expected here; check the indentation, or put text that holds ': ' in quotes"
        return Problem(hint, (), line)
    if "expected ':'" in problem:
        return Problem("a key without its ':'; write key: value", (), opened)
    if "quoted scalar" in context and "end of stream" in problem:
        return Problem("a quote that opens here is never closed; close it", (), opened)
    if "flow" in context:
        return Problem("a [ or { that opens here is not closed properly; close it", (), opened)
    if "cannot start any token" in problem:
        return Problem("a value cannot begin with this character; put it in quotes", (), line)
    words = f"{context}, {problem}" if context else problem
    return Problem(f"not valid YAML ({words}); correct the line", (), line)


def _mark(error: Exception, name: str) -> int | None:
    mark = getattr(error, name, None)
    return None if mark is None else int(mark.line) + 1
