"""A chat that takes messages again, a group that became another one, a chat that is listed twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dozor.alerting.delivery.dispatcher import Dispatcher
from dozor.alerting.model.codec import to_row
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.clock import SteadyClock
from dozor.config import Config
from dozor.config.sections.alerts import AlertsConfig, OnCallConfig
from dozor.config.values.incident_kinds import Severity
from dozor.control.alert_settings import oncall, routing
from dozor.language import Language, Translator
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables import notifications
from dozor_bot.app import TelegramBot, build_bot
from tests.alerting.scripted import Scripted
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import (
    ADMIN,
    FORUM,
    GROUP,
    OPERATOR,
    TOPIC,
    VIEWER,
    ZONE,
    Running,
    configure,
    on_the_loop,
)
from tests.waiting import stretched

INCIDENT_SQL = """
INSERT INTO dozor.incidents (id, task, kind, severity, state, fingerprint, summary, failures, opened_at,
    updated_at)
VALUES (1, 'a', 'critical_stop', 'critical', 'open', 'f', 'x', 5, to_timestamp(1764000000), now())
"""


class Post:
    """A bot and the dispatcher behind it, as a runner builds them."""

    def __init__(self, api: BotApi, pool: Pool, chat: int | str = GROUP) -> None:
        clock = SteadyClock()
        self._pool, self._clock = pool, clock
        console = Scripted(name="console")
        self.dispatcher = Dispatcher(
            pool, console, console, MessageRenderer(Translator("ru"), ZONE, clock), clock
        )
        config = configure(api, chat=chat)
        self.telegram: TelegramBot = build_bot(
            config, pool, Language.RU, ZONE, clock, paces=self.dispatcher.paces, reopen=self.dispatcher.reopen
        )
        assert self.telegram.transport is not None
        assert config.chat is not None
        self.dispatcher.set_transport(
            self.telegram.transport,
            lambda key: (self.telegram.transport_to(int(key)), int(key)),
            chat_id=config.chat.chat_id,
        )
        self.running = Running(self.telegram)

    async def owe(self, text: str, to: str = "", kind: NotificationKind = NotificationKind.CHECKER) -> None:
        note = Notification(
            key=text,
            kind=kind,
            severity=Severity.CRITICAL,
            created_at=self._clock.now(),
            task="a",
            facts=AlertData(text=text, level=1, called=(("Олег", None),), mention="Олег"),
            destination=to,
        )
        async with self._pool.acquire() as connection:
            await notifications.enqueue(connection, [to_row(note)])

    async def refused(self, key: str = "") -> float:
        """The next message is refused; the seconds that the chat is left alone."""
        pause = await self.dispatcher.deliver_next(key)
        assert pause is not None
        assert pause > 20
        return pause

    async def close(self) -> None:
        await self.running.close()


@on_the_loop()
async def post(api: BotApi, pool: Pool) -> Any:
    post = Post(api, pool)
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")))
    yield post
    await post.close()


async def _leaves_at_once(post: Post, key: str = "") -> None:
    async with asyncio.timeout(5.0):
        while await post.dispatcher.deliver_next(key) != 0.0:  # noqa: ASYNC110 -- a step is what is awaited
            await asyncio.sleep(0.02)


BACK = [
    ("member", {}),
    ("administrator", {"can_delete_messages": True}),
    ("creator", {}),
    ("restricted", {"is_member": True, "can_send_messages": True}),
]


@pytest.mark.parametrize(("status", "more"), BACK)
async def test_let_in_again_ends_the_pause_at_once(
    api: BotApi, post: Post, status: str, more: dict[str, Any]
) -> None:
    api.world.chats[GROUP].kicked = True
    await post.owe("🛑 one")
    await post.refused()
    api.world.chats[GROUP].kicked = False
    api.change_membership(GROUP, ADMIN, status, **more)
    await _leaves_at_once(post)
    assert "one" in api.world.sent(GROUP)[-1].text


@pytest.mark.parametrize(
    ("status", "more"),
    [("left", {}), ("kicked", {"until_date": 0}),
     ("restricted", {"is_member": True, "can_send_messages": False}),
     ("restricted", {"is_member": False, "can_send_messages": True}), ("a later one", {})],
)  # fmt: skip
async def test_a_change_that_lets_nobody_in_ends_no_pause(
    api: BotApi, post: Post, status: str, more: dict[str, Any]
) -> None:
    api.world.chats[GROUP].kicked = True
    await post.owe("🛑 one")
    await post.refused()
    update_id = api.change_membership(GROUP, ADMIN, status, **more)
    await api.wait_until(lambda: api.confirmed_up_to >= update_id)
    api.say(ADMIN, "/whoami")  # answered after the change was handled
    await api.wait_until(lambda: bool(api.world.sent(ADMIN)))
    pause = await post.dispatcher.deliver_next()
    assert pause is not None
    assert pause > 20


async def test_the_end_of_a_restriction_ends_the_pause(api: BotApi, post: Post) -> None:
    api.world.chats[GROUP].forbids = {"text messages"}
    await post.owe("🛑 one")
    await post.refused()
    api.world.chats[GROUP].forbids = set()
    until = int(api.world.now()) + 2
    more = {"is_member": True, "can_send_messages": False, "until_date": until}
    api.change_membership(GROUP, ADMIN, "restricted", **more)
    async with asyncio.timeout(stretched(20.0)):
        while await post.dispatcher.deliver_next() != 0.0:  # noqa: ASYNC110 -- a step is what is awaited
            await asyncio.sleep(0.05)
    assert api.world.now() >= until
    assert "one" in api.world.sent(GROUP)[-1].text


@pytest.mark.parametrize("text", ["hello everybody", "/whoami"])
async def test_a_message_there_ends_the_pause_at_once(api: BotApi, post: Post, text: str) -> None:
    api.world.chats[GROUP].forbids = {"text messages"}
    await post.owe("🛑 one")
    await post.refused()
    api.world.chats[GROUP].forbids = set()
    api.say(ADMIN, text, chat_id=GROUP)
    await _leaves_at_once(post)


async def test_a_person_who_unblocks_the_bot_is_called_and_gets_a_menu(api: BotApi, post: Post) -> None:
    await api.wait_until(lambda: f"chat:{OPERATOR}/ru" not in api.world.commands)
    api.world.chats[VIEWER].blocked = True
    await post.telegram.set_my_commands()
    assert f"chat:{VIEWER}/ru" not in api.world.commands
    await post.owe("🛑 one", str(VIEWER))
    await post.refused(str(VIEWER))
    api.world.chats[VIEWER].blocked = False
    api.change_membership(VIEWER, VIEWER, "member")
    await _leaves_at_once(post, str(VIEWER))
    await api.wait_until(lambda: f"chat:{VIEWER}/ru" in api.world.commands, what="the menu")


async def test_somebody_who_writes_for_the_first_time_gets_a_menu(api: BotApi, post: Post) -> None:
    api.world.chats[VIEWER].blocked = True
    await post.telegram.set_my_commands()
    api.world.chats[VIEWER].blocked = False
    api.say(VIEWER, "/start")
    await api.wait_until(lambda: f"chat:{VIEWER}/ru" in api.world.commands, what="the menu")


# -- who cannot be called in private


@pytest.mark.parametrize("how", ["blocked", "never started"])
async def test_who_cannot_be_called_in_private_is_called_in_the_group(
    api: BotApi, pool: Pool, post: Post, how: str
) -> None:
    if how == "blocked":
        api.world.chats[OPERATOR].blocked = True
    else:
        del api.world.chats[OPERATOR]
    await post.owe("one", str(OPERATOR), NotificationKind.ESCALATION)
    await post.refused(str(OPERATOR))
    assert await post.dispatcher.deliver_next() == 0.0
    assert "Олег" in api.world.sent(GROUP)[-1].text
    await post.owe("two", str(OPERATOR), NotificationKind.ESCALATION)  # while the private chat is left alone
    await post.dispatcher.deliver_next(str(OPERATOR))
    assert await post.dispatcher.deliver_next() == 0.0
    assert len(api.world.sent(GROUP)) == 2
    await post.dispatcher.deliver_next(str(OPERATOR))
    assert await post.dispatcher.deliver_next() is None  # each once
    api.world.add_user(OPERATOR, "Олег")
    api.change_membership(OPERATOR, OPERATOR, "member")
    await _leaves_at_once(post, str(OPERATOR))
    assert api.world.sent(OPERATOR)


@pytest.mark.parametrize(
    ("in_group", "copies"),
    [((("Призрак", None),), 1), ((("Призрак", None), ("Олег", OPERATOR)), 0)],
)
async def test_a_call_in_the_group_counts_for_those_whom_it_names(
    api: BotApi, pool: Pool, post: Post, in_group: tuple[tuple[str, int | None], ...], copies: int
) -> None:
    api.world.chats[OPERATOR].blocked = True
    await pool.execute(INCIDENT_SQL)
    for key, to, called in (
        ("in the group", "", in_group),
        ("in private", str(OPERATOR), (("Олег", OPERATOR),)),
    ):
        note = Notification(
            key=key,
            kind=NotificationKind.ESCALATION,
            severity=Severity.CRITICAL,
            created_at=1_764_000_000.0,
            task="a",
            incident_id=1,
            facts=AlertData(level=1, called=called, mention="x"),
            destination=to,
        )
        async with pool.acquire() as connection:
            await notifications.enqueue(connection, [to_row(note)])
    await post.refused(str(OPERATOR))
    copied = await pool.fetchval("SELECT count(*) FROM dozor.notifications WHERE key LIKE '%/group'")
    assert copied == copies


async def test_other_messages_to_a_person_are_not_copied_into_the_group(api: BotApi, post: Post) -> None:
    api.world.chats[OPERATOR].blocked = True
    await post.owe("a summary for one person", str(OPERATOR))
    await post.refused(str(OPERATOR))
    assert await post.dispatcher.deliver_next() is None
    assert api.world.sent(GROUP) == []


# -- migration


@pytest.mark.parametrize(
    "how", ["migrate_to_chat_id", "migrate_from_chat_id", "refused call", "at the start"]
)
async def test_a_group_that_became_a_supergroup_gets_its_menus_and_people_keep_theirs(
    api: BotApi, pool: Pool, how: str
) -> None:
    new = -1009
    api.world.add_chat(new, "supergroup", "Дежурные")
    if how == "at the start":
        api.world.chats[GROUP].migrated_to = new
    post = Post(api, pool)
    try:
        await post.telegram.set_my_commands()
        if how != "at the start":
            assert f"chat:{GROUP}/ru" in api.world.commands
            api.world.chats[GROUP].migrated_to = new
        match how:
            case "migrate_to_chat_id":
                api.say(ADMIN, "", chat_id=GROUP, migrate_to_chat_id=new)
            case "migrate_from_chat_id":
                api.say(ADMIN, "", chat_id=new, migrate_from_chat_id=GROUP)
            case "refused call":
                api.say(ADMIN, "/whoami", chat_id=GROUP)
        for menu in (f"chat:{new}/", f"chat:{new}/ru", f"chat:{ADMIN}/ru", f"chat:{VIEWER}/en"):
            await api.wait_until(lambda menu=menu: menu in api.world.commands, what=menu)  # type: ignore[misc]
    finally:
        await post.close()


# -- twice


def _config(api: BotApi, chat: int | str, listed: int | str) -> Config:
    return Config.model_construct(
        path=Path("config.yaml"),
        telegram=configure(api, chat=chat),
        alerts=AlertsConfig.model_validate({"chats": [{"chat": listed}, {"chat": listed}]}),
        oncall=OnCallConfig.model_validate({"people": {"Олег": {"chat": listed}}}),
    )


@pytest.mark.parametrize(
    ("chat", "listed", "places"),
    [
        (GROUP, GROUP, ("",)),
        (f"{FORUM}:{TOPIC}", f"{FORUM}:{TOPIC}", ("",)),
        (FORUM, f"{FORUM}:1", ("",)),  # General is the same place as no topic
        (f"{FORUM}:1", FORUM, ("",)),
        (f"{FORUM}:{TOPIC}", FORUM, ("", str(FORUM))),
        (GROUP, FORUM, ("", str(FORUM))),
        (GROUP, f"{FORUM}:1", ("", str(FORUM))),
    ],
)
async def test_the_same_chat_listed_twice_gets_one_message(
    api: BotApi, chat: int | str, listed: int | str, places: tuple[str, ...]
) -> None:
    config = _config(api, chat, listed)
    assert routing(config)("a", Severity.CRITICAL) == places
    assert oncall(config.oncall, config.telegram).people["Олег"].destination == places[-1]
