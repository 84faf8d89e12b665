"""The judge of the chaos campaign finds what was planted, and nothing in a campaign that went well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.cluster.chaos import judge
from tests.cluster.chaos.faults import Fault, order
from tests.cluster.chaos.judge import Command, Evidence, Passing, Run, Spell, Takeover, Write


def run(number: int, began: float, ended: float | None, *, epoch: int = 1, pid: int = 10) -> Run:
    return Run("t", f"{epoch}-{number}", pid, began, ended, 1000.0 + began, epoch)


WELL = Evidence(
    runs=[
        run(1, 0.0, 1.0),
        run(2, 1.0, 2.0),
        run(1, 3.0, 4.0, epoch=2, pid=11),
        Run("by_command", "2-3", 11, 5.0, 5.1, 7.0, 2),
    ],
    writes=[Write("tasks", 1, 1), Write("tasks", 2, 2)],
    spells=[Spell("spell-1", told=1, over=1)],
    commands=[
        Command(1, "done", "done", "by_command"),
        Command(2, "done", "already", "by_command"),
        Command(3, "expired", "expired", "by_command"),
    ],
    takeovers=[Takeover("kill -9", 2.0, 1, Passing.LOSS), Takeover("SIGTERM", 0.4, 2, Passing.HAND_OVER)],
)


def test_nothing_is_wrong_where_all_went_well() -> None:
    assert judge.problems(WELL) == []


def overlapping(found: Evidence) -> Evidence:
    return replace(found, runs=[*found.runs, run(9, 3.5, 5.0, epoch=3, pid=12)])


def never_ended(found: Evidence) -> Evidence:
    """A replica that was overtaken is alive and its run goes on."""
    return replace(found, runs=[run(1, 0.0, None), run(1, 9.0, 9.5, epoch=2, pid=11), found.runs[-1]])


def long_overlap(found: Evidence) -> Evidence:
    """A long run, a short one inside it, and a third after the short one, inside the long one as well."""
    inside = run(1, 9.0, 9.1, epoch=2, pid=11)
    return replace(found, runs=[run(1, 0.0, 10.0), run(2, 11.0, 12.0), inside, found.runs[-1]])


def due_again(found: Evidence) -> Evidence:
    again = replace(found.runs[0], id="2-7", began=8.0, ended=8.1)
    return replace(found, runs=[*found.runs, again])


def late_write(found: Evidence) -> Evidence:
    return replace(found, writes=[*found.writes, Write("notifications", 1, 2)])


def unfenced_write(found: Evidence) -> Evidence:
    return replace(found, writes=[*found.writes, Write("runs", None, 2)])


def lost_alert(found: Evidence) -> Evidence:
    return replace(found, spells=[Spell("spell-1", told=0, over=1)])


def endless_alert(found: Evidence) -> Evidence:
    return replace(found, spells=[Spell("spell-1", told=1, over=0)])


def command_twice(found: Evidence) -> Evidence:
    return replace(found, runs=[*found.runs, Run("by_command", "3-1", 12, 6.0, 6.1, 8.0, 3)])


def command_without_a_run(found: Evidence) -> Evidence:
    return replace(found, commands=[*found.commands, Command(4, "done", "done", "by_command")])


def one_twice_and_one_never(found: Evidence) -> Evidence:
    """As many runs as commands, but of another task."""
    return replace(
        command_twice(found), commands=[*found.commands, Command(4, "done", "done", "by_command_2")]
    )


def unconfirmed_twice(found: Evidence) -> Evidence:
    return replace(
        found,
        commands=[Command(1, "refused", "unconfirmed", "by_command")],
        runs=[*found.runs, Run("by_command", "3-1", 12, 6.0, 6.1, 8.0, 3)],
    )


def command_waits(found: Evidence) -> Evidence:
    return replace(found, commands=[*found.commands, Command(4, "pending", None)])


def flapping(found: Evidence) -> Evidence:
    return replace(found, spells=[Spell("spell-1", told=0, over=0, flapping=True)])


def claimed_twice(found: Evidence) -> Evidence:
    again = replace(found.runs[0], pid=15, began=9.0, ended=9.1, due=77.0)
    return replace(found, runs=[*found.runs, again])


def slow_hand_over(found: Evidence) -> Evidence:
    return replace(found, takeovers=[Takeover("SIGTERM", 1.2, 0, Passing.HAND_OVER)])


def slow_take_over(found: Evidence) -> Evidence:
    return replace(found, takeovers=[Takeover("kill -9", 4.1, 0, Passing.LOSS)])


def three_conflicts(found: Evidence) -> Evidence:
    return replace(found, takeovers=[Takeover("kill -9", 2.0, 3, Passing.LOSS)])


def nobody_led(found: Evidence) -> Evidence:
    return replace(found, takeovers=[Takeover("kill -9", None, 0, Passing.LOSS)])


@pytest.mark.parametrize(
    ("plant", "text"),
    [
        (overlapping, "t: run 3-9 overlaps run 2-1 by 500 ms"),
        (never_ended, "t: run 2-1 overlaps run 1-1"),
        (long_overlap, "t: run 2-1 overlaps run 1-1 by 1000 ms"),
        (due_again, "t: due 1000.000 ran 2 times"),
        (late_write, "notifications: written by epoch 1 while 2 led (1 times)"),
        (unfenced_write, "runs: written by epoch None while 2 led (1 times)"),
        (lost_alert, "spell-1: never told"),
        (endless_alert, "spell-1: its end was never told"),
        (flapping, "spell-1: its end was never told"),
        (command_twice, "by_command: 2 runs by 3 commands, 1 to 1 allowed"),
        (command_without_a_run, "by_command: 1 runs by 4 commands, 2 to 2 allowed"),
        (unconfirmed_twice, "by_command: 2 runs by 1 commands, 0 to 1 allowed"),
        (command_waits, "command 4: pending"),
        (claimed_twice, "t: run 1-1 began in 2 processes"),
        (slow_hand_over, "SIGTERM: 1.20 s to the next run, 1 s allowed"),
        (slow_take_over, "kill -9: 4.10 s to the next run, 4 s allowed"),
        (three_conflicts, "kill -9: 3 answers 409"),
        (nobody_led, "kill -9: no run afterwards"),
    ],
)
def test_what_is_planted_is_found(plant: Callable[[Evidence], Evidence], text: str) -> None:
    assert judge.problems(plant(WELL)) == [text]


def test_a_run_too_many_of_one_task_does_not_make_up_for_one_of_another() -> None:
    assert judge.problems(one_twice_and_one_never(WELL)) == [
        "by_command: 2 runs by 3 commands, 1 to 1 allowed",
        "by_command_2: 0 runs by 1 commands, 1 to 1 allowed",
    ]


@pytest.mark.parametrize("runs", [0, 1])
def test_a_command_that_is_not_confirmed_may_have_run_once(runs: int) -> None:
    unsure = [
        Command(1, "refused", "unconfirmed", "by_command"),
        Command(1, "done", "done", "by_command", "lost"),
    ]
    for one in unsure:
        found = replace(WELL, runs=[*WELL.runs[:3], *WELL.runs[3:][:runs]], commands=[one])
        assert judge.problems(found) == []
    assert judge.unconfirmed([*unsure, *WELL.commands]) == 2


def test_a_run_that_was_cut_ends_with_its_process() -> None:
    lines = [
        "begin t 1-1 10 1000000000 5.0 1",
        "begin t 2-1 11 4000000000 6.0 2",
        "end t 2-1 11 4500000000 6.0 2",
    ]
    runs = judge.read_runs(lines, {10: 3.5})
    assert [(one.ended, one.cut) for one in runs] == [(3.5, True), (4.5, False)]
    assert judge.overlaps(runs) == []
    assert judge.overlaps(judge.read_runs(lines, {10: 4.2})) == ["t: run 2-1 overlaps run 1-1 by 200 ms"]


def test_what_is_no_fault() -> None:
    """An alert told as flapping, a late hand-over without a database, and slack on a machine with others."""
    late = Takeover("SIGTERM with the link cut", 3.9, 0, Passing.UNRESIGNED)
    found = replace(WELL, spells=[Spell("spell-1", told=0, over=1, flapping=True)], takeovers=[late])
    assert judge.problems(found) == []
    assert judge.problems(replace(slow_hand_over(WELL), slack=0.5)) == []


def test_figures_tell_a_loss_from_a_hand_over() -> None:
    assert judge.figures(WELL.takeovers) == (
        "take-over worst 2.00 s, median 2.00 s (1); hand-over worst 0.40 s, median 0.40 s (1)"
    )


def test_every_kind_of_fault_comes_equally_often_and_a_seed_repeats_the_order() -> None:
    faults = order(2 * len(Fault), seed=7)
    assert {fault: faults.count(fault) for fault in Fault} == dict.fromkeys(Fault, 2)
    assert order(2 * len(Fault), seed=7) == faults
    assert order(len(Fault), seed=8) != faults[: len(Fault)]
