"""The trust window, by a clock of the test's own, and the timer that follows it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from dozor.cluster.handover import LOOK_AGAIN, HeldStarts
from dozor.cluster.trust_window import TrustWindow
from tests import programs
from tests.cluster.chaos.replicas import _wrong_clock

FAR = (
    "import time; from dozor.process.deadline_timer import DeadlineTimer, boottime; timer = DeadlineTimer(); "
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_it_counts_from_before_the_attempt_and_ends_a_fifth_early() -> None:
    clock = Clock()
    window = TrustWindow(15.0, now=clock)
    assert not window.trusted
    clock.now += 3.0  # the answer took so long
    window.extend(attempted_at=1000.0)
    assert window.until == pytest.approx(1012.0)
    assert window.closes_at == pytest.approx(1009.5)
    clock.now = 1011.9
    assert window.may_act()
    clock.now = 1012.0
    assert not window.trusted


def test_an_answer_to_an_older_attempt_does_not_shorten_it_and_distrust_ends_it() -> None:
    clock = Clock()
    window = TrustWindow(10.0, now=clock)
    window.extend(1000.0)
    window.extend(999.0)
    assert window.until == pytest.approx(1008.0)
    window.distrust()
    assert not window.trusted


def test_starts_are_held_back_outside_it() -> None:
    clock = Clock()
    window = TrustWindow(10.0, now=clock)
    held = HeldStarts(window)
    assert held.look_again_at("t", 5.0, in_process=False) == 5.0 + LOOK_AGAIN
    window.extend(1000.0)
    assert held.look_again_at("t", 5.0, in_process=False) is None


def test_a_run_in_a_child_process_is_held_back_until_those_of_a_dead_leader_have_ended() -> None:
    clock = Clock()
    window = TrustWindow(10.0, now=clock)
    window.extend(1000.0)
    held = HeldStarts(window, children_until=1001.0)
    assert held.look_again_at("t", 5.0, in_process=True) == 5.0 + LOOK_AGAIN
    assert held.look_again_at("t", 5.0, in_process=False) is None
    clock.now = 1001.0
    assert held.look_again_at("t", 5.0, in_process=True) is None


@pytest.mark.parametrize(
    "busy",
    [
        "time.sleep(30)",
        "import re; re.match(r'(a+)+b', 'a' * 60)",  # holds the GIL
        "import signal; signal.alarm(0); signal.signal(signal.SIGALRM, signal.SIG_IGN); time.sleep(30)",
    ],
    ids=["sleeping", "gil", "alarm"],
)
def test_the_timer_ends_a_process_whatever_it_does(busy: str) -> None:
    begun = time.monotonic()
    program = f"{FAR}timer.end_at(boottime() + 60); timer.end_at(boottime() + 0.5); {busy}"
    done = subprocess.run([sys.executable, "-c", program], timeout=20, check=False)
    assert done.returncode == -signal.SIGKILL
    assert time.monotonic() - begun < 10


def test_the_timer_ends_a_stopped_process() -> None:
    program = f"{FAR}timer.end_at(boottime() + 1.0); print('armed', flush=True); time.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"armed\n"
        process.send_signal(signal.SIGSTOP)
        assert process.wait(timeout=15) == -signal.SIGKILL


def test_a_disarmed_timer_ends_nothing() -> None:
    program = f"{FAR}timer.end_at(boottime() + 0.3); timer.disarm(); time.sleep(0.8)"
    assert subprocess.run([sys.executable, "-c", program], timeout=20, check=False).returncode == 0


@pytest.mark.parametrize(("seconds", "lives"), [(60.0, True), (0.3, False)])
def test_a_preloaded_library_that_moves_the_wall_clock_does_not_move_the_timer(
    seconds: float, *, lives: bool
) -> None:
    """Under libfaketime a member that took the lease was ended at once: its timer was an hour too early."""
    programs.require("faketime", "faketime")
    program = FAR + (
        f"timer.end_at(boottime() + {seconds}); end = time.monotonic() + (0.5 if {lives} else 20)\n"
        "while time.monotonic() < end: pass\n"
        "timer.disarm()"
    )
    done = subprocess.run([sys.executable, "-c", program], env=_wrong_clock(1), check=False)
    assert done.returncode == (0 if lives else -signal.SIGKILL)
