"""The parts of `make bench`, and all of it with the smallest sizes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest

from benchmarks import __main__ as suite
from benchmarks.__main__ import SUBJECTS, graphs, measured, options_of
from benchmarks.subjects import pool
from benchmarks.suite.bounded import measured_within
from benchmarks.suite.graph import bars
from benchmarks.suite.machine import describe
from benchmarks.suite.markdown import cell, number, render
from benchmarks.suite.processes import cpu_of, wait_for
from benchmarks.suite.recorder import Beat, Recorder
from benchmarks.suite.results import FULL, QUICK, SMOKE, Goal, Row, Sense, Subject, quantile
from tests.effort import SOAK
from tests.waiting import stretched

MACHINE = {"CPU": "one, 2 cores"}


def _row(figure: str, *values: float, goal: Goal | None = None) -> Row:
    return Row("10 tasks", "dozor run", figure, "ms", values, goal)


@pytest.mark.parametrize(
    ("typed", "form", "subjects"),
    [("", "full", []), ("--quick", "quick", []), ("web pool", "full", ["web", "pool"])],
)
def test_without_an_option_all_of_it_is_measured(typed: str, form: str, subjects: list[str]) -> None:
    options = options_of(typed.split())
    assert (options.form, options.subjects) == (form, subjects)
    assert set(subjects) <= set(SUBJECTS)


def test_a_goal_is_met_on_its_side_of_the_limit_and_at_it() -> None:
    assert Goal(20.0).met(20.0)
    assert not Goal(20.0).met(20.1)
    assert Goal(2000.0, Sense.AT_LEAST).met(2000.0)
    assert not Goal(2000.0, Sense.AT_LEAST).met(1999.0)


def test_a_cell_has_the_median_and_the_spread_of_several_rounds() -> None:
    assert cell(_row("p99", 3.0, 1.0, 2.0)) == "2.00 (1.00–3.00)"
    assert cell(_row("p99", 12345.6)) == "12,346"
    assert [number(value) for value in (0, 0.0123, 0.5, 42.0)] == ["0", "0.012", "0.50", "42.0"]


def test_a_cell_without_a_value_has_a_dash_and_the_spread_is_of_the_others() -> None:
    assert cell(_row("p99", math.nan, math.nan)) == "–"
    assert cell(_row("p99", math.nan, 2.0, 4.0)) == "3.00 (2.00–4.00)"
    nothing = Row("10 tasks", "Celery beat", "late p99", "ms", (math.nan,))
    known = [Row("10 tasks", name, "late p99", "ms", (2.0,)) for name in ("bare loops", "dozor run")]
    picture = graphs([Subject("Supervision", (*known, nothing))])["bench-lateness.svg"]
    assert "dozor run" in picture
    assert "Celery" not in picture


def test_the_file_has_every_row_and_names_the_goals_that_were_missed_with_their_cause() -> None:
    met = _row("p50", 1.0, goal=Goal(2.0, explanation="not shown"))
    missed = _row("p99", 30.0, goal=Goal(25.0, explanation="the disk is slow"))
    other = Row("20 tasks", "bare loops", "p50", "ms", (0.5,))
    text = render(MACHINE, QUICK, [Subject("Alerts", (met, missed, other), ("How.",))], 4.2)
    assert "**This is a quick run" in text
    assert "| 10 tasks | dozor run | 1.00 | 30.0 |" in text
    assert "| 20 tasks | bare loops | 0.50 |  |" in text
    assert "at most 25.0 ms | 30.0 ms | **missed** |" in text
    assert "Alerts, 10 tasks: p99: the disk is slow" in text
    assert "not shown" not in text
    assert "This is a" not in render(MACHINE, FULL, [], 30.0)


def test_the_machine_is_described_without_its_name_or_a_path() -> None:
    found = describe()
    assert {"CPU", "kernel", "Python", "PostgreSQL"} <= found.keys()
    assert found["PostgreSQL"].startswith("18")
    text = " ".join(found.values())
    assert os.uname().nodename not in text
    assert str(Path.cwd()) not in text


def test_a_graph_is_svg_with_a_bar_of_the_right_length_and_colours_for_both_schemes() -> None:
    picture = bars("CPU <of a run>", "µs", {"bare": 5.0, "dozor run": 10.0}, ["dozor run"])
    root = ET.fromstring(picture)
    own = [one for one in root if one.get("class") == "bar own"]
    other = [one for one in root if one.get("class") == "bar"]
    assert len(own) == len(other) == 1
    assert float(own[0].get("width", 0)) == pytest.approx(2 * float(other[0].get("width", 0)), abs=0.2)
    assert "prefers-color-scheme: dark" in picture


def test_lateness_is_what_another_process_reads_and_an_early_run_counts_as_nothing(tmp_path: Path) -> None:
    recorder, reader = Recorder(tmp_path / "record"), Recorder(tmp_path / "record")
    recorder.ran(time.time() - 0.5)
    recorder.ran(time.time() + 5.0)
    assert reader.count == 2
    first, second = reader.lateness(0, 2)
    assert first == pytest.approx(0.5, abs=0.1)
    assert second == 0.0
    assert reader.first_at == pytest.approx(time.time(), abs=2.0)


def test_a_beat_at_a_fixed_rate_counts_lateness_within_its_second(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "record")
    Beat(recorder, fixed_rate=True, first_due=time.time() - 7.25).ran()
    assert recorder.lateness(0, 1) == [pytest.approx(0.25, abs=0.1)]


def test_a_beat_with_a_delay_is_due_a_second_after_its_previous_run(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "record")
    beat = Beat(recorder, fixed_rate=False)
    beat.ran()
    beat.ran()
    assert recorder.count == 2
    assert recorder.lateness(0, 2) == [0.0]  # when the first was due is not known


def test_cpu_of_a_process_includes_what_its_ended_children_have_used() -> None:
    child = "import time\nwhile time.process_time() < 0.3: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print(1); input()"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert cpu_of(process.pid) >= 0.25
        process.communicate(b"\n")
    assert cpu_of(process.pid) == 0.0


def test_waiting_ends_with_an_error_that_names_what_did_not_come() -> None:
    with pytest.raises(TimeoutError, match="the first run"):
        wait_for(lambda: False, 0.05, "the first run")


def test_quantiles_of_nothing_are_an_error() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0], 0.99) == 1.0
    with pytest.raises(ValueError, match="nothing was measured"):
        quantile([], 0.5)


def test_what_the_pool_benchmark_prints_becomes_rows() -> None:
    rates, waits = pool.parse(
        "goals: at least 50 %\n"
        "2 worker(s): product 4,321/s   PgQueuer alone 8,000/s   product of PgQueuer alone: 54%\n"
        "due to begun, 900 runs: p50 12.3 ms, p99 45.6 ms, worst 70.0 ms\n"
    )
    assert rates == {("2 workers", "product"): 4321.0, ("2 workers", "PgQueuer alone"): 8000.0}
    assert waits == [(12.3, 45.6)]
    with pytest.raises(ValueError, match="nothing that is known"):
        pool.parse("Traceback")


LEAVES = """
import sys
from pathlib import Path
from benchmarks.suite.bounded import keep
from benchmarks.suite.results import Row, Subject
keep(Subject("Alerts", (Row("a", "b", "c", "ms", (1.0,)),)), Path(sys.argv[1]))
"""
HANGS = """
import pathlib, subprocess, sys, tempfile, time
from benchmarks.suite.bounded import allow_interrupt
allow_interrupt()
folder = pathlib.Path(tempfile.mkdtemp())
command = [sys.executable, "-c", "import time; time.sleep(600)", str(folder)]
child = subprocess.Popen(command, start_new_session=True)
pathlib.Path(sys.argv[1]).write_text(f"{child.pid} {folder}")
time.sleep(600)
"""


def test_a_subject_is_measured_by_a_process_of_its_own() -> None:
    subject = measured_within("alerts", [sys.executable, "-c", LEAVES], stretched(60.0))
    assert (subject.title, subject.rows) == ("Alerts", (Row("a", "b", "c", "ms", (1.0,)),))


def test_a_process_that_leaves_nothing_is_the_reason() -> None:
    subject = measured_within("alerts", [sys.executable, "-c", "raise SystemExit(3)"], stretched(60.0))
    assert (subject.rows, subject.notes) == ((), ("Not measured: its process ended with 3.",))


def test_a_subject_that_overruns_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = HANGS.replace("sys.argv[1]", repr(str(seen)))
    subject = measured_within("alerts", [sys.executable, "-c", script], stretched(2.0))
    assert subject.rows == ()
    assert "did not come to an end within" in subject.notes[0]
    pid, folder = seen.read_text().split()
    assert not Path(folder).exists()
    wait_for(
        lambda: not psutil.pid_exists(int(pid)) or _dead(int(pid)), stretched(10.0), "the end of its child"
    )


def _dead(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_the_others_are_measured_when_one_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def within(name: str, command: list[str], seconds: float) -> Subject:
        if name == "web":
            return Subject(name, (), ("Not measured: did not come to an end within 3 s.",))
        return Subject(name, (_row("p50", seconds),))

    monkeypatch.setattr(suite, "measured_within", within)
    with pytest.raises(SystemExit, match="not measured: web"):
        suite.main(["web", "alerts", "--patience", "2"])
    said = capsys.readouterr().out
    assert "== web: 1 of 2, at most" in said
    assert "web: 0 s, Not measured: did not come to an end within 3 s." in said
    assert "alerts: 0 s, 1 figures" in said
    assert f"| 10 tasks | dozor run | {number(2.0 * SUBJECTS['alerts'])} |" in said


def test_all_subjects_together_have_a_deadline_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[float] = []

    def within(name: str, command: list[str], seconds: float) -> Subject:
        given.append(seconds)
        return Subject(name, (_row("p50", 1.0),))

    monkeypatch.setattr(suite, "measured_within", within)
    monkeypatch.setattr(suite, "WHOLE", 100)
    suite.main(["web", "alerts"])
    monkeypatch.setattr(suite, "WHOLE", 0)
    suite.main(["web"])
    assert [0 < seconds <= 100 for seconds in given] == [True, True, False]


def test_a_subject_that_fails_has_its_reason_in_place_of_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(scale: object) -> Subject:
        raise SystemExit("checker settled differently")

    monkeypatch.setattr("benchmarks.subjects.market.measure", differs)
    assert measured("market", SMOKE).notes == ("Not measured: SystemExit: checker settled differently.",)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["supervision", "web"] if SOAK else ["supervision"])
def test_a_subject_is_measured(name: str) -> None:
    """With a handful of tasks. All subjects: `python -m benchmarks --form smoke --print`, two minutes."""
    subject = measured(name, SMOKE)
    assert subject.rows
    assert all(row.values for row in subject.rows)
    assert not any(row.goal for row in subject.rows if row.goal and row.goal.limit == 0)
    text = render(MACHINE, SMOKE, [subject], 1.0)
    assert all(row.contestant in text and row.figure in text for row in subject.rows)
    if name == "supervision":
        assert set(graphs([subject])) == {"bench-cpu.svg", "bench-lateness.svg"}
        assert {"bare loops", "dozor run", "the source's function"} <= {
            row.contestant for row in subject.rows
        }
