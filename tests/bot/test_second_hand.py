"""Commands that are not the sender's own words, that come late, or that reply to anything at all."""

from __future__ import annotations

from typing import Any

import pytest
from aiogram.types import Update

from dozor.clock import SteadyClock
from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor_bot.app import build_bot
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import (
    ADMIN,
    GROUP,
    OPERATOR,
    STRANGER,
    VIEWER,
    ZONE,
    Running,
    build,
    configure,
    on_the_loop,
)
from tests.bot.executor import Executor

USER = {"id": 5, "is_bot": False, "first_name": "Somebody"}
CHANNEL = {"id": -1009, "type": "channel", "title": "News"}
ORIGINS = {
    "user": {"type": "user", "date": 1, "sender_user": USER},
    "hidden_user": {"type": "hidden_user", "date": 1, "sender_user_name": "Hidden"},
    "chat": {"type": "chat", "date": 1, "sender_chat": {**CHANNEL, "type": "supergroup"}},
    "channel": {"type": "channel", "date": 1, "chat": CHANNEL, "message_id": 7},
    "of_a_later_version": {"type": "somewhere_else", "date": 1, "anything": {}},
}
VIA_BOT = {"id": 6, "is_bot": True, "first_name": "Inline", "username": "inline_bot"}
RESTART = "/restart presale_checker"


async def _handled(api: BotApi, update_id: int) -> None:
    await api.wait_until(lambda: api.confirmed_up_to >= update_id, what="the confirmation")


async def _told(api: BotApi, chat: int, count: int = 1) -> StoredMessage:
    await api.wait_until(lambda: len(api.world.sent(chat)) >= count, what="the answer")
    return api.world.sent(chat)[count - 1]


