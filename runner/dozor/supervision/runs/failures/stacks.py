"""Where a run is: the await chain of its task down to the innermost frame, or the stack of its thread.

Reading it changes nothing and may be done from any thread; a chain read while it moves may miss a link.
Each line is `file.py:LINE in function`, the checker's own frame first.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

DEEPEST = 60
"""Links followed; beyond it an ellipsis."""
SHOWN_IN_TEXT = 6
SUPERVISION_FOLDER = f"{Path(__file__).parents[2]}{os.sep}"
"""`dozor/supervision/`: frames of files below it are ours, not the checker's."""
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib"))
_WAITING_FRAMES = ("asyncio/tasks.py", "asyncio/taskgroups.py")


def await_chain(task: asyncio.Task[Any]) -> list[str]:
    """From the task's coroutine through everything it awaits; other tasks it waits for are followed."""
    seen: set[int] = set()
    lines = list(_links(task, seen))
    return lines[:DEEPEST] + ["…"] * (len(lines) > DEEPEST)


def chain_of_thread(ident: int) -> list[str]:
    """The stack of a thread, outermost first; empty if it has ended."""
    frame = sys._current_frames().get(ident)
    return [] if frame is None else stack_of(frame)


def stack_of(frame: FrameType | None) -> list[str]:
    """`frame` and its callers, outermost first, without the machinery around the checker."""
    lines: list[tuple[bool, str]] = []
    while frame is not None and len(lines) < DEEPEST:
        lines.append((_is_ours(frame), _line(frame)))
        frame = frame.f_back
    lines.reverse()
    # Everything up to the last frame of ours is how the checker was called.
    start = max((number + 1 for number, (ours, _) in enumerate(lines) if ours), default=0)
    return [line for _, line in (lines[start:] or lines)]


def in_one_line(chain: Sequence[str]) -> str:
    """The chain for a message, its middle left out where it is long."""
    if len(chain) > SHOWN_IN_TEXT:
        chain = [*chain[:2], "…", *chain[-(SHOWN_IN_TEXT - 2) :]]
    return " → ".join(chain)


def users_own(chain: Iterable[str]) -> str:
    """The innermost link that is neither the standard library's nor an installed package's; "" if none is."""
    theirs = ""
    for line in chain:
        if "/" not in line:
            theirs = line
    return theirs


def _links(awaited: Any, seen: set[int]) -> Iterator[str]:
    """One link a step; a future that waits for tasks leads on into them."""
    while awaited is not None and id(awaited) not in seen and len(seen) < DEEPEST:
        seen.add(id(awaited))
        if isinstance(awaited, asyncio.Task):
            yield from _links(awaited.get_coro(), seen)
            awaited = getattr(awaited, "_fut_waiter", None)
            continue
        if isinstance(awaited, asyncio.Future):
            for inner in _behind(awaited):
                yield from _links(inner, seen)
            return
        frame, following = _frame_and_next(awaited)
        if frame is not None:
            if not _is_ours(frame):
                yield _line(frame)
            if following is None or type(following).__name__ == "FutureIter":
                for inner in _waited_for(frame):
                    yield from _links(inner, seen)
        awaited = following


def _frame_and_next(awaited: Any) -> tuple[FrameType | None, Any]:
    for kind in ("cr", "gi", "ag"):
        frame = getattr(awaited, f"{kind}_frame", None)
        if frame is not None:
            following = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
            return frame, following
    if type(awaited).__name__.startswith("async_generator_"):
        # What `async for` awaits names its generator nowhere but to the garbage collector.
        return None, next((one for one in gc.get_referents(awaited) if hasattr(one, "ag_frame")), None)
    return None, None


def _behind(future: asyncio.Future[Any]) -> list[Any]:
    """Tasks that a future of `gather` or `shield` waits for."""
    children = getattr(future, "_children", None)
    if children:
        return [child for child in children if not child.done()]
    found = []
    for callback, _ in getattr(future, "_callbacks", None) or ():
        for cell in getattr(callback, "__closure__", None) or ():
            try:
                inner = cell.cell_contents
            except ValueError:
                continue
            if isinstance(inner, asyncio.Future) and inner is not future and not inner.done():
                found.append(inner)
    return found


def _waited_for(frame: FrameType) -> list[Any]:
    """Tasks that `asyncio.wait`, `wait_for` or a TaskGroup waits for, from the names in its frame."""
    if not frame.f_code.co_filename.endswith(_WAITING_FRAMES):
        return []
    names = frame.f_locals
    group = getattr(names.get("self"), "_tasks", None)
    waited = group or names.get("fs") or names.get("fut") or ()
    if isinstance(waited, asyncio.Future):
        waited = (waited,)
    try:
        return [one for one in list(waited) if isinstance(one, asyncio.Task) and not one.done()]
    except RuntimeError:  # changed meanwhile, in another thread
        return []


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(SUPERVISION_FOLDER)


def _line(frame: FrameType) -> str:
    return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"


def _short(path: str) -> str:
    """`asyncio/streams.py`, `python/selectors.py` of a library; `presales.py` of the user's own code."""
    for folder in _LIBRARIES:
        if path.startswith(folder):
            rest = path[len(folder) + 1 :]
            return rest if "/" in rest else f"python/{rest}"
    return os.path.basename(path)
