"""Whatever an update holds, it is passed over or answered, and the updates behind it are handled.

20 batches, 60 in `make soak`; `DOZOR_EXAMPLES=2000` for the whole campaign.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dozor.alerting.rendering.callback_data import Origin, decode, encode
from dozor_bot import router
from dozor_bot.telegram.incoming import Json, UnreadableUpdateError, chat_of, read_update
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, FORUM, GROUP, OPERATOR, STRANGER, TOPIC, VIEWER, Running
from tests.bot.executor import Executor
from tests.effort import cases
from tests.waiting import until

EXAMPLES = cases(20, 60, variable="DOZOR_EXAMPLES")
SETTINGS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, ADMIN, GROUP, 2**31, 2**63, -(2**63) - 1, 10**400, float("inf"), float("nan")]),
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["/status", "/restart all", "/ack -1", "/silence x 1h", "\x00", "\ud800", "/why 9" + "9" * 30,
         "/history\n\n", "/start@", "a:restart:x", "m:list.0a:-", "x" * 5000, "private", "channel"]
    ),
)  # fmt: skip
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
PERSON = {"id": ADMIN, "is_bot": False, "first_name": "Анна", "username": "ann", "language_code": "ru"}
CHAT = {"id": GROUP, "type": "group", "title": "Дежурные"}
MARKUP = {"inline_keyboard": [[{"text": "x", "callback_data": "m:list.0a:-"}]]}
MESSAGE = {"message_id": 5, "date": 1_790_000_000, "chat": CHAT, "from": PERSON, "text": "/status"}
BASES: list[Json] = [
    {"message": MESSAGE},
    {"message": {**MESSAGE, "chat": {"id": ADMIN, "type": "private"}, "text": "words"}},
    {"message": {**MESSAGE, "from": {**PERSON, "id": STRANGER}}},
    {"message": {**MESSAGE, "from": {**PERSON, "id": OPERATOR}, "text": "/history presale_checker"}},
    {
        "message": {
            **MESSAGE,
            "chat": {"id": FORUM, "type": "supergroup", "title": "x", "is_forum": True},
            "message_thread_id": TOPIC,
            "is_topic_message": True,
            "reply_to_message": MESSAGE,
            "forward_origin": {"type": "user", "sender_user": PERSON, "date": 1},
        }
    },
    {"message": {**MESSAGE, "migrate_to_chat_id": -1001}},
    {"message": {**MESSAGE, "new_chat_members": [{**PERSON, "username": "OurDozorBot"}]}},
    {"channel_post": {**MESSAGE, "sender_chat": CHAT, "chat": {"id": -1, "type": "channel", "title": "c"}}},
    {
        "callback_query": {
            "id": "1",
            "from": PERSON,
            "chat_instance": "1",
            "data": "m:list.0a:-",
            "message": {**MESSAGE, "reply_markup": MARKUP},
        }
    },
    {
        "my_chat_member": {
            "chat": CHAT,
            "from": PERSON,
            "date": 1,
            "new_chat_member": {"status": "member", "user": PERSON},
        }
    },
]


def places(value: object, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every value within `value`."""
    found = [here] if here else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += places(inner, (*here, name))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*here, index))
    return found


@st.composite
def updates(draw: st.DrawFn) -> Json:
    """A valid update in which up to three values are replaced, missing, or joined by others."""
    update = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(0, 3))):
        found = places(update)
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        parent: Any = update
        for step in way:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "delete", "add"])):
            case "delete":
                del parent[last]
            case "add" if isinstance(parent, dict):
                parent["of_a_later_version"] = draw(JSON)
            case _:
                parent[last] = draw(JSON)
    return update


@SETTINGS
@given(update=st.one_of(updates(), st.dictionaries(st.sampled_from(["message", "callback_query"]), JSON)))
def test_an_update_is_read_or_named_unreadable(update: Json) -> None:
    update = {**update, "update_id": 7}
    chat_of(update)
    with contextlib.suppress(UnreadableUpdateError):
        read_update(update, "OurDozorBot")


@given(data=TEXTS)
def test_callback_data_of_nobody_is_nothing_and_ours_comes_back(data: str) -> None:
    found = decode(data)
    if found is not None:
        assert encode(found.origin, found.action, found.task) == data
    ours = decode(encode(Origin.MENU, "restart", data or "-"))
    assert ours is not None
    assert ours.task == (data or "-")


@pytest.fixture(autouse=True)
def without_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else most updates of a batch would be refused before they are handled."""
    monkeypatch.setattr(router, "BURST", 1e9)


@pytest.mark.timeout(120 + EXAMPLES)
async def test_no_update_makes_the_bot_deaf(api: BotApi, executor: Executor, running: Running) -> None:
    """Batches of updates over HTTP; after each the bot has gone past them, and it answers at the end."""
    loop = asyncio.get_running_loop()
    defects: list[BaseException] = []
    running.poller.on_defect = defects.append

    async def bring(batch: list[Json]) -> None:
        last = [api.world.push(update) for update in batch][-1]
        api.notify()
        await until(lambda: api.confirmed_up_to >= last or running.task.done())
        assert not running.task.done()
        assert defects == [], json.dumps(batch)

    @settings(SETTINGS, max_examples=EXAMPLES)
    @given(batch=st.lists(updates(), min_size=1, max_size=8))
    @example(batch=[{"message": {**MESSAGE, "of_a_later_version": float("inf")}}])
    def play(batch: list[Json]) -> None:
        asyncio.run_coroutine_threadsafe(bring(batch), loop).result(60)

    await asyncio.to_thread(play)
    await until(lambda: running.poller.answering == 0)
    since = len(api.calls)
    api.say(VIEWER, "/status")
    await api.wait_until(lambda: bool(_answers(api, since)), what="the answer")


def _answers(api: BotApi, since: int) -> list[str]:
    return [call.method for call in api.calls[since:] if call.method == "sendMessage"]
