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
from tests.alerting.stage import NAME, Stage
from tests.alerting.story import failure
from tests.alerting.test_outages import Gasp


@pytest.fixture(params=["ru", "en"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def configured(stage: Stage, seconds: float) -> None:
    """With `reopen_within` of so many seconds, for the task and for the runner itself."""
    settings = AlertSettings(reopen_within=seconds)
    stage.manager.use_settings({NAME: settings, "": settings})


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize(("within", "pause", "count"), [(1.0, 3.0, 2), (10.0, 3.0, 1), (7200.0, 7000.0, 1)])
async def test_a_failure_after_reopen_within_is_another_incident(
    stage: Stage, within: float, pause: float, count: int, restarted: bool
) -> None:
    configured(stage, within)
    for _ in range(3):
        stage.story.fail(after=1)
    stage.story.succeed(after=1)
    stage.pass_time(pause - 1)
    if restarted:
        await stage.journal.write()
        opened = await incidents.read_open(stage.journal.connection, resolved_within=1e10)
        stage.manager = stage.story.manager = stage.new_manager(opened, 1)
        configured(stage, within)
    for _ in range(3):
        stage.story.fail(after=0.3)
    assert len(await stage.incidents()) == count


@pytest.mark.parametrize(("pause", "count"), [(0.5, 1), (3.0, 2)])
async def test_a_trouble_of_the_runner_after_reopen_within_is_another_incident(
    stage: Stage, pause: float, count: int
) -> None:
    configured(stage, 1.0)
    for _ in range(2):
        stage.manager.open_incident(IncidentKind.BOT, "commands", AlertData())
        stage.manager.resolve_incident(IncidentKind.BOT, "commands")
        stage.clock.at += pause
    assert len(await stage.incidents()) == count


async def test_an_outage_of_the_database_is_counted_from_its_beginning(stage: Stage) -> None:
    gasp = Gasp(stage)
    gasp.health.report_down("refused")
    began = stage.clock.at
    await gasp.look(22)
    gasp.health.report_up()
    await gasp.look(1)
    await gasp.post.deliver(60)
    assert stage.clock.at - began >= 22
    assert gasp.post.messages[-1].header.startswith("✅")
    assert "23 с" in gasp.post.messages[-1].text


@pytest.mark.parametrize("silent", [240.0, 1200.0])
async def test_deafness_is_counted_from_the_last_time_the_bot_heard(
    stage: Stage, language: str, silent: float
) -> None:
    post = Post(stage, language=language)
    heard = [stage.clock.at]
    monitor = BotMonitor(stage.manager, stage.clock, lambda: heard[0], lambda: None, stage.clock.now)
    monitor.look()
    until = stage.clock.at + silent
    while stage.clock.at < until:
        stage.clock.at += 5
        monitor.look()
    await post.deliver()
    assert silent > DEAF_AFTER
    heard[0] = stage.clock.at
    monitor.look()
    await post.deliver(5)
    minutes = f"{silent / 60:.0f}"
    expected = {"ru": f"{minutes} мин", "en": f"{minutes} m"}[language]
    assert expected in post.messages[-1].text


async def test_a_streak_of_several_causes_is_told_whole_at_its_end(stage: Stage, language: str) -> None:
    post = Post(stage, language=language)
    causes = [failure(where="a.py:1 in x"), failure(where="b.py:2 in y")]
    for number in range(4):
        stage.story.fail(causes[number % 2])
    await post.deliver(5)
    stage.story.succeed()
    await post.deliver(60)
    ends = [shown for shown in post.messages if "✅" in shown.header]
    expected = {"ru": "Ошибок подряд: 4", "en": "Errors in a row: 4"}[language]
    assert expected in ends[-1].text


@pytest.mark.parametrize("answers", [20, 200])
async def test_an_end_does_not_wait_for_answers_of_the_bot_in_a_busy_group(
    stage: Stage, answers: int
) -> None:
    post = Post(stage)
    for _ in range(3):
        stage.story.fail(after=1)
    await post.deliver(5)
    pace = post.dispatcher.pace
    stage.clock.at += 60
    for _ in range(answers):
        pace.consume_for_reply(stage.clock.at)
    stage.story.succeed(after=1)
    over = stage.clock.at
    await post.deliver(4)
    [shown] = post.messages
    assert shown.header.startswith("✅")
    assert shown.versions[-1][0] - over <= 4


async def test_every_message_of_an_incident_ends_in_a_busy_group(stage: Stage) -> None:
    """A warning, a stop and a call: each loses its buttons while the bot answers once a second."""
    post = Post(stage)
    for _ in range(5):
        stage.story.fail(after=1)
        await post.deliver(2)
    stage.pass_time(1900)
    await post.deliver(5)
    assert len(post.messages) >= 3
    stage.story.restart()
    stage.story.succeed(after=1)
    over = stage.clock.at
    for _ in range(60):
        post.dispatcher.pace.consume_for_reply(over)
    for _ in range(60):
        post.dispatcher.pace.consume_for_reply(stage.clock.at)
        await post.deliver(1)
    assert not any(shown.actions for shown in post.messages)
    assert all("✅" in shown.header for shown in post.messages if shown is not post.messages[-1])
    assert max(shown.versions[-1][0] for shown in post.messages) - over <= 45


async def test_the_incident_of_a_chat_that_left_the_configuration_is_closed(stage: Stage) -> None:
    def monitor(chat: int) -> DestinationMonitor:
        telegram = TelegramConfig.model_validate({"chat": chat, "admins": [111]})
        return DestinationMonitor(telegram, stage.manager, frozenset({"-300"}))

    before = monitor(-100)
    before.changed("", "kicked")
    before.changed("-300", "kicked")
    monitor(-200).changed("", None)  # as a new place reports
    assert [one.fingerprint for one in stage.manager.open_incidents] == ["-300"]
