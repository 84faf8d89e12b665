"""The siege, scaled down. The whole of it: `python -m benchmarks.siege` (10,000 incidents)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.rendering.render import render
from dozor.config.values.incident_kinds import Severity
from dozor.language import Language, Translator, msg
from tests.effort import cases
from tests.house.sources import ROOT
from tests.preloaded import processes
from tests.siege.evidence import FIRING, RUNNER_ENDED, Evidence, Label, Telling, understand
from tests.siege.haste import EPOCH
from tests.siege.pace import over
from tests.siege.places import FORUM, MAIN, TOPIC
from tests.siege.report import report
from tests.siege.standin import Shown
from tests.templates import Templates

INCIDENTS, KILLS = cases(20, 50), cases(4, 10)
SLACK = 1.0
"""Real seconds: other tests use the machine too."""


@pytest.fixture(scope="module")
def evidence(short_dir: Path, templates: Templates) -> Evidence:
    """Of a siege in a process of its own: it forks, and pytest has threads."""
    folder = short_dir / "siege"
    folder.mkdir()
    templates.copy_plain(folder / "pg")
    command = [f"--keep={folder}", f"--slack={SLACK}"]
    command += ["--seed=1", f"--incidents={INCIDENTS}", "--tasks=40", f"--kills={KILLS}", "--speed=40"]
    command += ["--gap=8", "--longest=300", "--patience=2000"]
    done = processes.run(*command, module="benchmarks.siege", cwd=ROOT, timeout=110)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout
    found = pickle.loads((folder / "evidence.pickle").read_bytes())
    assert isinstance(found, Evidence)
    return found


def test_every_incident_is_told_and_its_end_whatever_is_killed(evidence: Evidence) -> None:
    assert len(evidence.chronicle.deaths) >= KILLS / 2
    assert len(evidence.chronicle.outages) >= 5
    assert len(evidence.seen.faults) >= 10
    assert len([row for row in evidence.incidents if row.task is not None]) >= 0.6 * INCIDENTS


def test_the_log_of_the_runner_is_understood(evidence: Evidence) -> None:
    """Else the judge takes what a slow machine explains for a fault, and the other way round."""
    assert evidence.doubts
    done = {(outage.began, outage.ended) for outage in evidence.chronicle.outages}
    assert set(evidence.away) > done  # what the runners saw themselves is among it


def firing(evidence: Evidence) -> Telling:
    """The first alert that bears no mark."""
    told = (told for told in evidence.sends if told.label in FIRING and told.place == MAIN)
    return next(one for one in told if not one.marked)


def silent(found: Evidence) -> Evidence:
    told = firing(found)
    return replace(found, sends=[one for one in found.sends if one.task != told.task])


def endless(found: Evidence) -> Evidence:
    sends = [one for one in found.sends if one.label not in (Label.RECOVERED, Label.PAST)]
    return replace(found, sends=sends, edits={})


def late(found: Evidence) -> Evidence:
    told = firing(found)
    later = replace(told, shown=replace(told.shown, at=told.at + 30_000))
    return replace(found, sends=[later if one is told else one for one in found.sends])


def twice(found: Evidence) -> Evidence:
    told = firing(found)
    again = replace(told, shown=replace(told.shown, at=told.at + 1, message=10_000_000, fault="half_body"))
    return replace(found, sends=[*found.sends, again])


def for_no_reason(found: Evidence) -> Evidence:
    told = firing(found)
    shown = replace(told.shown, at=told.at + 40_000, message=10_000_000, fault=None, text="Возможно, повтор")
    return replace(found, sends=[*found.sends, replace(told, shown=shown)])


def of_another_chat(found: Evidence) -> Evidence:
    return replace(found, seen=replace(found.seen, strays=["message 7 of another chat edited in -100"]))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (silent, "not told in the chat"),
        (endless, "end not told"),
        (late, "told as current"),
        (twice, "unmarked"),
        (for_no_reason, "sent, answered and not settled"),
        (of_another_chat, "of another chat edited"),
    ],
)
def test_the_judge_sees(evidence: Evidence, change: Callable[[Evidence], Evidence], problem: str) -> None:
    problems = report(change(evidence), SLACK).problems
    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize("kind", [NotificationKind.CRITICAL_STOP, NotificationKind.PAST])
def test_the_stop_of_a_task_that_ended_the_runner_is_known(kind: NotificationKind) -> None:
    facts = AlertData(
        about="critical_stop", error_type=RUNNER_ENDED, error_text=msg("log-ended-the-runner", ends=4)
    )
    note = Notification(
        key="34",
        kind=kind,
        severity=Severity.CRITICAL,
        task="t002",
        incident_id=34,
        created_at=EPOCH,
        facts=facts,
    )
    text = render(note, Translator(Language.RU), UTC, EPOCH).plain
    told = understand(Shown(EPOCH, FORUM, TOPIC, 7, text, edit=False, reply_to=None, fault=None))
    assert (told.task, told.error) == ("t002", RUNNER_ENDED)
    assert told.label in (Label.STOPPED, Label.PAST)


def test_the_fullest_window_counts() -> None:
    assert over([0.0] * 5, rate=1.0, burst=5.0) == 0
    assert over([0.0] * 8, rate=1.0, burst=5.0) == 3
    assert over([0.0] * 5 + [3.0] * 4, rate=1.0, burst=5.0) == 1
    assert over([float(second) for second in range(100)], rate=1.0, burst=5.0) == 0