async def _denied(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM dozor.audit WHERE result LIKE 'denied%'")
    return count


@on_the_loop(params=list(Language))
async def spoken(request: pytest.FixtureRequest, api: BotApi, pool: Pool, executor: Executor) -> Any:
    """The language of a running bot, with one stopped task."""
    await executor.alive()
    await executor.add("presale_checker", State.STOPPED, 5)
    running = Running(build(api, pool, Language(request.param)))
    yield Language(request.param)
    await running.close()


FORWARDED = {
    Language.RU: "/restart не выполнена: сообщение переслано, его автор не вы. Напишите команду сами.",
    Language.EN: "/restart was not carried out: the message is forwarded, its author is not you."
    " Write the command yourself.",
}


@pytest.mark.parametrize("origin", sorted(ORIGINS))
@pytest.mark.parametrize("chat", [ADMIN, GROUP])
async def test_a_forwarded_command_is_not_carried_out_and_why_is_said_once(
    api: BotApi, pool: Pool, executor: Executor, spoken: Language, origin: str, chat: int
) -> None:
    for _ in range(3):
        update_id = api.say(ADMIN, RESTART, chat_id=chat, forward_origin=ORIGINS[origin])
    await _handled(api, update_id)
    assert (await _told(api, chat)).text == FORWARDED[spoken]
    api.say(ADMIN, "/whoami", chat_id=chat)
    await _told(api, chat, 2)
    assert len(api.world.sent(chat)) == 2
    assert executor.done == []
    assert await _denied(pool) >= 1


async def test_each_way_of_not_writing_it_oneself_is_explained(
    api: BotApi, executor: Executor, spoken: Language
) -> None:
    group = api.world.chats[GROUP].to_json()
    fake = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    ways: list[tuple[dict[str, Any], tuple[str, str]]] = [
        ({"via_bot": VIA_BOT}, ("через другого бота", "through another bot")),
        ({"from": fake, "sender_chat": group}, ("анонимный администратор", "anonymous administrator")),
        ({"from": fake, "sender_chat": CHANNEL}, ("от имени канала", "in the name of a channel")),
        ({"forward_date": 1}, ("переслано", "forwarded")),
    ]
    for number, (more, words) in enumerate(ways, 1):
        api.say(ADMIN, RESTART, chat_id=GROUP, **more)
        assert words[spoken is Language.EN] in (await _told(api, GROUP, number)).text
    assert executor.done == []


async def test_a_post_in_the_alert_channel_is_explained_there_and_nowhere_else(
    api: BotApi, pool: Pool, executor: Executor
) -> None:
    channel = -1003
    for chat_id in (channel, -1004):
        api.world.add_chat(chat_id, "channel", "Alerts")
    running = Running(build_bot(configure(api, chat=channel), pool, Language.RU, ZONE, SteadyClock()))
    try:
        for chat_id in (-1004, channel):
            post = {"sender_chat": api.world.chats[chat_id].to_json(), "from": None}
            await _handled(api, api.say(ADMIN, "/status", chat_id=chat_id, **post))
        assert "от имени канала" in (await _told(api, channel)).text
        assert api.world.sent(-1004) == []
    finally:
        await running.close()


@pytest.mark.parametrize("more", [{"forward_origin": ORIGINS["user"]}, {"via_bot": VIA_BOT}, {}])
async def test_a_stranger_learns_nothing_by_forwarding(
    api: BotApi, pool: Pool, running: Running, more: dict[str, Any]
) -> None:
    await _handled(api, api.say(STRANGER, "/status", chat_id=GROUP, **more))
    assert api.world.sent() == []
    assert await _denied(pool) == 1


@pytest.mark.parametrize(
    "replied",
    [
        {"brand_new_content": {"x": [1]}},
        {"checklist": "not even an object"},
        {"photo": 7},
        {"forward_origin": {"type": "unheard_of"}},
        {"gift": None, "from": {"strange": True}},
    ],
)
async def test_a_command_may_reply_to_content_of_any_kind(
    api: BotApi, executor: Executor, running: Running, replied: dict[str, Any]
) -> None:
    await executor.alive()
    await executor.add("presale_checker", State.STOPPED, 5)
    chat = api.world.chats[GROUP].to_json()
    before = {"message_id": 1, "date": 1, "chat": chat, **replied}
    more = {"reply_to_message": before, "external_reply": {"origin": {"type": "new"}}, "new_field": [{}]}
    api.say(ADMIN, RESTART, chat_id=GROUP, **more)
    assert (await _told(api, GROUP)).text.startswith("🔄 presale_checker перезапущена")
    assert [command.task for command in executor.done] == ["presale_checker"]


# -- late

LATE = {
    Language.RU: (
        "Команда пришла с опозданием (5 мин) и не выполнена: за это время всё могло измениться."
        " Если она ещё нужна, нажмите кнопку, выполню сейчас:\n/restart presale_checker"
    ),
    Language.EN: (
        "The command came late (5 min) and was not carried out: much may have changed since."
        " If it is still needed, press the button and it runs now:\n/restart presale_checker"
    ),
}


async def test_a_late_command_comes_with_a_button_that_runs_it(
    api: BotApi, executor: Executor, spoken: Language
) -> None:
    api.say(ADMIN, RESTART, date=api.world.now() - 302)
    answer = await _told(api, ADMIN)
    assert answer.text == LATE[spoken]
    assert answer.buttons == [
        ({Language.RU: "▶️ Выполнить сейчас", Language.EN: "▶️ Run it now"}[spoken], f"m:again:{RESTART[1:]}")
    ]
    assert executor.done == []
    api.press(ADMIN, ADMIN, answer.message_id, answer.buttons[0][1])
    result = await _told(api, ADMIN, 2)
    assert "presale_checker" in result.text
    assert [command.actor for command in executor.done] == [f"telegram:{ADMIN}"]
    assert answer.buttons == []


@pytest.mark.parametrize("off", [3600.0, -3600.0])
@pytest.mark.parametrize(("age", "late"), [(301.5, True), (290.0, False)])
async def test_the_age_is_judged_by_telegrams_clock(
    api: BotApi, pool: Pool, executor: Executor, off: float, age: float, late: bool
) -> None:
    """The host's clock is an hour off, in either direction."""
    await executor.alive()
    await executor.add("presale_checker", State.STOPPED, 5)
    clock = SteadyClock(wall=lambda: api.world.now() + off)
    running = Running(build_bot(configure(api), pool, Language.RU, ZONE, clock))
    try:
        api.say(ADMIN, RESTART, date=api.world.now() - age)
        answer = await _told(api, ADMIN)
        assert answer.text.startswith("Команда пришла с опозданием") is late
        assert len(executor.done) == (0 if late else 1)
    finally:
        await running.close()


LONG = "silence presale_checker 30m " + "очень длинная причина " * 8


@pytest.mark.parametrize("user", [OPERATOR, VIEWER])
async def test_somebody_else_runs_a_late_command_only_with_the_role_for_it(
    api: BotApi, pool: Pool, executor: Executor, running: Running, user: int
) -> None:
    await executor.alive()
    await executor.add("presale_checker", State.STOPPED, 5)
    api.say(ADMIN, f"/{LONG}", chat_id=GROUP, date=api.world.now() - 400)
    answer = await _told(api, GROUP)
    assert f"/{LONG.strip()}" in answer.text
    api.press(user, GROUP, answer.message_id, answer.buttons[0][1])
    told = await _told(api, GROUP, 2)
    if user == VIEWER:
        assert told.text == "Нужна роль «оператор», у вас «наблюдатель»."
        assert executor.done == []
    else:
        assert told.text.startswith("🔕 presale_checker: тишина на 30 мин")
        assert [command.actor for command in executor.done] == [f"telegram:{OPERATOR}"]


def test_the_stand_in_sends_what_telegram_would() -> None:
    """Forwarded messages of the kinds that exist are updates to aiogram as well."""
    for kind in ("user", "hidden_user", "chat", "channel"):
        message = {"message_id": 1, "date": 1, "chat": CHANNEL, "forward_origin": ORIGINS[kind]}
        assert Update.model_validate({"update_id": 1, "message": message}).message is not None
