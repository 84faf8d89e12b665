"""When Telegram is gone, when PostgreSQL is gone, and who watches the watcher."""

from __future__ import annotations

import asyncio
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from dozor.alerting.delivery.direct_sends import DirectSends
from dozor.alerting.delivery.transport import Rejected, Unavailable, Unknown
from dozor.alerting.fallback.failover import SOON, ChannelFailover
from dozor.alerting.fallback.outage_queue import OutageQueue
from dozor.alerting.fallback.outage_sender import DOWN_FOR, PER_MINUTE, OutageSender
from dozor.alerting.fallback.outbox_failover import OutboxFailover
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.alerting.policy.routes import Route, Routing
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.alerting.reports.heartbeat import Heartbeat
from dozor.language import Translator
from dozor.storage.health import DatabaseHealth
from dozor.storage.spool import Spool, SpoolState
from tests.alerting.chat import Post
from tests.alerting.stage import NAME, Stage
from tests.waiting import until


class NoFile:
    """In place of the file that the next process reads: see `tests.system.test_killed_meanwhile`."""

    async def keep(self, state: SpoolState) -> None:
        """Nowhere."""


class Gasp:
    """An outage sender in a stage whose journal is not written meanwhile: as when the database is away."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.said: list[tuple[str, str]] = []
        self.takes = True
        translator = Translator("ru")
        self.second = ChannelFailover(self._say, translator, AFTER)
        self.post = Post(stage, direct_sends=stage.direct_sends)
        self.health = DatabaseHealth(stage.clock, self._probe)
        words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), stage.clock)
        self._words = words
        self.wire()
        self.unsent = OutboxFailover(
            stage.pool, self.second, words, translator, stage.clock, self.post.dispatcher.directly
        )

    def wire(self) -> None:
        """Around the stage's present incident manager."""
        stage, dispatcher = self.stage, self.post.dispatcher
        spool = cast(Spool, NoFile())
        self.queue = OutageQueue(stage.journal, spool, dispatcher.directly, stage.manager.store, self._words)
        self.sender = OutageSender(
            stage.manager,
            self.health,
            self.queue,
            dispatcher,
            lambda: (NAME, "other"),
            stage.clock,
            self.second,
        )

    async def _say(self, title: str, text: str) -> bool:
        if self.takes:
            self.said.append((title, text))
        return self.takes

    async def _probe(self) -> None:
        """Not asked."""

    async def look(self, seconds: float) -> None:
        until = self.stage.clock.at + seconds
        while self.stage.clock.at < until:
            self.stage.clock.at += 1
            await self.sender.check()


AFTER = 120.0


@pytest.fixture
def gasp(stage: Stage) -> Gasp:
    return Gasp(stage)


async def test_without_a_database_one_alert_says_so_and_which_tasks_are_held(gasp: Gasp) -> None:
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR - 2)
    assert gasp.post.messages == []
    await gasp.look(60)
    [shown] = gasp.post.messages
    assert shown.header == "🔴 PostgreSQL: недоступно · №1"
    assert f"Ждут: {NAME}, other" in shown.text


async def test_what_was_told_past_the_database_is_not_sent_again_when_it_is_back(gasp: Gasp) -> None:
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 2)
    for _ in range(5):
        gasp.stage.story.fail(after=0)
    await gasp.look(30)
    assert [header[:2] for header in gasp.post.headers] == ["🔴 ", "🛑 "]
    gasp.health.report_up()
    await gasp.look(1)
    await gasp.post.deliver(120)
    assert len(gasp.post.messages) == 3  # the database's own recovery came after
    assert gasp.post.headers[-1] == "✅ PostgreSQL: снова доступно · №1"
    rows = await gasp.stage.pool.fetch("SELECT state, message_id FROM dozor.notifications ORDER BY id")
    assert {row["state"] for row in rows} == {"delivered"}
    gasp.stage.story.restart()
    gasp.stage.story.succeed()
    await gasp.post.deliver(120)
    assert gasp.post.headers[-1].startswith(f"✅ {NAME} снова работает")


async def test_a_digest_past_the_database_shows_what_is_in_it(gasp: Gasp) -> None:
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 15)
    stories = [gasp.stage.new_task(f"task_{number}") for number in range(20)]
    for story in stories:
        for _ in range(5):
            story.fail(after=0)
    await gasp.look(120)
    [digest] = [shown for shown in gasp.post.messages if "Сбои сразу во многих" in shown.header]
    assert digest.header == "🔴 Сбои сразу во многих задачах: 17 · №9"
    assert "🔴 17/17" in digest.text
    gasp.health.report_up()
    await gasp.look(1)
    await gasp.post.deliver(120)
    assert sum("Сбои сразу во многих" in shown.header for shown in gasp.post.messages) == 1


async def test_an_attempt_past_the_database_without_an_answer_is_marked_when_it_is_sent_again(
    gasp: Gasp,
) -> None:
    gasp.health.report_down("refused")
    gasp.post.chat.script = [Unknown("timed out")]
    await gasp.look(DOWN_FOR + 5)
    assert gasp.post.messages == []
    await gasp.post.deliver(60)
    assert "Возможно, повтор" in gasp.post.messages[0].text


