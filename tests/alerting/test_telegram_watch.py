"""A bot that receives no commands, or fails at them, is an incident."""

from __future__ import annotations

from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.bot_monitor import CALM_AFTER, BotMonitor
from dozor.control.readiness import DEAF_AFTER
from tests.alerting.room import Room


def _open(room: Room) -> list[tuple[str, str]]:
    return [(i.kind.value, i.summary) for i in room.watch.open_incidents if i.kind is IncidentKind.BOT]


async def test_a_bot_that_hears_nothing_is_an_incident_until_it_hears_again(room: Room) -> None:
    heard: list[float | None] = [None]
    problem: list[str | None] = [None]
    watch = BotMonitor(room.watch, room.clock, lambda: heard[0], lambda: problem[0])
    room.clock.at += DEAF_AFTER
    watch.look()
    assert _open(room) == []  # it may still be on its way up
    room.clock.at += 1
    problem[0] = "another program polls this bot; stop the other program"
    watch.look()
    watch.look()
    assert _open(room) == [("bot", "another program polls this bot; stop the other program")]
    heard[0] = room.clock.at
    watch.look()
    assert _open(room) == []


async def test_a_failing_answer_is_an_incident_until_ten_minutes_pass_without_another(room: Room) -> None:
    watch = BotMonitor(room.watch, room.clock, lambda: room.clock.at, lambda: None)
    watch.failed(KeyError("x"))
    room.clock.at += CALM_AFTER - 1
    watch.failed(ValueError("y"))
    room.clock.at += CALM_AFTER
    watch.look()
    assert len(_open(room)) == 1
    room.clock.at += 1
    watch.look()
    assert _open(room) == []


async def test_a_clock_set_forward_by_a_day_is_no_silence_of_the_bot(room: Room) -> None:
    elapsed = [100.0]
    heard_at = room.clock.at
    watch = BotMonitor(room.watch, room.clock, lambda: heard_at, lambda: None, lambda: elapsed[0])
    watch.look()
    room.clock.at += 86_400
    elapsed[0] += 5
    watch.look()
    assert _open(room) == []
    elapsed[0] += DEAF_AFTER
    watch.look()
    assert [kind for kind, _ in _open(room)] == ["bot"]  # silence is still seen
