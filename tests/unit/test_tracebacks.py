"""The text of an exception is Python's own, and that of its frames is composed once for each way to it."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from dozor.tracebacks import DEEPEST, REMEMBERED, FrameTexts, formatted


def caught(raising: Callable[[], object]) -> BaseException:
    try:
        raising()
    except BaseException as error:  # noqa: BLE001 -- whatever it is
        return error
    raise AssertionError("nothing was raised")


def plainly() -> None:
    raise ConnectionError("the provider\ndoes not answer")


def without_text() -> None:
    raise ValueError


def noted() -> None:
    error = ValueError("x")
    error.add_note("a note")
    raise error


def caused() -> None:
    try:
        plainly()
    except ConnectionError as error:
        raise RuntimeError("of it") from error


def while_handling() -> None:
    try:
        plainly()
    except ConnectionError:
        raise RuntimeError("on the way")  # noqa: B904 -- with a context


def from_none() -> None:
    try:
        plainly()
    except ConnectionError:
        raise RuntimeError("alone") from None


def grouped() -> None:
    raise BaseExceptionGroup("two", [caught(plainly), caught(noted)])


def misspelt() -> None:
    provider = 1
    assert provider
    _ = providr  # type: ignore[name-defined]  # noqa: F821


def no_attribute() -> None:
    "".stripp()  # type: ignore[attr-defined]


def not_python() -> None:
    compile("a b", "x.py", "exec")


class Outer:
    class TextlessError(LookupError):
        def __str__(self) -> str:
            return ""

    class PlainError(LookupError):
        pass


class WithoutModule(Exception):  # noqa: N818
    __module__ = None  # type: ignore[assignment]


def exits() -> None:
    raise SystemExit(3)


def without_a_file() -> None:
    Path("/no/such/file").read_text()


def with_several_arguments() -> None:
    raise Outer.PlainError("presale", 17)


def with_a_text_of_its_own() -> None:
    raise Outer.TextlessError("presale")


def without_a_module() -> None:
    raise WithoutModule("presale")


def nested(depth: int) -> None:
    if depth:
        nested(depth - 1)
    else:
        raise ValueError("deep")


def branching(left: bool) -> None:
    if left: raise ValueError("left")  # fmt: skip  # noqa: E701 -- two places, one function
    raise ValueError("right")


RAISING: list[Callable[[], object]] = [
    plainly,
    without_text,
    noted,
    caused,
    while_handling,
    from_none,
    grouped,
    misspelt,
    no_attribute,
    not_python,
    exits,
    without_a_file,
    lambda: dict[str, int]()["presale"],
    with_several_arguments,
    with_a_text_of_its_own,
    without_a_module,
    lambda: nested(8),
    lambda: nested(DEEPEST + 20),
    lambda: branching(True),
    lambda: branching(False),
]


@pytest.mark.parametrize("number", range(len(RAISING)))
def test_it_is_as_python_writes_it_each_time(number: int) -> None:
    texts = FrameTexts()
    for _ in range(2):
        error = caught(RAISING[number])
        assert formatted(error, texts) == "".join(traceback.format_exception(error))


def test_an_error_without_frames() -> None:
    assert formatted(ValueError("never raised")) == "ValueError: never raised\n"


def test_frames_are_composed_once_for_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[object] = []
    original = traceback.format_tb

    def counted(trace: TracebackType | None) -> list[str]:
        composed.append(trace)
        return original(trace)

    monkeypatch.setattr(traceback, "format_tb", counted)
    texts = FrameTexts()
    for count in range(5):
        error = caught(lambda: branching(count % 2 == 0))  # noqa: B023 -- called at once
        assert "branching" in formatted(error, texts)
    assert len(composed) == 2
    for _ in range(2):
        formatted(caught(lambda: nested(DEEPEST + 1)), texts)
    assert len(composed) == 4  # too deep to be kept


def test_only_so_many_ways_are_kept() -> None:
    texts = FrameTexts()
    for number in range(REMEMBERED + 5):
        made: dict[str, Callable[[], None]] = {}
        exec(compile("def f():\n    raise ValueError\n", f"made_{number}.py", "exec"), made)
        assert f'"made_{number}.py", line 2' in formatted(caught(made["f"]), texts)
    assert len(texts._known) <= REMEMBERED


def test_another_function_in_the_place_of_one_that_is_gone_has_its_own_text() -> None:
    """Codes come and go with reloads, and a new one may have the id of an old one."""
    texts = FrameTexts()
    for number in range(200):
        made: dict[str, Callable[[], None]] = {}
        exec(compile("def f():\n    raise ValueError\n", f"made_{number}.py", "exec"), made)
        error = caught(made.pop("f"))
        text = formatted(error, texts)
        del error
        assert f'"made_{number}.py"' in text
