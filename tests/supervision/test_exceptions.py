"""What a failure costs: bounded texts, causes with places, no frame kept, whatever the exception does."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

import pytest
from loguru import logger

from dozor import Fatal
from dozor.config.sections.tasks import Isolation
from dozor.exceptions import LONGEST_CHAIN, bounded, chain_of, is_fatal, release
from dozor.redaction import Redactor
from dozor.supervision.runs import memory
from dozor.supervision.runs.arguments import fresh
from dozor.supervision.runs.failures.failure import MAX_TEXT, MAX_TRACEBACK, describe
from dozor.supervision.runs.memory import resident
from tests.effort import cases
from tests.supervision.stage import is_stopped, spec, supervising
from tests.waiting import until

HUGE = "0123456789abcdef:" * 2_000_000
SECRET = "a-secret-that-nobody-may-see"


class Rude(Exception):  # noqa: N818 -- here and below: strange on purpose
    def __str__(self) -> str:
        raise KeyboardInterrupt


class Endless(Exception):  # noqa: N818
    def __str__(self) -> str:
        return str(self)


class Hidden(Exception):  # noqa: N818
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(3)


class Overriding(Exception):  # noqa: N818
    __traceback__ = property(lambda self: 1 / 0)
    __cause__ = property(lambda self: 1 / 0)


class Unfriendly(Exception):  # noqa: N818
    """What loguru and `traceback` would ask it raises."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise SystemExit(4)

    def __bool__(self) -> bool:
        raise RuntimeError("neither")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError("read only")


class Slow(Exception):  # noqa: N818
    asked: ClassVar[list[int]] = []
    """In which threads."""

    def __str__(self) -> str:
        self.asked.append(threading.get_ident())
        return "slow"


def noted(*notes: Any) -> Exception:
    error = ValueError("with notes")
    error.__notes__ = list(notes)
    return error


def circle() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    second.__context__ = second
    return first


def chain(length: int) -> Exception:
    error = ValueError("innermost")
    for number in range(length):
        outer = ValueError(f"number {number}")
        outer.__cause__ = error
        error = outer
    return error


ODD: dict[str, Callable[[], BaseException]] = {
    "text": lambda: ValueError(f"cannot parse: {HUGE}"),
    "key": lambda: KeyError(HUGE),
    "bytes": lambda: ValueError(HUGE.encode(), {"body": [HUGE, HUGE]}),
    "numbers": lambda: ValueError(list(range(1_000_000))),
    "note": lambda: noted(HUGE),
    "notes": lambda: noted(*(["a note " * 1_000] * 10_000)),
    "not a note": lambda: noted(17, None),
    "group": lambda: ExceptionGroup(HUGE, [ValueError(HUGE + str(n)) for n in range(3)] * 100),
    "cause": lambda: raised_from(RuntimeError("outer"), ValueError(HUGE)),
    "file": lambda: OSError(2, "no such file", HUGE),
    "syntax": lambda: SyntaxError("invalid", ("file.py", 1, 1, HUGE)),
    "str raises": Rude,
    "argument raises": lambda: ValueError(Rude(), Rude()),
    "endless": Endless,
    "hidden": lambda: Hidden("x"),
    "overriding": lambda: Overriding("x"),
    "circle": circle,
    "chain": lambda: chain(5_000),
    "unfriendly": lambda: Unfriendly("x"),
    "unfriendly cause": lambda: raised_from(ValueError("outer"), Unfriendly("x")),
    "number": lambda: ValueError(10**100_000),
}


def raised_from(error: BaseException, cause: BaseException) -> BaseException:
    BaseException.__setattr__(error, "__cause__", cause)
    return error


def divide() -> float:
    return 1 / 0


def look_up() -> object:
    nothing: dict[str, object] = {}
    return nothing["missing"]


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 -- that is what is tested
        return raised


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_an_exception_of_any_kind_is_described_quickly_and_within_limits(
    make: Callable[[], BaseException],
) -> None:
    error = caught(make())
    began = time.process_time()
    failure = describe(error, Redactor([SECRET]).redact)
    assert time.process_time() - began < 0.5  # the whole text, redacted, takes ten seconds and more
    assert len(failure.error_text) <= MAX_TEXT
    assert len(failure.traceback) <= MAX_TRACEBACK + 100
    assert failure.error_type == type.__dict__["__name__"].__get__(type(error))
    assert "test_exceptions.py" in failure.where


@pytest.mark.parametrize("before", [1_990, 2_990, 3_990, 4_990])
def test_a_secret_that_a_cut_divides_is_not_shown_in_part(before: int) -> None:
    error = caught(ValueError("p" * before + SECRET * 300))
    failure = describe(error, Redactor([SECRET]).redact)
    assert SECRET[:8] not in failure.error_text
    assert SECRET[:8] not in failure.traceback