async def test_a_long_outage_does_not_flood_the_chat(gasp: Gasp) -> None:
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 15)
    stories = [gasp.stage.new_task(f"t{number}") for number in range(40)]
    for story in stories:
        gasp.stage.clock.at += 60
        for _ in range(5):
            story.fail(after=0)
    began = len(gasp.post.chat.calls)
    await gasp.look(60)
    assert len(gasp.post.chat.calls) - began <= PER_MINUTE
    await gasp.look(3600)
    assert len(gasp.post.messages) <= 20
    assert gasp.post.headers[0].startswith("🔴 PostgreSQL") or "🛑" in gasp.post.headers[0]


async def test_a_short_outage_is_nobodys_business(gasp: Gasp) -> None:
    gasp.health.report_down("restarting")
    await gasp.look(5)
    gasp.health.report_up()
    await gasp.look(60)
    assert await gasp.stage.told() == []


async def test_with_telegram_away_as_well_the_second_channel_speaks_from_memory(gasp: Gasp) -> None:
    gasp.post.chat.script = [Unavailable("unreachable")] * 1000
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 2)
    for _ in range(5):
        gasp.stage.story.fail(after=0)
    await gasp.look(AFTER - 5)
    assert gasp.said == []
    await gasp.look(20)
    [(title, text)] = gasp.said
    assert "запасной канал" in title
    for words in ("🔴 PostgreSQL: недоступно", f"🛑 {NAME}", f"⚠️ {NAME}"):
        assert words in text
    await gasp.look(300)
    assert len(gasp.said) == 1, "once"
    # Both are back: nothing is replayed, one summary says what went.
    gasp.post.chat.script = []
    gasp.health.report_up()
    await gasp.look(1)
    await gasp.unsent.check()
    await gasp.post.deliver(10)
    await gasp.look(1)
    await gasp.unsent.check()
    await gasp.post.deliver(120)
    await gasp.look(1)
    assert gasp.post.dispatcher.directly == DirectSends()
    assert sorted(gasp.post.headers) == sorted(
        [
            "✅ PostgreSQL: снова доступно · №1",
            "✉️ Telegram снова доступен. За это время отправлено через запасной канал: 3",
        ]
    )
    assert len(gasp.said) == 1


async def test_from_memory_too_what_comes_later_does_not_wait_so_long(gasp: Gasp) -> None:
    gasp.post.chat.script = [Unavailable("unreachable")] * 1000
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + AFTER + 5)
    assert len(gasp.said) == 1
    for _ in range(5):
        gasp.stage.story.fail(after=0)
    await gasp.look(SOON + 5)
    assert f"🛑 {NAME}" in gasp.said[1][1]
    assert "PostgreSQL" not in gasp.said[1][1]


async def test_from_memory_a_person_is_called_and_no_other_chat_told_what_the_chat_has(gasp: Gasp) -> None:
    people = OnCall({"ann": Person(name="ann", destination="222", user_id=222)})
    routes = Routing((Route(destination="333"),))
    gasp.stage.furnish(levels=(Level(60.0, "ann"),), oncall=people, routes=routes)
    gasp.wire()
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 2)
    for _ in range(5):
        gasp.stage.story.fail(after=0)
    gasp.stage.clock.at += 60
    gasp.stage.manager.tick(gasp.stage.supervisor)
    await gasp.look(AFTER + 10)
    assert f"🛑 {NAME}" in " ".join(gasp.post.headers)
    [(_, text)] = gasp.said
    assert "ann: нужна реакция" in text
    assert "🛑" not in text


async def test_vain_attempts_do_not_use_up_what_an_outage_may_send(gasp: Gasp) -> None:
    """Telegram comes back before the database, after an hour."""
    gasp.takes = False
    gasp.post.chat.script = [Rejected("bot was kicked"), *[Unavailable("unreachable")] * 10_000]
    gasp.health.report_down("refused")
    await gasp.look(3600)
    assert len(gasp.post.chat.calls) > 20
    assert gasp.said == []
    gasp.post.chat.script = []
    await gasp.look(60)
    assert gasp.post.headers == ["🔴 PostgreSQL: недоступно · №1"]


async def test_the_sign_of_life_is_sent_only_while_all_is_well() -> None:
    asked = 0
    well = False

    async def serve(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=500 if asked == 2 else 200)

    app = web.Application()
    app.router.add_get("/ping/secret", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    heartbeat = Heartbeat(f"http://127.0.0.1:{port}/ping/secret", 0.01, lambda: well)
    beating = asyncio.create_task(heartbeat.run())
    await asyncio.sleep(0.1)
    assert asked == 0
    well = True
    await until(lambda: heartbeat.sent >= 3)
    assert asked >= heartbeat.sent + 1
    await runner.cleanup()
    await asyncio.sleep(0.05)  # nobody listens: it beats on
    assert not beating.done()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
