"""Telegram besieged: the Bot API stand-in in a process of its own, with its pace, in the plan's weather."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bot.botapi.refusal import Refusal
from tests.bot.botapi.server import BotApi, Call
from tests.siege.haste import Haste
from tests.siege.places import ANN, FORUM, GROUP, OTHER_HOME, SECOND_TOPIC, TOPIC
from tests.siege.plan import Moment, Plan
from tests.siege.processes import Board, Cell
from tests.siege.weather import Weather

TOKEN = "8214467301:AAHq-Systemtests-0nly-NotARealOne_42"
KILLED = "the runner was killed"
PULSE = 1.0
STALLED = 2.0
"""Seconds: between two beats, and lateness of a beat that counts."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A text as it came into a chat. `at`: fast seconds since the epoch. `fault`: what came after."""

    at: float
    chat: int
    thread: int | None
    message: int
    text: str
    edit: bool
    reply_to: int | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call that the stand-in's own pace let pass, or not."""

    at: float
    chat: int
    admitted: bool


@dataclass(slots=True)
class Seen:
    """What the stand-in has seen."""

    shown: list[Shown] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    stalls: list[tuple[float, float]] = field(default_factory=list)
    """When the machine did not let it run: until when it had meant to wait, and until when it did."""
    strays: list[str] = field(default_factory=list)
    """Edits of messages that are in another chat, and replies to such."""


class Siegeworks:
    """Stands around the stand-in's methods: records what they do, and kills the runner in the middle."""

    def __init__(self, api: BotApi, haste: Haste, board: Board) -> None:
        self._api, self._haste, self._board = api, haste, board
        self.seen = Seen()
        self.armed: list[Moment] = []
        """Deaths whose moment is the next call."""
        for name, edit in (("sendMessage", False), ("editMessageText", True)):
            api.methods.table[name] = self._around(api.methods.table[name], edit=edit)

    def _around(
        self, method: Callable[[dict[str, Any]], Any], *, edit: bool
    ) -> Callable[[dict[str, Any]], Any]:
        def carry_out(params: dict[str, Any]) -> Any:
            at, chat = self._haste.now(), int(params["chat_id"])
            call = next(one for one in reversed(self._api.calls) if one.params is params)
            self._look_for_strays(chat, params)
            if self.armed and self.armed[0] is Moment.BEFORE_CARRIED_OUT:
                self._kill(call)
                raise Refusal(500, KILLED)
            try:
                result = method(params)
            except Refusal as refusal:
                if refusal.status == 429:
                    self.seen.attempts.append(Attempt(at, chat, admitted=False))
                raise
            if self.armed:
                self._kill(call)
            self.seen.attempts.append(Attempt(at, chat, admitted=True))
            shown = self._api.world.messages[chat, result["message_id"]]
            self.seen.shown.append(
                Shown(
                    at, chat, shown.thread_id, shown.message_id, shown.text, edit, shown.reply_to, call.fault
                )
            )
            return result

        return carry_out

    def _look_for_strays(self, chat: int, params: dict[str, Any]) -> None:
        """Ids grow over all chats here, so one that is not found in its chat is of another place."""
        for use, number in (
            ("edited", params.get("message_id")),
            ("replied to", (params.get("reply_parameters") or {}).get("message_id")),
        ):
            if number is not None and (chat, int(number)) not in self._api.world.messages:
                header = str(params.get("text", "")).partition("\n")[0]
                self.seen.strays.append(f"message {number} of another chat {use} in {chat}: {header}")

    def _kill(self, call: Call) -> None:
        """The runner never sees the answer."""
        self.armed.pop(0)
        runner = self._board[Cell.RUNNER]
        if runner:
            call.fault = KILLED
            os.kill(runner, signal.SIGKILL)


def serve(haste: Haste, plan: Plan, board: Board, file: Path) -> None:
    """The whole life of the process: until SIGTERM; then what was seen goes into `file`."""
    file.write_bytes(pickle.dumps(haste.run(_serve(haste, plan, board))))


async def _serve(haste: Haste, plan: Plan, board: Board) -> Seen:
    loop = asyncio.get_running_loop()
    api = BotApi(token=TOKEN, now=haste.now, steady=loop.time)
    api.world.add_user(ANN, "Анна")
    api.world.add_chat(
        FORUM, "supergroup", "Дежурные", is_forum=True, topics={TOPIC: True, SECOND_TOPIC: True}
    )
    api.world.add_chat(OTHER_HOME, "supergroup", "Другие дежурные", is_forum=True, topics={TOPIC: True})
    api.world.add_chat(GROUP, "group", "Громкие")
    api.keep_pace()
    works = Siegeworks(api, haste, board)
    weather = Weather(api, haste, works.armed)
    end = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, end.set)
    gc.disable()  # it would look at every call there has been
    pulse = asyncio.create_task(_pulse(haste, works.seen))
    async with api:
        board[Cell.PORT] = api.port
        playing = asyncio.create_task(weather.play(plan))
        await end.wait()
        for task in (playing, pulse):
            task.cancel()
        await asyncio.gather(playing, pulse, return_exceptions=True)
    works.seen.faults.update(call.fault for call in api.calls if call.fault is not None)
    works.seen.faults.update(weather.spells)
    return works.seen


async def _pulse(haste: Haste, seen: Seen) -> None:
    while True:
        due = haste.now() + PULSE
        await asyncio.sleep(PULSE)
        if (now := haste.now()) - due > STALLED:
            seen.stalls.append((due, now))
