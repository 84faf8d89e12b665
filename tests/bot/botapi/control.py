"""Steering a stand-in in another process: `/_control/...` and a client for it.

POST /_control/say      {"user_id", "text", "chat_id"?, "thread_id"?, "date"?}
POST /_control/press    {"user_id", "chat_id", "message_id", "data"}
POST /_control/user     {"id", "first_name", "username"?, "language_code"?}
POST /_control/chat     {"id", "type", "title"?, "is_forum"?, "topics"?: {"17": true}, "migrated_to"?, …}
POST /_control/fault    the fields of `faults.Fault`
POST /_control/clear    forget the scripted faults
POST /_control/pace     {} or the fields of `pace.Limits`
GET  /_control/calls?since=N    the log of calls from the N-th on
GET  /_control/messages?chat_id=N   the bot's messages: text, buttons, history
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.model import Json, StoredMessage
from tests.bot.botapi.pace import Limits
from tests.bot.botapi.server import BotApi
from tests.waiting import stretched


def describe(message: StoredMessage) -> Json:
    return {
        "chat_id": message.chat.id,
        "message_id": message.message_id,
        "date": message.date,
        "text": message.text,
        "buttons": message.buttons,
        "thread_id": message.thread_id,
        "reply_to": message.reply_to,
        "silent": message.silent,
        "history": message.history,
    }


def add_control(api: BotApi, app: web.Application) -> None:
    """Mount the control endpoints."""

    async def say(body: Json) -> Any:
        return api.say(body.pop("user_id"), body.pop("text"), **body)

    async def press(body: Json) -> Any:
        return api.press(**body)

    async def user(body: Json) -> Any:
        api.world.add_user(body.pop("id"), body.pop("first_name"), **body)

    async def chat(body: Json) -> Any:
        body["topics"] = {int(key): value for key, value in body.get("topics", {}).items()}
        known = api.world.chats.get(body["id"])
        if known is None:
            api.world.add_chat(body.pop("id"), body.pop("type"), **body)
        else:
            for key, value in body.items():
                setattr(known, key, value)

    async def fault(body: Json) -> Any:
        api.fail(FaultKind(body.pop("kind")), **body)

    async def clear(body: Json) -> Any:
        api.faults.clear()

    async def pace(body: Json) -> Any:
        api.keep_pace(Limits(**body))

    def post(handler: Callable[[Json], Any]) -> Callable[[web.Request], Any]:
        async def serve(request: web.Request) -> web.Response:
            result = await handler(await request.json() if request.can_read_body else {})
            api.notify()
            return web.json_response({"result": result})

        return serve

    async def calls(request: web.Request) -> web.Response:
        since = int(request.query.get("since", 0))
        return web.json_response([call.to_json() for call in api.calls[since:]])

    async def messages(request: web.Request) -> web.Response:
        chat_id = request.query.get("chat_id")
        sent = api.world.sent(None if chat_id is None else int(chat_id))
        return web.json_response([describe(message) for message in sent])

    for handler in (say, press, user, chat, fault, clear, pace):
        app.router.add_post(f"/_control/{handler.__name__}", post(handler))
    app.router.add_get("/_control/calls", calls)
    app.router.add_get("/_control/messages", messages)


class ControlClient:
    """For tests that start the stand-in, or the runner, as another process."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ControlClient:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def post(self, what: str, **body: Any) -> Any:
        assert self._session is not None
        async with self._session.post(f"{self.url}/_control/{what}", json=body) as answer:
            answer.raise_for_status()
            return (await answer.json())["result"]

    async def get(self, what: str, **query: Any) -> list[Json]:
        assert self._session is not None
        async with self._session.get(f"{self.url}/_control/{what}", params=query) as answer:
            answer.raise_for_status()
            body: list[Json] = await answer.json()
            return body

    async def wait_messages(
        self, condition: Callable[[list[Json]], bool], *, timeout: float = 10.0, **query: Any
    ) -> list[Json]:
        """The bot's messages once `condition` holds for them; TimeoutError with what there was."""
        deadline = time.monotonic() + stretched(timeout)
        while True:
            messages = await self.get("messages", **query)
            if condition(messages):
                return messages
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout} s in vain; messages: {messages}")
            await asyncio.sleep(0.03)
