"""A task whose runs end the runner again and again is found; kills from outside stop nobody."""

from __future__ import annotations

import asyncio
import time

from dozor.clean_context import CleanContext
from dozor.clock import SteadyClock
from dozor.config.sections.tasks import Isolation
from dozor.storage.journal import Journal
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import runners
from dozor.storage.tables.runners import RunsInFlight
from dozor.storage.write_buffer import Checkpoint, newer
from dozor.supervision.core.crash_loop import ENDS, MARGIN_SECONDS, CrashVerdict, RunnerEnd, judge
from dozor.supervision.crash_watch import LONG_RUN, PROVEN_RUNS, CrashWatch
from dozor.supervision.start_gate import StartGate
from dozor.supervision.tasks.task import SupervisedTask
from tests.effort import cases
from tests.supervision.stage import spec, supervising
from tests.system.process import PATIENCE
from tests.system.stage import Stage
from tests.waiting import stretched


def end(
    *in_flight: str, lived: float = 10.0, clean: bool = False, suspects: tuple[str, ...] = ()
) -> RunnerEnd:
    return RunnerEnd(lived, clean, frozenset(in_flight), suspects)


UNRECORDED = RunnerEnd(10.0, clean=False)


def test_three_quick_unclean_ends_with_the_same_task_in_a_run_make_a_suspect() -> None:
    verdict = judge([end("a", "b"), end("a", "c"), UNRECORDED])
    assert verdict.suspects == ("a",)
    assert verdict.culprit is None
    assert verdict.hold == 15.0 + MARGIN_SECONDS
    assert judge([end("a", "b"), end("a"), end("b", "a"), end("x")]).suspects == ("a",)


def test_fewer_ends_or_slow_ends_or_a_clean_one_make_none() -> None:
    assert judge([]) == CrashVerdict()
    assert judge([end("a", clean=True), end("a"), end("a")]) == CrashVerdict()
    assert judge([end("a"), end("a")]).suspects == ()
    assert judge([end("a"), end("a"), end("a", lived=121.0)]).suspects == ()
    assert judge([end("a"), end("a"), end("a", clean=True)]).suspects == ()
    assert judge([end("a"), end("b"), end("a")]).suspects == ()
    assert judge([UNRECORDED, end("a"), end("a")]).suspects == ()  # it ended before it supervised anything
    assert judge([end("a", lived=121.0)]) == CrashVerdict(ends=1, hold=MARGIN_SECONDS)


def test_the_limits_of_a_quick_end_and_of_the_time_without_suspects() -> None:
    assert judge([end("a", lived=120.0)] * 3).suspects == ("a",)
    assert judge([end("a", lived=120.5)] * 3).suspects == ()
    verdict = judge([end("a", lived=10.0), end("a", lived=40.0), end("a", lived=20.0), end("a", lived=130.0)])
    assert (verdict.hold, verdict.ends) == (60.0 + MARGIN_SECONDS, 4)
    assert (CrashVerdict().ends, CrashVerdict().hold) == (0, 0.0)


def test_all_tasks_that_were_in_a_run_at_each_end_are_suspects_in_order() -> None:
    verdict = judge([end("c", "a", "b"), end("b", "c"), end("c", "b", "d")])
    assert verdict.suspects == ("b", "c")
    assert judge([end("a"), UNRECORDED, end("a")]).suspects == ()


def test_a_suspect_whose_turn_had_not_come_or_that_was_not_recorded_is_no_culprit() -> None:
    assert judge([end("c", suspects=("b", "c")), end("b", "c"), end("b", "c")]).culprit is None
    unknown = RunnerEnd(10.0, clean=False, suspects=("b",))
    assert judge([unknown, end("b"), end("b")]).culprit is None


def test_runs_are_recorded_after_the_first_quick_unclean_end() -> None:
    assert judge([UNRECORDED]).record
    assert not judge([RunnerEnd(10.0, clean=True)]).record
    assert not judge([RunnerEnd(500.0, clean=False)]).record


def test_the_suspect_in_whose_turn_the_runner_ended_is_the_culprit() -> None:
    verdict = judge([end("b", "x", lived=300.0, suspects=("b", "c")), end("b", "c"), end("b", "c")])
    assert verdict.culprit == "b"
    assert verdict.suspects == ("c",)
    assert verdict.record


def test_a_kill_while_no_suspect_runs_clears_them() -> None:
    verdict = judge([end("x", suspects=("b",)), end("b"), end("b"), end("b")])
    assert verdict.culprit is None
    assert verdict.suspects == ()


def test_a_killer_that_comes_at_the_same_time_of_each_life_stops_nobody() -> None:
    """As a probe of the service manager does: `long` is in a run whenever it may be."""
    ends: list[RunnerEnd] = []
    for _ in range(30):
        verdict = judge(ends)
        assert verdict.culprit is None
        held = "long" in verdict.suspects
        assert not held or verdict.hold > 20.0
        ends.insert(0, end(*([] if held else ["long"]), lived=20.0, suspects=verdict.suspects))


async def _nothing() -> None:
    pass


async def _watch(*names: str, suspects: tuple[str, ...] = ()) -> tuple[CrashWatch, dict[str, SupervisedTask]]:
    async with supervising(*(spec(name, _nothing) for name in names)) as (supervisor, _):
        tasks = {task.spec.name: task for task in supervisor.tasks}
    verdict = CrashVerdict(record=True, suspects=suspects, hold=10.0, ends=3)
    watch = CrashWatch(verdict, StartGate(None, lambda task: None, CleanContext()))
    watch.begin(0.0)
    return watch, tasks