def test_a_small_exception_is_shown_as_it_is() -> None:
    error = caught(ValueError("small"))
    assert bounded(error) is error
    assert describe(error, str).error_text == "small"


def test_a_group_names_its_members_and_their_places() -> None:
    members: list[Exception] = []
    for make in (divide, look_up):
        try:
            make()
        except Exception as error:  # noqa: BLE001 -- that is what is tested
            members.append(error)
    failure = describe(caught(ExceptionGroup("parts", members)), str)
    assert failure.error_text.startswith(
        "parts (2 sub-exceptions) [ZeroDivisionError: division by zero (test_"
    )
    assert "KeyError: 'missing' (test_exceptions.py:" in failure.error_text
    assert not failure.fatal


def test_what_an_error_was_raised_from_is_named_with_its_place() -> None:
    try:
        try:
            look_up()
        except KeyError as cause:
            raise RuntimeError("cannot load") from cause
    except RuntimeError as error:
        failure = describe(error, str)
    assert failure.error_text.startswith("cannot load (")
    assert "KeyError: 'missing' (test_exceptions.py:" in failure.error_text


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (ExceptionGroup("a", [ValueError(), ExceptionGroup("b", [Fatal("no")])]), True),
        (raised_from(RuntimeError("wrapped"), Fatal("no")), True),
        (
            raised_from(RuntimeError("a"), raised_from(RuntimeError("b"), ExceptionGroup("c", [Fatal()]))),
            True,
        ),
        (circle(), False),
        (ExceptionGroup("a", [ValueError()]), False),
    ],
)
def test_fatal_within_counts(error: BaseException, fatal: bool) -> None:
    assert is_fatal(error) is fatal
    assert describe(error, str).fatal is fatal


def test_an_error_that_came_up_while_a_fatal_one_was_handled_is_not_fatal() -> None:
    error = RuntimeError("closing failed too")
    error.__context__ = Fatal("no")
    assert not is_fatal(error)


class Table:
    """Stands for a large local variable."""


kept: list[weakref.ref[Table]] = []


async def keeps_itself() -> None:
    table = Table()
    kept.append(weakref.ref(table))
    try:
        raise ValueError("bad row")
    except ValueError as error:
        saved = error
    raise saved


async def simply() -> None:
    table = Table()
    kept.append(weakref.ref(table))
    raise ValueError("bad row")


async def gathered() -> None:
    table = Table()
    kept.append(weakref.ref(table))
    await asyncio.gather(simply(), asyncio.sleep(0))


def in_thread() -> None:
    table = Table()
    kept.append(weakref.ref(table))
    raise ValueError("bad row")


@pytest.mark.parametrize(
    ("function", "isolation"),
    [
        (keeps_itself, Isolation.INLINE),
        (simply, Isolation.INLINE),
        (gathered, Isolation.INLINE),
        (in_thread, Isolation.THREAD),
    ],
)
async def test_nothing_of_a_failed_run_is_kept(
    function: Callable[..., Any], isolation: Isolation, no_collector: None
) -> None:
    kept.clear()
    task = spec("load", function, isolation=isolation, max_consecutive_failures=3)
    async with supervising(task) as (supervisor, _):
        await until(is_stopped(supervisor, "load"))
        await until(lambda: not any(reference() for reference in kept))
    assert len(kept) >= 3


@pytest.mark.parametrize("isolation", [Isolation.INLINE, Isolation.THREAD])
async def test_failures_with_forty_megabytes_each_do_not_add_up(isolation: Isolation) -> None:
    def load() -> None:
        table = b"x" * 40_000_000
        mistakes = []
        try:
            raise ValueError(f"bad row in {len(table)}")
        except ValueError as error:
            mistakes.append(error)  # a cycle of the checker's own
        raise RuntimeError(f"{len(mistakes)} bad rows")

    async def load_inline() -> None:
        load()

    function: Callable[..., Any] = load if isolation is Isolation.THREAD else load_inline
    before = resident()
    task = spec("load", function, isolation=isolation, max_consecutive_failures=cases(15, 60))
    async with supervising(task) as (supervisor, _):
        await until(is_stopped(supervisor, "load"), within=60)
    assert resident() - before < 100_000_000


def test_of_many_failures_at_once_one_looks_at_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    at = 100.0

    def look() -> int:
        looks.append(at)
        return 1

    monkeypatch.setattr(memory, "resident", look)
    reclaimer = memory.Reclaimer(clock=lambda: at)
    for _ in range(50):
        reclaimer.after_failure()
    at += memory.LOOK_EVERY
    reclaimer.after_failure()
    assert looks == [100.0, at]


async def longest_pause(work: Coroutine[Any, Any, None]) -> float:
    """Seconds of processor time of the loop between two of its turns, at most, while `work` went on."""
    longest = 0.0
    working = asyncio.create_task(work)
    last = time.thread_time()
    while not working.done():
        await asyncio.sleep(0.001)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    await working
    return longest


