"""Exceptions as the text of their traceback; that of the frames is composed once for each way to an error."""

from __future__ import annotations

import traceback
from types import CodeType, TracebackType, WrapperDescriptorType
from typing import Any

REMEMBERED = 256
"""Ways to an error (the places in the code, from the outermost frame to the innermost) whose text is kept."""
DEEPEST = 60
"""Frames of a way that is kept."""
_EXPLAINED = (NameError, AttributeError, ImportError, SyntaxError)
"""Python adds suggestions to their texts, which depend on the variables of the frames."""

Way = tuple[tuple[int, int], ...]
"""`id` of the code and offset of the instruction, of each frame."""


class FrameTexts:
    """The text of frames by their way. Safe to call from threads.

    A text shows the lines as they were when an error first came this way: those are the lines that run, also
    when the file has been changed since. Codes are kept with the texts, so that no id is used again.
    """

    def __init__(self) -> None:
        self._known: dict[Way, tuple[str, list[CodeType]]] = {}

    def of(self, trace: TracebackType | None) -> str:
        """As `"".join(traceback.format_tb(trace))`."""
        codes: list[CodeType] = []
        way: list[tuple[int, int]] = []
        following = trace
        while following is not None:
            if len(codes) == DEEPEST:
                return "".join(traceback.format_tb(trace))
            code = following.tb_frame.f_code
            codes.append(code)
            way.append((id(code), following.tb_lasti))
            following = following.tb_next
        key = tuple(way)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[key] = "".join(traceback.format_tb(trace)), codes
        return found[0]


_texts = FrameTexts()


def formatted(error: BaseException, texts: FrameTexts = _texts) -> str:
    """As `"".join(traceback.format_exception(error))`. Raises what code of the exception's class raises."""
    alone = (
        error.__cause__ is None
        and (error.__context__ is None or error.__suppress_context__)
        and error.__traceback__ is not None
        and not isinstance(error, (BaseExceptionGroup, *_EXPLAINED))
    )
    if not alone:
        return "".join(traceback.format_exception(error))
    return f"Traceback (most recent call last):\n{texts.of(error.__traceback__)}{_last_line(error)}"


def _last_line(error: BaseException) -> str:
    """As `"".join(traceback.format_exception_only(error))`, which takes ten times as long where Python itself
    composes the text.
    """
    kind: Any = type(error)
    module: object = kind.__module__
    own_text = isinstance(kind.__str__, WrapperDescriptorType) and type(module) is str
    if not own_text or getattr(error, "__notes__", None) is not None:
        return "".join(traceback.format_exception_only(error))
    name, text = kind.__qualname__, str(error)
    shown = name if module in ("__main__", "builtins") else f"{module}.{name}"
    return f"{shown}: {text}\n" if text else f"{shown}\n"


def error_line(error_type: str | None, error_text: str | None) -> str:
    """ "ConnectionError: timed out", without a colon where one of the two is missing."""
    return ": ".join(part for part in (error_type, error_text) if part)
