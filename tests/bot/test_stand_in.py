"""The stand-in itself: it refuses what Telegram refuses, and its faults do what they say."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
import pytest

from tests.bot.botapi.control import ControlClient
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.pace import Limits
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, FORUM, GROUP, TOPIC


async def _call(api: BotApi, method: str, token: str | None = None, **params: Any) -> tuple[int, Any]:
    form = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{api.url}/bot{token or api.token}/{method}", data=form) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def _refused(api: BotApi, method: str, status: int, words: str, **params: Any) -> None:
    got, body = await _call(api, method, **params)
    assert (got, body["ok"]) == (status, False)
    assert words in body["description"]


async def test_it_refuses_what_telegram_refuses(api: BotApi) -> None:
    await _refused(api, "sendCarrierPigeon", 404, "method not found")
    await _refused(api, "getMe", 401, "Unauthorized", token="42:other")
    await _refused(api, "getMe", 404, "Not Found", token="nonsense")
    await _refused(api, "sendMessage", 400, "chat_id is required", text="x")
    await _refused(api, "sendMessage", 400, "message text is empty", chat_id=GROUP, text=" \n")
    await _refused(api, "sendMessage", 400, "message is too long", chat_id=GROUP, text="x" * 4097)
    await _refused(api, "sendMessage", 400, "chat not found", chat_id=5, text="x")
    await _refused(
        api, "sendMessage", 400, "message thread not found", chat_id=FORUM, text="x", message_thread_id=1
    )
    await _refused(api, "sendMessage", 400, "TOPIC_CLOSED", chat_id=FORUM, text="x", message_thread_id=18)


async def test_it_checks_entities_in_utf16_units(api: BotApi) -> None:
    def bold(offset: int, length: int) -> list[dict[str, Any]]:
        return [{"type": "bold", "offset": offset, "length": length}]

    assert (await _call(api, "sendMessage", chat_id=GROUP, text="🦊a", entities=bold(2, 1)))[0] == 200
    await _refused(
        api, "sendMessage", 400, "can't parse entities", chat_id=GROUP, text="🦊a", entities=bold(1, 1)
    )
    await _refused(
        api, "sendMessage", 400, "can't parse entities", chat_id=GROUP, text="🦊a", entities=bold(2, 2)
    )


async def test_it_checks_button_data_in_bytes(api: BotApi) -> None:
    def message(data: str) -> dict[str, Any]:
        keyboard = {"inline_keyboard": [[{"text": "b", "callback_data": data}]]}
        return {"chat_id": GROUP, "text": "x", "reply_markup": keyboard}

    assert (await _call(api, "sendMessage", **message("x" * 64)))[0] == 200
    await _refused(api, "sendMessage", 400, "BUTTON_DATA_INVALID", **message("ж" * 33))


async def test_an_edit_that_changes_nothing_is_refused(api: BotApi) -> None:
    _, sent = await _call(api, "sendMessage", chat_id=GROUP, text="x")
    message_id = sent["result"]["message_id"]
    await _refused(
        api, "editMessageText", 400, "message is not modified", chat_id=GROUP, message_id=message_id, text="x"
    )
    assert (await _call(api, "editMessageText", chat_id=GROUP, message_id=message_id, text="y"))[0] == 200
    assert api.world.messages[GROUP, message_id].history == ["x", "y"]
    await _refused(
        api, "editMessageText", 400, "message to edit not found", chat_id=GROUP, message_id=999, text="y"
    )


async def test_a_stale_press_cannot_be_answered(api: BotApi) -> None:
    _, sent = await _call(api, "sendMessage", chat_id=GROUP, text="x")
    api.press(ADMIN, GROUP, sent["result"]["message_id"], "data")
    callback_id = api.world.updates[-1]["callback_query"]["id"]
    assert (await _call(api, "answerCallbackQuery", callback_query_id=callback_id))[0] == 200
    api.methods.callback_fresh_for = -1
    await _refused(api, "answerCallbackQuery", 400, "query is too old", callback_query_id=callback_id)


async def test_updates_come_again_until_they_are_confirmed(api: BotApi) -> None:
    first, second = api.say(ADMIN, "/status"), api.say(ADMIN, "/help")
    for _ in range(2):
        _, body = await _call(api, "getUpdates")
        assert [update["update_id"] for update in body["result"]] == [first, second]
    _, body = await _call(api, "getUpdates", offset=first + 1)
    assert [update["update_id"] for update in body["result"]] == [second]


async def test_a_long_poll_ends_when_something_comes(api: BotApi) -> None:
    poll = asyncio.create_task(_call(api, "getUpdates", timeout=30))
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")))
    api.say(ADMIN, "/status")
    status, body = await asyncio.wait_for(poll, 5)
    assert (status, len(body["result"])) == (200, 1)


async def test_of_two_pollers_the_first_is_ended_with_409(api: BotApi) -> None:
    first = asyncio.create_task(_call(api, "getUpdates", timeout=30))
    await api.wait_until(lambda: len(api.calls_of("getUpdates")) == 1)
    second = asyncio.create_task(_call(api, "getUpdates", timeout=30))
    status, body = await asyncio.wait_for(first, 5)
    assert (status, body["description"][:8]) == (409, "Conflict")
    api.say(ADMIN, "/status")
    assert (await second)[0] == 200
    await _call(api, "setWebhook", url="https://x")
    assert (await _call(api, "getUpdates"))[0] == 409


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (FaultKind.RESET, 0),
        (FaultKind.CUT_AFTER_ACCEPT, 1),
        (FaultKind.HALF_BODY, 1),
        (FaultKind.HANG, 0),
        (FaultKind.HANG_AFTER_ACCEPT, 1),
    ],
)
async def test_faults_on_the_wire(api: BotApi, kind: FaultKind, stored: int) -> None:
    api.fail(kind, method="sendMessage", seconds=0.1)
    with pytest.raises(aiohttp.ClientError):
        await _call(api, "sendMessage", chat_id=GROUP, text="x")
    assert len(api.world.sent(GROUP)) == stored
    assert (await _call(api, "sendMessage", chat_id=GROUP, text="x"))[0] == 200


async def test_faults_that_answer(api: BotApi) -> None:
    api.fail(FaultKind.RETRY_AFTER, chat_id=GROUP, seconds=7)
    assert (await _call(api, "sendMessage", chat_id=ADMIN, text="another chat"))[0] == 200
    status, body = await _call(api, "sendMessage", chat_id=GROUP, text="x")
    assert (status, body["parameters"]) == (429, {"retry_after": 7})
    api.fail(FaultKind.HALF_JSON)
    with pytest.raises(json.JSONDecodeError):
        await _call(api, "sendMessage", chat_id=GROUP, text="x")


async def test_it_keeps_telegrams_pace(api: BotApi) -> None:
    api.keep_pace(Limits(chat_rate=0.1, chat_burst=2))
    statuses = [(await _call(api, "sendMessage", chat_id=GROUP, text="x"))[0] for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (await _call(api, "sendMessage", chat_id=FORUM, text="x", message_thread_id=TOPIC))[0] == 200


async def test_a_group_that_moved_says_where_to(api: BotApi) -> None:
    api.world.chats[GROUP].migrated_to = FORUM
    status, body = await _call(api, "sendMessage", chat_id=GROUP, text="x")
    assert (status, body["parameters"]) == (400, {"migrate_to_chat_id": FORUM})


async def test_stopped_it_refuses_connections_and_comes_back_on_its_port(api: BotApi) -> None:
    port = api.port
    await api.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await _call(api, "getMe")
    await api.start()
    assert api.port == port
    assert (await _call(api, "getMe"))[0] == 200


async def test_as_a_process_of_its_own_it_is_steered_over_http() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bot.botapi", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()
    try:
        async with ControlClient(url) as control, aiohttp.ClientSession() as session:
            await control.post("user", id=ADMIN, first_name="Anna")
            await control.post("chat", id=GROUP, type="group", title="On call")
            await control.post("fault", kind="kicked", method="sendMessage")
            form = {"chat_id": str(GROUP), "text": "x"}
            for status in (403, 200):
                async with session.post(f"{url}/bot42:stand-in-token/sendMessage", data=form) as answer:
                    assert answer.status == status
            [message] = await control.wait_messages(lambda found: len(found) == 1, chat_id=GROUP)
            update_id = await control.post(
                "press", user_id=ADMIN, chat_id=GROUP, message_id=message["message_id"], data="d"
            )
            assert update_id >= 1000
            assert [call["status"] for call in await control.get("calls")] == [403, 200]
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
