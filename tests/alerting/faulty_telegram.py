"""A Bot API on a bad day, in virtual time: several chats and bots, refusals, hangs, lost answers, kill -9s.

It answers the runner's own `TelegramTransport` with aiogram's errors, by the model of the stand-in: a reply
lands in the topic of what it replies to, message ids belong to a chat, a topic can be closed or deleted.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from aiogram import Bot
from aiogram.methods import TelegramMethod

from dozor.alerting.delivery.transport import Place
from dozor.language import Translator
from dozor_bot.telegram.session import NoAnswerError, Session
from dozor_bot.telegram.transport import TelegramTransport
from tests.alerting.story import ManualClock
from tests.bot.botapi.methods import Methods
from tests.bot.botapi.model import User, World
from tests.bot.botapi.pace import Limits, Pace
from tests.bot.botapi.refusal import Refusal, forbidden, too_many_requests

BOTS = (42, 43)
TOPICS = (17, 18)
FORUM, OTHER_FORUM, GROUP = -100, -200, -300
"""GROUP becomes a supergroup, again and again."""
PLACES = ((FORUM, 17), (FORUM, 18), (OTHER_FORUM, 17), (GROUP, 0))
"""Chats and threads that a runner is configured for; 0: the chat itself."""

SPELLS = ("429", "429 of minutes", "5xx", "kicked", "hang", "cut", "topic closed", "topic deleted")
"""For 5 to 300 seconds; a 429 of minutes for as long as it says."""
SINGLE = ("429", "5xx", "hang", "cut", "moved", "die", "die after")


class DiedError(BaseException):
    """kill -9 between a send and its settling."""


@dataclass
class Shown:
    """A message: when each of its texts came, the first one first."""

    chat: int
    thread: int | None
    bot: int
    texts: list[tuple[float, str]]


@dataclass(frozen=True)
class Change:
    """From `at` on (seconds) messages belong in this place. `thread`: None for the chat itself."""

    at: float
    chat: int
    thread: int | None
    bot: int


@dataclass
class FaultyTelegram:
    """`calm`: no more faults. `stray`: uses of message ids that belong to another place."""

    clock: ManualClock
    luck: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    messages: dict[tuple[int, int], Shown] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    too_fast: int = 0
    bad: str = ""
    bad_until: float = 0.0
    calm: bool = False

    def __post_init__(self) -> None:
        self.world = World(f"{BOTS[0]}:x", self.clock.now)
        self._bots = {number: User(number, "Dozor", is_bot=True) for number in BOTS}
        for forum in (FORUM, OTHER_FORUM):
            self.world.add_chat(forum, "supergroup", is_forum=True, topics=dict.fromkeys(TOPICS, True))
        self.world.add_chat(GROUP, "group")
        self._methods = Methods(self.world)
        self._methods.pace = Pace(Limits(), self.clock.now)
        self._session = Session("http://127.0.0.1")  # only to read answers
        self._next_chat = GROUP - 1
        self.place = Place(*PLACES[0], BOTS[0])

    # -- what the campaign does

    def configure(self, place: Place) -> None:
        """From now on the runner is configured for `place`."""
        self.place = place
        self._changed(self._present(place.chat_id))

    def transport(self) -> TelegramTransport:
        """Of a new process."""
        bot = cast(Bot, _CampaignBot(self, self.place.bot_id or BOTS[0]))
        return TelegramTransport(bot, self.place.chat_id, self.place.thread_id or None, Translator("ru"))

    def clear_up(self) -> None:
        """All is well from now on."""
        self._end_spell()
        self.calm = True

    # -- calls

    def call(self, method: TelegramMethod[Any], bot: int) -> Any:
        """Raises aiogram's errors, and DiedError."""
        params = method.model_dump(exclude_none=True)
        self.world.bot = self._bots[bot]
        self._look_for_strays(params)
        kind = self._fault()
        if kind == "moved" and not self._can_migrate(params["chat_id"]):
            kind = ""
        if kind:
            self.faults[kind] += 1
        match kind:
            case "429":
                self._refuse(method, too_many_requests(self.luck.randint(1, 40)))
            case "429 of minutes":
                seconds = max(1, math.ceil(self.bad_until - self.clock.at))
                self._refuse(method, too_many_requests(seconds))
            case "5xx":
                self._refuse(method, Refusal(502, "Bad Gateway"))
            case "kicked":
                self._refuse(method, forbidden("bot was kicked from the supergroup chat"))
            case "hang":
                raise NoAnswerError(method, "timed out")
            case "cut":
                self._carry_out_unseen(method, params)
                raise NoAnswerError(method, "connection broken")
            case "die":
                raise DiedError
            case "die after":
                self._carry_out_unseen(method, params)
                raise DiedError
            case "moved":
                self._migrate(params["chat_id"])
        return self._carry_out(method, params)

    def _carry_out(self, method: TelegramMethod[Any], params: dict[str, Any]) -> Any:
        try:
            result = self._methods.table[method.__api_method__](params)
        except Refusal as refusal:
            self.too_fast += refusal.status == 429
            self._refuse(method, refusal)
        key = (params["chat_id"], result["message_id"])
        stored = self.world.messages[key]
        if key not in self.messages:
            self.messages[key] = Shown(key[0], stored.thread_id, self.world.bot.id, [])
        self.messages[key].texts.append((self.clock.at, stored.text))
        return result

    def _carry_out_unseen(self, method: TelegramMethod[Any], params: dict[str, Any]) -> None:
        try:
            self._carry_out(method, params)
        except Exception:  # noqa: BLE001 -- whatever the answer was, nobody sees it
            return

    def _refuse(self, method: TelegramMethod[Any], refusal: Refusal) -> NoReturn:
        content = json.dumps(refusal.body())
        bot = cast(Bot, None)
        self._session.check_response(bot=bot, method=method, status_code=refusal.status, content=content)
        raise AssertionError(refusal)

    def _look_for_strays(self, params: dict[str, Any]) -> None:
        """An id is of the chat and of the bot that has sent the message."""
        chat = params["chat_id"]
        for use, number in (
            ("edited", params.get("message_id")),
            ("replied to", (params.get("reply_parameters") or {}).get("message_id")),
        ):
            if number is None:
                continue
            shown = self.messages.get((chat, number))
            if shown is None or shown.bot != self.world.bot.id:
                text = str(params.get("text", "")).partition("\n")[0]
                self.stray.append(f"message {number} of another place {use} in {chat}: {text}")

    # -- faults

    def _fault(self) -> str:
        """What becomes of this call; "": all is well."""
        if self.calm:
            return ""
        now = self.clock.at
        if self.bad and now >= self.bad_until:
            self._end_spell()
        if not self.bad and self.luck.random() < 0.01:
            self._begin_spell(self.luck.choice(SPELLS))
        if self.bad.startswith("topic"):
            return ""  # the model refuses
        if self.bad:
            return self.bad
        return self.luck.choice(SINGLE) if self.luck.random() < 0.1 else ""

    def _begin_spell(self, kind: str) -> None:
        self.bad = kind
        lasts = self.luck.uniform(120, 900) if kind == "429 of minutes" else self.luck.uniform(5, 300)
        self.bad_until = self.clock.at + lasts
        if not kind.startswith("topic"):
            return
        self.faults[kind] += 1
        for forum in (FORUM, OTHER_FORUM):
            topics = self.world.chats[forum].topics
            for thread in TOPICS:
                if kind == "topic closed":
                    topics[thread] = False
                else:
                    del topics[thread]
        if kind == "topic deleted":
            for key in [key for key, one in self.world.messages.items() if one.thread_id in TOPICS]:
                del self.world.messages[key]

    def _end_spell(self) -> None:
        self.bad, self.bad_until = "", 0.0
        for forum in (FORUM, OTHER_FORUM):
            self.world.chats[forum].topics.update(dict.fromkeys(TOPICS, True))

    def _migrate(self, chat_id: int) -> None:
        """The group has become a supergroup."""
        new = self._next_chat
        self._next_chat -= 1
        self.world.add_chat(new, "supergroup")
        self.world.chats[chat_id].migrated_to = new
        self._changed(new)

    def _can_migrate(self, chat_id: int) -> bool:
        chat = self.world.chats[chat_id]
        return not chat.is_forum and chat.migrated_to is None

    def _present(self, chat_id: int) -> int:
        while (new := self.world.chats[chat_id].migrated_to) is not None:
            chat_id = new
        return chat_id

    def _changed(self, chat_id: int) -> None:
        bot = self.place.bot_id or BOTS[0]
        self.changes.append(Change(self.clock.at, chat_id, self.place.thread_id or None, bot))


class _CampaignBot:
    """What `TelegramTransport` uses of aiogram's Bot."""

    def __init__(self, telegram: FaultyTelegram, number: int) -> None:
        self._telegram, self.id = telegram, number

    async def __call__(self, method: TelegramMethod[Any], request_timeout: int | None = None) -> Any:
        return self._telegram.call(method, self.id)
