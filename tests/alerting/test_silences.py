"""Which incidents a silence covers, and until when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dozor.alerting.policy.silences import Silence, SilenceScope, covering, silence
from dozor.control.commands.commands import AlertCommand, CommandReason
from dozor.storage.tables.silences import SilenceRow
from tests.alerting.stage import NAME, Stage

NOW = 1_764_000_000.0
ROW = SilenceRow(
    id=7, scope="task", target="t", reason="deploy", created_by="cli:ann", created_at=NOW - 60, ends_at=NOW
)


def of(
    scope: SilenceScope, target: str = "", *, number: int = 1, ends_at: float | None = NOW + 60
) -> Silence:
    return replace(silence(ROW), id=number, scope=scope, target=target, ends_at=ends_at)


def test_a_silence_is_over_at_its_end_or_when_somebody_ended_it() -> None:
    one = silence(ROW)
    assert one.active(NOW - 0.1)
    assert not one.active(NOW)
    assert not one.active(NOW + 1)
    assert not replace(one, ended_at=NOW - 30, ended_by="cli:ann").active(NOW - 20)
    until_resolved = replace(one, ends_at=None)
    assert until_resolved.active(NOW + 1e9)
    assert not replace(until_resolved, ended_at=NOW).active(NOW)


@pytest.mark.parametrize(
    ("scope", "target", "covered"),
    [
        (SilenceScope.ALL, "", True),
        (SilenceScope.TASK, "t", True),
        (SilenceScope.TASK, "s", False),
        (SilenceScope.TASK, "u", False),
        (SilenceScope.KIND, "hang", True),
        (SilenceScope.KIND, "gang", False),
        (SilenceScope.KIND, "overdue", False),
        (SilenceScope.INCIDENT, "12", True),
        (SilenceScope.INCIDENT, "11", False),
        (SilenceScope.INCIDENT, "13", False),
    ],
)
def test_a_silence_covers_what_its_scope_and_target_name(
    scope: SilenceScope, target: str, covered: bool
) -> None:
    one = of(scope, target)
    assert one.covers(incident=12, task="t", kind="hang") is covered
    # Equal texts, and not one object, as the database gives them.
    assert one.covers(incident=12, task="t", kind="".join(("ha", "ng"))) is covered


def test_a_silence_of_a_task_that_the_database_named_covers_it() -> None:
    assert of(SilenceScope.TASK, "".join(("pre", "sales"))).covers(incident=1, task="presales", kind="hang")


def test_a_silence_of_a_task_covers_no_incident_of_the_runner() -> None:
    assert not of(SilenceScope.TASK, "t").covers(incident=1, task=None, kind="hang")
    assert not of(SilenceScope.TASK, "None").covers(incident=1, task=None, kind="hang")
    assert of(SilenceScope.ALL).covers(incident=1, task=None, kind="hang")


def test_of_those_that_cover_an_incident_the_one_that_lasts_longest_is_found() -> None:
    short = of(SilenceScope.ALL, number=1, ends_at=NOW + 60)
    long = of(SilenceScope.TASK, "t", number=2, ends_at=NOW + 600)
    other = of(SilenceScope.TASK, "s", number=3, ends_at=NOW + 9000)
    endless = of(SilenceScope.INCIDENT, "12", number=4, ends_at=None)

    def found(now: float, *silences: Silence) -> int | None:
        one = covering(silences, now, incident=12, task="t", kind="hang")
        return None if one is None else one.id

    for order in ((short, long, other), (other, long, short)):
        assert found(NOW, *order) == 2
    assert found(NOW, long, endless, short) == 4
    assert found(NOW + 60, short, other) is None
    assert found(NOW + 600, short, long, other) is None
    assert found(NOW) is None


def test_a_row_keeps_its_values_and_a_scope_of_a_newer_version_is_refused() -> None:
    one = silence(ROW)
    assert one.scope is SilenceScope.TASK
    assert (one.id, one.target, one.reason, one.created_by) == (7, "t", "deploy", "cli:ann")
    assert (one.created_at, one.ends_at, one.ended_at, one.ended_by) == (NOW - 60, NOW, None, None)
    with pytest.raises(ValueError, match="region"):
        silence(replace(ROW, scope="region"))


@pytest.mark.parametrize("order", [("all", NAME), (NAME, "all")])
async def test_the_end_of_one_of_two_silences_ends_nothing(stage: Stage, order: tuple[str, str]) -> None:
    for _ in range(5):
        stage.story.fail()
    lasting = {"all": 600.0, NAME: 3600.0}
    for target in order:
        assert stage.ask(AlertCommand.SILENCE, target, seconds=lasting[target]) is CommandReason.DONE
    [incident] = stage.manager.open_incidents
    assert stage.manager.silences[incident.silenced_by or 0].target == NAME
    before = await stage.told()
    stage.pass_time(1200.0)
    assert await stage.told() == before
    stage.pass_time(2400.0)
    assert next(kind for kind, *_ in (await stage.told())[len(before) :]) == "silence_over"
