"""`/whoami`, and the bot's first word in a group: ids for the configuration, to an admin alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, FORUM, GROUP, OPERATOR, TOPIC, Running, build, on_the_loop


@on_the_loop()
async def running(api: BotApi, pool: Pool) -> AsyncIterator[Running]:
    running = Running(build(api, pool, Language.EN))
    yield running
    await running.close()


def _texts(api: BotApi, chat: int) -> list[str]:
    return [message.text for message in api.world.sent(chat)]


async def test_an_admin_learns_the_ids_of_chat_and_topic(api: BotApi, running: Running) -> None:
    api.say(ADMIN, "/whoami", chat_id=GROUP)
    await api.wait_until(lambda: len(_texts(api, GROUP)) == 1)
    assert f"chat: {GROUP}" in _texts(api, GROUP)[0]
    api.say(ADMIN, "/whoami", chat_id=FORUM, thread_id=TOPIC)
    await api.wait_until(lambda: len(_texts(api, FORUM)) == 1)
    assert f'chat: "{FORUM}:{TOPIC}"' in _texts(api, FORUM)[0]
    api.say(OPERATOR, "/whoami", chat_id=GROUP)
    await api.wait_until(lambda: len(_texts(api, GROUP)) == 2)
    assert "chat:" not in _texts(api, GROUP)[1]
    api.say(ADMIN, "/whoami")
    await api.wait_until(lambda: len(_texts(api, ADMIN)) == 1)
    assert "chat:" not in _texts(api, ADMIN)[0]


async def test_added_to_a_group_it_says_the_id_to_an_admin_and_nothing_to_others(
    api: BotApi, running: Running
) -> None:
    def add(user: int, **more: object) -> None:
        message = api.world.store(api.world.chats[GROUP], api.world.users[user], "").to_json()
        message.pop("text", None)
        api.world.push({"message": {**message, **more}})
        api.notify()

    me = api.world.bot.to_json()
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")))
    api.world.add_user(999, "Stranger")
    add(999, new_chat_members=[me])
    add(ADMIN, new_chat_members=[api.world.users[999].to_json()])
    add(ADMIN, new_chat_members=[me])
    await api.wait_until(lambda: len(_texts(api, GROUP)) == 1)
    add(ADMIN, group_chat_created=True)
    await api.wait_until(lambda: len(_texts(api, GROUP)) == 2)
    assert all(f"chat: {GROUP}" in text for text in _texts(api, GROUP))
