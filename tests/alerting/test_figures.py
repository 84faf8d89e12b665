"""Figures and ends: true beginnings, whole streaks, `reopen_within` as configured, ends that do not wait."""

from __future__ import annotations

import pytest

from dozor.alerting.model.incident import AlertSettings
from dozor.alerting.model.notification import AlertData
from dozor.app.leading.alert_services import DestinationMonitor
from dozor.config.sections.config import TelegramConfig
from dozor.config.values.incident_kinds import IncidentKind
from dozor.control.bot_monitor import BotMonitor
from dozor.control.readiness import DEAF_AFTER
from dozor.storage.tables import incidents
from tests.alerting.chat import Post
from tests.alerting.room import NAME, Room
from tests.alerting.story import failure
from tests.alerting.test_outages import Gasp


@pytest.fixture(params=["ru", "en"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def configured(room: Room, seconds: float) -> None:
    """With `reopen_within` of so many seconds, for the task and for the runner itself."""
    settings = AlertSettings(reopen_within=seconds)
    room.watch.use_settings({NAME: settings, "": settings})


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(("within", "pause", "count"), [(1.0, 3.0, 2), (10.0, 3.0, 1), (7200.0, 7000.0, 1)])
async def test_a_failure_after_reopen_within_is_another_incident(
    room: Room, within: float, pause: float, count: int, restarted: bool
) -> None:
    configured(room, within)
    for _ in range(3):
        room.story.fail(after=1)
    room.story.succeed(after=1)
    room.pass_time(pause - 1)
    if restarted:
        await room.journal.write()
        opened = await incidents.read_open(room.journal.connection, resolved_within=1e10)
        room.watch = room.story.watch = room.new_watch(opened, 1)
        configured(room, within)
    for _ in range(3):
        room.story.fail(after=0.3)
    assert len(await room.incidents()) == count


@pytest.mark.parametrize(("pause", "count"), [(0.5, 1), (3.0, 2)])
async def test_a_trouble_of_the_runner_after_reopen_within_is_another_incident(
    room: Room, pause: float, count: int
) -> None:
    configured(room, 1.0)
    for _ in range(2):
        room.watch.open_incident(IncidentKind.BOT, "commands", AlertData())
        room.watch.resolve_incident(IncidentKind.BOT, "commands")
        room.clock.at += pause
    assert len(await room.incidents()) == count


async def test_an_outage_of_the_database_is_counted_from_its_beginning(room: Room) -> None:
    gasp = Gasp(room)
    gasp.health.report_down("refused")
    began = room.clock.at
    await gasp.look(22)
    gasp.health.report_up()
    await gasp.look(1)
    await gasp.post.deliver(60)
    assert room.clock.at - began >= 22
    assert gasp.post.messages[-1].header.startswith("✅")
    assert "23 с" in gasp.post.messages[-1].text


@pytest.mark.parametrize("silent", [240.0, 1200.0])
async def test_deafness_is_counted_from_the_last_time_the_bot_heard(
    room: Room, language: str, silent: float
) -> None:
    post = Post(room, language=language)
    heard = [room.clock.at]
    monitor = BotMonitor(room.watch, room.clock, lambda: heard[0], lambda: None, room.clock.now)
    monitor.look()
    until = room.clock.at + silent
    while room.clock.at < until:
        room.clock.at += 5
        monitor.look()
    await post.deliver()
    assert silent > DEAF_AFTER
    heard[0] = room.clock.at
    monitor.look()
    await post.deliver(5)
    minutes = f"{silent / 60:.0f}"
    expected = {"ru": f"{minutes} мин", "en": f"{minutes} m"}[language]
    assert expected in post.messages[-1].text


async def test_a_streak_of_several_causes_is_told_whole_at_its_end(room: Room, language: str) -> None:
    post = Post(room, language=language)
    causes = [failure(where="a.py:1 in x"), failure(where="b.py:2 in y")]
    for number in range(4):
        room.story.fail(causes[number % 2])
    await post.deliver(5)
    room.story.succeed()
    await post.deliver(60)
    ends = [shown for shown in post.messages if "✅" in shown.header]
    expected = {"ru": "Ошибок подряд: 4", "en": "Errors in a row: 4"}[language]
    assert expected in ends[-1].text


@pytest.mark.parametrize("answers", [20, 200])
async def test_an_end_does_not_wait_for_answers_of_the_bot_in_a_busy_group(room: Room, answers: int) -> None:
    post = Post(room)
    for _ in range(3):
        room.story.fail(after=1)
    await post.deliver(5)
    pace = post.dispatcher.pace
    room.clock.at += 60
    for _ in range(answers):
        pace.consume_for_reply(room.clock.at)
    room.story.succeed(after=1)
    over = room.clock.at
    await post.deliver(4)
    [shown] = post.messages
    assert shown.header.startswith("✅")
    assert shown.versions[-1][0] - over <= 4


async def test_every_message_of_an_incident_ends_in_a_busy_group(room: Room) -> None:
    """A warning, a stop and a call: each loses its buttons while the bot answers once a second."""
    post = Post(room)
    for _ in range(5):
        room.story.fail(after=1)
        await post.deliver(2)
    room.pass_time(1900)
    await post.deliver(5)
    assert len(post.messages) >= 3
    room.story.restart()
    room.story.succeed(after=1)
    over = room.clock.at
    for _ in range(60):
        post.dispatcher.pace.consume_for_reply(over)
    for _ in range(60):
        post.dispatcher.pace.consume_for_reply(room.clock.at)
        await post.deliver(1)
    assert not any(shown.actions for shown in post.messages)
    assert all("✅" in shown.header for shown in post.messages if shown is not post.messages[-1])
    assert max(shown.versions[-1][0] for shown in post.messages) - over <= 45


async def test_the_incident_of_a_chat_that_left_the_configuration_is_closed(room: Room) -> None:
    def monitor(chat: int) -> DestinationMonitor:
        telegram = TelegramConfig.model_validate({"chat": chat, "admins": [111]})
        return DestinationMonitor(telegram, room.watch, frozenset({"-300"}))

    before = monitor(-100)
    before.changed("", "kicked")
    before.changed("-300", "kicked")
    monitor(-200).changed("", None)  # as a new place reports
    assert [one.fingerprint for one in room.watch.open_incidents] == ["-300"]