async def test_a_text_of_34_megabytes_holds_nobody_up(no_collector: None) -> None:
    async def answer() -> None:
        raise ValueError(f"cannot parse answer: {HUGE}")

    redact = Redactor([SECRET]).redact
    lines: list[str] = []
    logger.remove()
    options: dict[str, Any] = {"diagnose": False, "backtrace": False}  # as `dozor run` has it
    logger.add(lambda message: lines.append(redact(str(message))), level="ERROR", **options)

    async def run() -> None:
        async with supervising(spec("answer", answer, max_consecutive_failures=3)) as (supervisor, _):
            await until(is_stopped(supervisor, "answer"))

    try:
        pause = await longest_pause(run())
    finally:
        logger.remove()
        logger.add(sys.stderr)
    assert pause < 0.5  # seconds; it is 0.04, and 10 without the cut
    assert sum("cannot parse answer" in line for line in lines) >= 3
    assert max(map(len, lines)) < 20_000


# -- arguments


def test_a_copy_of_arguments_shares_nothing_changeable() -> None:
    given = {"seen": [1, {"deep": [2]}], "tags": {"a"}, "name": "x"}
    copied = fresh(given)
    assert copied == given
    copied["seen"][1]["deep"].append(3)
    copied["tags"].add("b")
    assert given == {"seen": [1, {"deep": [2]}], "tags": {"a"}, "name": "x"}


@pytest.mark.parametrize("isolation", [Isolation.INLINE, Isolation.THREAD])
async def test_each_run_gets_the_arguments_of_the_file(isolation: Isolation) -> None:
    lengths: list[int] = []

    def collect(seen: list[int]) -> None:
        seen.append(1)
        lengths.append(len(seen))

    async def collect_inline(seen: list[int]) -> None:
        collect(seen)

    function: Callable[..., Any] = collect if isolation is Isolation.THREAD else collect_inline
    async with supervising(spec("collect", function, isolation=isolation, args={"seen": []})):
        await until(lambda: len(lengths) >= 3)
    assert set(lengths) == {1}


@pytest.mark.parametrize("error", [Unfriendly("x"), raised_from(ValueError("outer"), Unfriendly("x"))])
async def test_a_run_with_an_error_that_cannot_be_logged_as_it_is_has_failed(error: Exception) -> None:
    async def fails() -> None:
        raise error

    async with supervising(spec("fails", fails)) as (supervisor, seen):
        await until(is_stopped(supervisor, "fails"))
        assert seen.failures("fails")[0].error_type == type(error).__name__


@pytest.mark.parametrize("isolation", [Isolation.INLINE, Isolation.THREAD])
async def test_a_text_that_code_composes_is_composed_once_where_it_was_raised(isolation: Isolation) -> None:
    def fails() -> None:
        raise RuntimeError(Slow("x")) from Slow("x")

    async def fails_inline() -> None:
        fails()

    Slow.asked.clear()
    function = fails if isolation is Isolation.THREAD else fails_inline
    async with supervising(spec("fails", function, isolation=isolation, max_consecutive_failures=1)) as (
        supervisor,
        seen,
    ):
        await until(is_stopped(supervisor, "fails"))
        assert "slow" in seen.failures("fails")[0].error_text
    assert len(Slow.asked) == 2
    assert (threading.get_ident() in Slow.asked) == (isolation is Isolation.INLINE)


def test_the_text_is_asked_again_once_the_failure_has_been_recorded() -> None:
    Slow.asked.clear()
    error = caught(Slow("x"))
    for _ in range(3):
        describe(error, str)
    assert len(Slow.asked) == 1
    release(error)
    describe(error, str)
    assert len(Slow.asked) == 2


@pytest.mark.parametrize(
    ("make", "links"),
    [
        (lambda: raised_from(Unfriendly("x"), Unfriendly("y")), 2),
        (circle, 2),
        (lambda: chain(50_000), LONGEST_CHAIN),
    ],
)
def test_what_is_behind_an_error_is_followed_by_identity_and_not_for_ever(
    make: Callable[[], BaseException], links: int
) -> None:
    error = make()
    began = time.process_time()
    assert sum(1 for _ in chain_of(error)) == links
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("raised", [RuntimeError, SystemExit])
async def test_a_run_has_failed_also_if_its_error_cannot_be_looked_into(raised: type[BaseException]) -> None:
    async def fails() -> None:
        raise ValueError("no such lot")

    async def looks(error: BaseException, started_at: float, used_database: bool) -> bool:
        raise raised("cannot be asked")

    async with supervising(spec("fails", fails), is_outage=looks) as (supervisor, seen):
        await until(is_stopped(supervisor, "fails"))
        assert seen.failures("fails")[0].error_text == "no such lot"
