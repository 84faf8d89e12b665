"""A bot that receives no commands, or fails at them, is an incident."""

from __future__ import annotations

from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.bot_monitor import CALM_AFTER, BotMonitor
from dozor.control.readiness import DEAF_AFTER
from tests.alerting.stage import Stage


def _open(stage: Stage) -> list[tuple[str, str]]:
    return [(i.kind.value, i.summary) for i in stage.manager.open_incidents if i.kind is IncidentKind.BOT]


async def test_a_bot_that_hears_nothing_is_an_incident_until_it_hears_again(stage: Stage) -> None:
    heard: list[float | None] = [None]
    problem: list[str | None] = [None]
    manager = BotMonitor(stage.manager, stage.clock, lambda: heard[0], lambda: problem[0])
    stage.clock.at += DEAF_AFTER
    manager.look()
    assert _open(stage) == []  # it may still be on its way up
    stage.clock.at += 1
    problem[0] = "another program polls this bot; stop the other program"
    manager.look()
    manager.look()
    assert _open(stage) == [("bot", "another program polls this bot; stop the other program")]
    heard[0] = stage.clock.at
    manager.look()
    assert _open(stage) == []


async def test_a_failing_answer_is_an_incident_until_ten_minutes_pass_without_another(stage: Stage) -> None:
    manager = BotMonitor(stage.manager, stage.clock, lambda: stage.clock.at, lambda: None)
    manager.failed(KeyError("x"))
    stage.clock.at += CALM_AFTER - 1
    manager.failed(ValueError("y"))
    stage.clock.at += CALM_AFTER
    manager.look()
    assert len(_open(stage)) == 1
    stage.clock.at += 1
    manager.look()
    assert _open(stage) == []


async def test_a_clock_set_forward_by_a_day_is_no_silence_of_the_bot(stage: Stage) -> None:
    elapsed = [100.0]
    heard_at = stage.clock.at
    manager = BotMonitor(stage.manager, stage.clock, lambda: heard_at, lambda: None, lambda: elapsed[0])
    manager.look()
    stage.clock.at += 86_400
    elapsed[0] += 5
    manager.look()
    assert _open(stage) == []
    elapsed[0] += DEAF_AFTER
    manager.look()
    assert [kind for kind, _ in _open(stage)] == ["bot"]  # silence is still seen