async def test_suspects_start_one_at_a_time_after_a_time_without_them() -> None:
    watch, tasks = await _watch("a", "b", "c", suspects=("a", "b"))
    assert watch.look_again_at(tasks["c"], 0.0) is None
    assert watch.look_again_at(tasks["b"], 0.0) == 10.0
    assert watch.look_again_at(tasks["b"], 10.0) is None
    watch.about_to_start(tasks["b"], 10.0)
    assert watch.take(10.0) == RunsInFlight(("b",), ("b", "a"))
    assert (watch.look_again_at(tasks["a"], 10.0) or 0) > 10.0
    watch.ended(tasks["b"])
    assert watch.look_again_at(tasks["a"], 11.0) is None
    assert watch.take(11.0) == RunsInFlight((), ("a",))
    assert watch.take(11.0) is None
    assert watch.look_again_at(tasks["b"], 11.0) is None  # cleared for this life
    assert not watch.over(20.9)
    assert list(watch.suspects) == ["a"]
    watch.over(21.0)  # its run has outlived the others
    assert not list(watch.suspects)
    assert watch.over(120.0)


async def test_a_suspect_without_a_run_is_not_waited_for_for_ever() -> None:
    watch, _ = await _watch("a", suspects=("a",))
    watch.over(30.0)
    assert watch.suspects == ()


async def test_a_frequent_task_is_recorded_at_its_first_runs_and_in_long_ones() -> None:
    watch, tasks = await _watch("a")
    watch.take(0.0)
    for _ in range(PROVEN_RUNS):
        watch.about_to_start(tasks["a"], 1.0)
        assert watch.take(1.0) == RunsInFlight(("a",), ())
        watch.ended(tasks["a"])
        assert watch.take(1.0) == RunsInFlight((), ())
    watch.about_to_start(tasks["a"], 2.0)
    assert watch.take(2.0) is None
    assert watch.take(2.0 + LONG_RUN) == RunsInFlight(("a",), ())


async def test_what_runs_in_a_process_of_its_own_is_not_recorded() -> None:
    watch, tasks = await _watch("a")
    watch.take(0.0)
    tasks["a"].spec = spec("a", _nothing, isolation=Isolation.PROCESS)
    watch.about_to_start(tasks["a"], 0.0)
    assert watch.take(10.0) is None


async def test_the_record_is_written_and_read_back(database: str, pool: Pool) -> None:
    journal = await Journal.open(database, "test", SteadyClock())
    runs = RunsInFlight(("a", "b"), ("b",))
    await runners.write_in_flight(journal.connection, journal.registration.runner_id, runs)
    [row] = await runners.read_last_ends(journal.connection, journal.registration.runner_id + 1, 5)
    assert (row.in_flight, row.suspects, row.clean) == (["a", "b"], ["b"], False)
    await journal.close(clean=False)  # it wrote this itself: no run has ended it
    assert await pool.fetchval("SELECT in_flight IS NULL AND suspects IS NULL FROM dozor.runners")


def test_a_record_that_could_not_be_written_is_kept() -> None:
    kept = Checkpoint(in_flight=RunsInFlight(("a",), ()))
    assert newer(kept, Checkpoint()).in_flight == kept.in_flight
    assert newer(kept, Checkpoint(in_flight=RunsInFlight((), ()))).in_flight == RunsInFlight((), ())


POISON = """
import asyncio, ctypes

async def at_once():
    ctypes.string_at(0)

async def long():
    await asyncio.sleep(3600)

async def good():
    pass
"""


async def test_a_segmentation_fault_at_each_start_is_stopped_and_the_others_run(
    stage: Stage, database: str, pool: Pool
) -> None:
    """It crashes within milliseconds of its start: only what was recorded before shows it."""
    (stage.folder / "poison.py").write_text(POISON)
    tasks = {
        "poison": {"run": "poison:at_once", "every": "60s"},
        "good": {"run": "poison:good", "every": "100ms"},
    }
    stage.write(tasks, url=database, language="en")
    stopped = "SELECT state = 'stopped' FROM dozor.tasks WHERE name = 'poison'"
    for _ in range(9):
        process = stage.run()
        deadline = time.monotonic() + stretched(2 * PATIENCE)
        while process.alive and not await pool.fetchval(stopped):
            assert time.monotonic() < deadline, process.text
            await asyncio.sleep(0.1)
        if process.alive:
            break
    assert await pool.fetchval(stopped)
    await process.says("Background task poison stopped")
    runs = await pool.fetchval("SELECT runs_total FROM dozor.tasks WHERE name = 'good'")
    later, deadline = runs, time.monotonic() + stretched(PATIENCE)
    while later < runs + 10:
        assert process.alive, process.text
        assert time.monotonic() < deadline, process.text
        await asyncio.sleep(0.1)
        later = await pool.fetchval("SELECT runs_total FROM dozor.tasks WHERE name = 'good'")
    text = await pool.fetchval("SELECT last_error_text FROM dozor.tasks WHERE name = 'poison'")
    assert "unclean ends in a row" in text
    assert await pool.fetchval("SELECT count(*) = 1 FROM dozor.incidents WHERE kind = 'critical_stop'")


async def test_kills_from_outside_stop_nobody(stage: Stage, database: str, pool: Pool) -> None:
    (stage.folder / "poison.py").write_text(POISON)
    tasks = {name: {"run": "poison:long"} for name in ("first", "second")}
    stage.write(tasks, url=database, language="en")
    for _ in range(cases(ENDS + 2, 7)):
        process = await stage.watch()
        await asyncio.sleep(1.0)  # the same moment of each life
        assert process.alive
        process.kill()
    states = await pool.fetch("SELECT name, state FROM dozor.tasks")
    assert all(row["state"] != "stopped" for row in states)
    assert await pool.fetchval("SELECT count(*) = 0 FROM dozor.incidents WHERE kind = 'critical_stop'")
