"""Exceptions of other people's code: texts at a bounded cost, causes, and frames that are released.

An exception may hold a text of any size, raise in its `__str__`, override the attributes that a traceback is
made of, or refer to itself. Nothing here raises for that, and nothing copies a text before it is cut.
"""

from __future__ import annotations

import os
import sysconfig
import traceback
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from types import TracebackType, WrapperDescriptorType
from typing import Any

from dozor.errors import Fatal
from dozor.language import msg

TEXT = 4_000
"""Characters of one exception's text that a traceback shows."""
TEXTS = 16_000
"""Characters of all the texts of one tree; after that each is cut to `CAUSE_TEXT`."""
MARGIN = 1_000
"""Characters beyond a cut that are redacted with the text and dropped after it: no part of a secret stays."""
MOST_LINKS = 60
"""Exceptions of one tree (causes, contexts, members of groups) that are shown."""
LONGEST_CHAIN = 1_000
MOST_MEMBERS = 15
MOST_NOTES = 20
MOST_FRAMES = 2_000
DEEPEST = 8
"""Levels of nested containers in an argument that are shown."""
MOST_NAMED = 5
"""Causes that are named in the text of a failure."""
CAUSE_TEXT = 300

_KEPT = "_dozor_text"
"""Attribute of an exception with its text, once code of its class or of its arguments has composed that."""
_INERT = (str, bytes, int, float, bool, type(None))
"""Types of arguments whose representation runs no code of other people."""
_TREE = ("__traceback__", "__cause__", "__context__", "__suppress_context__")
_ASKED = ("__bool__", "__len__", "__eq__", "__hash__", "__setattr__")
"""What loguru and `traceback` do with an exception, which must not run code of its class."""
_LIBRARIES = tuple(
    {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
)
_PACKAGE = os.path.dirname(__file__)
_SUPERVISION = os.path.join(_PACKAGE, "supervision")

Redact = Callable[[str], str]


def type_name(error: BaseException) -> str:
    """The name of its class, whatever the metaclass says."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return name[:200]


def text_of(error: BaseException, limit: int = TEXT, redact: Redact = str) -> str:
    """`str(error)`, redacted, of at most about `limit` characters; never raises."""
    return shortened(_raw_text(error, limit + MARGIN + 1)[0], limit, redact)


def shortened(text: str, limit: int, redact: Redact = str) -> str:
    """`text`, redacted, with at most `limit` characters of its beginning; only these are looked at."""
    length = str.__len__(text)
    if length <= limit:
        return redact(str.__getitem__(text, slice(None)))
    kept = redact(str.__getitem__(text, slice(limit + MARGIN)))
    return kept[: min(limit, max(0, len(kept) - MARGIN))] if length > limit + MARGIN else kept[:limit]


def is_fatal(error: BaseException) -> bool:
    """Whether it is a `Fatal`, was raised from one, or is a group that holds one."""
    return any(issubclass(type(link), Fatal) for link in islice(_explicit(error), 1_000))


def place_of(error: BaseException) -> str:
    """`file.py:LINE in function`: the deepest frame of its own code, not of a library or of supervision."""
    theirs = any_frame = ""
    trace = _get(error, "__traceback__")
    for frame, line in islice(traceback.walk_tb(trace), 100_000):
        path = frame.f_code.co_filename
        if path.startswith(_SUPERVISION):
            continue
        any_frame = f"{os.path.basename(path)}:{line} in {frame.f_code.co_name}"
        # A relative path is that of a compiled extension's source ("asyncpg/protocol/protocol.pyx").
        if os.path.isabs(path) and not path.startswith(_LIBRARIES):
            theirs = any_frame
    return theirs or any_frame


def causes_of(error: BaseException) -> list[BaseException]:
    """The errors behind `error`, at most `MOST_NAMED`: members of groups, and what each was raised from.

    Without CancelledErrors: `asyncio.timeout` raises from one, which says nothing.
    """
    causes = (
        link
        for link in _explicit(error)
        if link is not error and not _is_group(link) and not issubclass(type(link), CancelledError)
    )
    return list(islice(causes, MOST_NAMED))


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """`error`, what it was raised from or what was being handled, and so on; at most `LONGEST_CHAIN`."""

    def following(link: BaseException) -> tuple[BaseException | None]:
        cause: BaseException | None = _get(link, "__cause__")
        return (_get(link, "__context__") if cause is None else cause,)

    return islice(_walk(error, following), LONGEST_CHAIN)


def described_causes(error: BaseException, redact: Redact) -> str:
    """The errors behind `error`, each with its type, text and place; "" where there are none."""
    told = []
    for cause in causes_of(error):
        place = place_of(cause)
        told.append(line_of(cause, redact) + (f" ({redact(place)})" if place else ""))
    return "; ".join(told)


def line_of(error: BaseException, redact: Redact = str) -> str:
    """Its type and the beginning of its text, in one line."""
    text = " ".join(text_of(error, CAUSE_TEXT, redact).split())
    return f"{type_name(error)}: {text}" if text else type_name(error)


def bounded(error: BaseException, redact: Redact = str) -> BaseException:
    """`error` if formatting it is cheap and safe, else a copy of its tree with everything cut.

    The copies have the names and tracebacks of the originals, but are of other classes.
    """
    try:
        return error if _is_plain(error) else _Copying(redact).copy(error)
    except Exception as nested:  # noqa: BLE001 -- an exception of unknown code may do anything
        return RuntimeError(msg("log-no-traceback", error=type_name(nested)))


def tamed(error: BaseException) -> BaseException:
    """`error`, or a copy of it if even `isinstance` of it may run code of its class."""
    kind = type(error)
    own = any("__class__" in base.__dict__ for base in kind.__mro__ if base is not object)
    if own or kind.__getattribute__ is not BaseException.__getattribute__ or type(kind) is not type:
        return bounded(error)
    return error


def compose_texts(error: BaseException) -> None:
    """Compose the texts of `error` and of what is behind it here and now, as far as that runs code of theirs.

    For the thread in which it was raised: a `__str__` may take long, or never end, and whoever records the
    failure must not wait for it. The texts are kept until `release`.
    """
    for link in islice(_tree(error), MOST_LINKS):
        if _runs_code(link):
            _raw_text(link, TEXT + MARGIN + 1)


def release(error: BaseException) -> None:
    """Drop the tracebacks of `error` and of what is behind it; call it when the failure has been recorded.

    A reference cycle through a traceback (`except ... as error: self.last = error`) would keep the variables
    of a failed run until a full collection. The frames themselves are kept: one may belong to a
    generator that goes on, which clearing it would end.
    """
    for link in islice(_tree(error), 1_000):
        BaseException.__dict__["__traceback__"].__set__(link, None)
        _attributes(link).pop(_KEPT, None)


# -- texts


def _raw_text(error: BaseException, limit: int) -> tuple[str, bool]:
    """Its text, and whether it is whole; one that has to be composed ends near `limit` characters.

    Code of its class or of its arguments runs once: it may be slow.
    """
    if not _runs_code(error):
        return _composed(error, limit)
    kept = _attributes(error)
    if _KEPT not in kept:
        kept[_KEPT] = _composed(error, max(limit, TEXT + MARGIN + 1))
    found: tuple[str, bool] = kept[_KEPT]
    return found


def _attributes(error: BaseException) -> dict[str, Any]:
    attributes: dict[str, Any] = BaseException.__dict__["__dict__"].__get__(error)
    return attributes


def _runs_code(error: BaseException) -> bool:
    """Whether `str(error)` runs code other than Python's own."""
    if not isinstance(type(error).__str__, WrapperDescriptorType):
        return True
    args = _arguments(error)
    return not all(map(_is_inert, args[:1] if _is_group(error) else args))


def _is_inert(value: Any, depth: int = 0) -> bool:
    """Unknown for a deep or large container, which counts as not inert."""
    if type(value) in _INERT:
        return True
    if type(value) not in (tuple, list) or depth > 2 or len(value) > MOST_LINKS:
        return False
    return all(_is_inert(item, depth + 1) for item in value)


def _composed(error: BaseException, limit: int) -> tuple[str, bool]:
    try:
        if isinstance(type(error).__str__, WrapperDescriptorType):
            args = _arguments(error)
            if _weight(args, limit) > limit:
                return _of_large_args(error, args, limit)
        return str(error), True
    except BaseException as nested:  # noqa: BLE001 -- its own __str__ may do anything; said in the text
        return msg("log-str-of-raised", name=type_name(error), error=type_name(nested)), True


def _arguments(error: BaseException) -> tuple[Any, ...]:
    """What a `__str__` of Python's own puts into the text."""
    args: tuple[Any, ...] = BaseException.__dict__["args"].__get__(error)
    if not issubclass(type(error), OSError):
        return args
    filename = OSError.__dict__["filename"].__get__(error)
    return args if filename is None else (*args, filename)


def _of_large_args(error: BaseException, args: tuple[Any, ...], limit: int) -> tuple[str, bool]:
    if _is_group(error) and isinstance(args[0], str):
        return args[0], True
    if len(args) == 1 and isinstance(args[0], str) and type(error).__str__ is not KeyError.__str__:
        return args[0], True
    return "".join(_pieces(args[0] if len(args) == 1 else args, limit, 0)), False


def _weight(value: Any, limit: int, depth: int = 0) -> int:
    """About the number of characters of its repr, as far as `limit`."""
    kind = type(value)
    if kind in (str, bytes, bytearray):
        return len(value)
    if kind is int:
        return int(value.bit_length()) // 3
    if kind in (tuple, list, set, frozenset, dict):
        if depth > DEEPEST:
            return limit + 1
        weight = 2 * len(value)
        items: Iterable[Any] = (part for pair in value.items() for part in pair) if kind is dict else value
        for item in items:
            if weight > limit:
                break
            weight += _weight(item, limit, depth + 1)
        return weight
    return 1


def _pieces(value: Any, limit: int, depth: int) -> Iterator[str]:
    """The repr of `value` in portions, until about `limit` characters."""
    kind = type(value)
    if kind in (str, bytes, bytearray):
        yield repr(value[:limit])
    elif kind is int and value.bit_length() > 10_000:
        yield f"<int, {value.bit_length()} bits>"
    elif kind in (tuple, list, set, frozenset, dict):
        opened, closed = "()" if kind is tuple else "[]" if kind is list else "{}"
        used = 0
        yield opened
        for item in () if depth > DEEPEST else value:
            if used > limit:
                yield "…"
                break
            parts = (item, value[item]) if kind is dict else (item,)
            piece = ": ".join("".join(_pieces(part, limit - used, depth + 1)) for part in parts)
            yield f", {piece}" if used else piece
            used += len(piece) + 2
        yield closed
    else:
        yield repr(value)[:limit]


# -- the tree


def _get(error: BaseException, name: str) -> Any:
    """An attribute of the base class, also where the exception's own class overrides it."""
    return BaseException.__dict__[name].__get__(error)


def _is_group(error: BaseException) -> bool:
    return issubclass(type(error), BaseExceptionGroup)


def _members(error: BaseException) -> tuple[BaseException, ...]:
    if not _is_group(error):
        return ()
    members: tuple[BaseException, ...] = BaseExceptionGroup.__dict__["exceptions"].__get__(error)
    return members


def _explicit(error: BaseException) -> Iterator[BaseException]:
    """`error`, members of groups, and `raise ... from`; not what was merely being handled."""
    return _walk(error, lambda link: (*_members(link), _get(link, "__cause__")))


def _tree(error: BaseException) -> Iterator[BaseException]:
    return _walk(error, lambda link: (*_members(link), _get(link, "__cause__"), _get(link, "__context__")))


def _walk(
    error: BaseException, following: Callable[[BaseException], tuple[BaseException | None, ...]]
) -> Iterator[BaseException]:
    """Nearest first, each once: exceptions may refer to each other in a circle."""
    seen = {id(error)}
    level = [error]
    while level:
        below: list[BaseException] = []
        for link in level:
            yield link
            for one in following(link):
                if one is not None and id(one) not in seen:
                    seen.add(id(one))
                    below.append(one)
        level = below


def _is_plain(error: BaseException) -> bool:
    """Whether its tree is small, its texts are short, and no class of it overrides what tracebacks read."""
    links = list(islice(_tree(error), MOST_LINKS + 1))
    if len(links) > MOST_LINKS or not all(map(_is_plain_link, links)):
        return False
    return len(links) == 1 or sum(len(str(link)) + _length_of_notes(link) for link in links) <= TEXTS


def _is_plain_link(link: BaseException) -> bool:
    kind: Any = type(link)
    if type(kind) is not type or not _is_plain_kind(kind) or _runs_code(link):
        return False
    if len(_members(link)) > MOST_MEMBERS:
        return False
    notes = getattr(link, "__notes__", None)
    if notes is not None and not (
        type(notes) is list
        and len(notes) <= MOST_NOTES
        and all(type(note) is str for note in notes)
        and _length_of_notes(link) <= TEXT
    ):
        return False
    if issubclass(kind, SyntaxError) and _weight((link.text, link.msg, link.filename), TEXT) > TEXT:  # type: ignore[attr-defined]
        return False
    frames = sum(1 for _ in islice(traceback.walk_tb(link.__traceback__), MOST_FRAMES + 1))
    if frames > MOST_FRAMES:
        return False
    try:
        if isinstance(kind.__str__, WrapperDescriptorType) and _weight(_arguments(link), TEXT) > TEXT:
            return False
        return len(str(link)) <= TEXT
    except BaseException:  # noqa: BLE001 -- its own __str__ raises
        return False


@lru_cache(maxsize=500)
def _is_plain_kind(kind: Any) -> bool:
    """Whether no class of it overrides what tracebacks read."""
    if kind.__getattribute__ is not BaseException.__getattribute__:
        return False
    own: tuple[type[Any], ...] = kind.__mro__[: kind.__mro__.index(BaseException)]
    return not any(name in base.__dict__ for base in own for name in (*_TREE, *_ASKED))


def _length_of_notes(link: BaseException) -> int:
    return sum(map(len, getattr(link, "__notes__", ())))


class _Copy(Exception):  # noqa: N818 -- shown under the name of the original
    shown = ""

    def __str__(self) -> str:
        return self.shown


class _CopyOfGroup(BaseExceptionGroup[BaseException]):
    shown = ""

    def __str__(self) -> str:
        return self.shown


class _Copying:
    """One tree of exceptions, copied; at most `MOST_LINKS` of them."""

    def __init__(self, redact: Redact) -> None:
        self._redact = redact
        self._left = TEXTS
        self._copies: dict[int, BaseException | None] = {}

    def copy(self, error: BaseException) -> BaseException:
        made: BaseException
        self._copies[id(error)] = None  # a group cannot hold itself: what refers back to it is left out
        different = {id(member): member for member in _members(error)[: 2 * MOST_MEMBERS]}
        members = [self._following(member) for member in list(different.values())[:MOST_MEMBERS]]
        present = [member for member in members if member is not None]
        base = _CopyOfGroup if present else _Copy
        made = _class_like(error, base)(*(("", present) if present else ()))
        self._copies[id(error)] = made
        made.shown = self._shown(*_raw_text(error, TEXT + MARGIN + 1))  # type: ignore[attr-defined]
        for note in self._notes(error):
            made.add_note(note)
        made.__cause__ = self._following(_get(error, "__cause__"))
        made.__context__ = self._following(_get(error, "__context__"))
        made.__suppress_context__ = bool(_get(error, "__suppress_context__"))
        return made.with_traceback(_trimmed(_get(error, "__traceback__")))

    def _following(self, error: BaseException | None) -> BaseException | None:
        if error is None:
            return None
        if id(error) in self._copies:
            return self._copies[id(error)]
        return None if len(self._copies) >= MOST_LINKS else self.copy(error)

    def _notes(self, error: BaseException) -> Iterator[str]:
        try:
            notes = object.__getattribute__(error, "__notes__")
        except AttributeError:
            return
        if isinstance(notes, list | tuple):
            for note in notes[:MOST_NOTES]:
                if isinstance(note, str):
                    yield self._shown(note, True)

    def _shown(self, text: str, whole: bool) -> str:
        """As `shortened`, with how much was left out if `text` is the `whole`."""
        limit, length = min(TEXT, max(CAUSE_TEXT, self._left)), str.__len__(text)
        self._left -= min(limit, length)
        kept = shortened(text, limit, self._redact)
        if length <= limit:
            return kept
        return f"{kept} {msg('log-left-out', count=length - limit)}" if whole else f"{kept} …"


def _class_like(error: BaseException, base: type[Any]) -> Any:
    """A class with the name of the error's, so that a traceback shows that name."""
    kind = type(error)
    module = type.__dict__["__module__"].__get__(kind)
    names = {
        "__module__": module if isinstance(module, str) else base.__module__,
        "__qualname__": type.__dict__["__qualname__"].__get__(kind)[:200],
    }
    return type(type_name(error), (base,), names)


def _trimmed(trace: TracebackType | None) -> TracebackType | None:
    """Its outermost and innermost entries, where it has too many."""
    entries: list[TracebackType] = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    if len(entries) <= MOST_FRAMES:
        return entries[0] if entries else None
    kept = entries[:50] + entries[-150:]
    following: TracebackType | None = None
    for entry in reversed(kept):
        following = TracebackType(following, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return following
