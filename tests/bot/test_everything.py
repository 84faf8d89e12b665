"""Each command and button, in both languages, in every role and none, from private chat, group and topic.

One file a command or button and language in `snapshots/everything`: first what an admin gets in private, then
everybody else's answer where it differs. Who gets which answer does not depend on the language: in Russian
everybody plays in two places or three, in English those whose texts differ. "Anywhere": in all of these.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest

from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor_bot import router
from dozor_bot.commands import COMMANDS, Argument
from dozor_bot.handlers.table import COMMAND_HANDLERS, PRESSES
from tests.bot import scenery
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, FORUM, GROUP, OPERATOR, STRANGER, TOPIC, VIEWER, Running, build
from tests.bot.executor import Executor
from tests.bot.transcript import check_snapshot
from tests.bot.witness import Witness

ROLES = {"admin": ADMIN, "operator": OPERATOR, "viewer": VIEWER, "nobody": STRANGER}
PLACES: dict[str, tuple[int | None, int | None]] = {
    "private": (None, None),
    "group": (GROUP, None),
    "topic": (FORUM, TOPIC),
}
PLAYERS = {
    Language.RU: {
        "admin": ("private", "group", "topic"),
        "operator": ("private", "group"),
        "viewer": ("private", "topic"),
        "nobody": ("private", "group"),
    },
    Language.EN: {
        "admin": ("private", "group"),
        "operator": ("group",),
        "viewer": ("private",),
        "nobody": ("private",),
    },
}
PERIOD = {Argument.NAME_AND_PERIOD: " 7d"}
TEXTS = {
    spec.name: [f"/{spec.name}"]
    + ([f"/{spec.name} {scenery.BROKEN}{PERIOD.get(spec.argument, '')}"] if spec.argument else [])
    for spec in COMMANDS
}
TEXTS["resume"][1] = f"/resume {scenery.PAUSED}"
TEXTS["run"][1] = f"/run {scenery.WELL}"
TEXTS["code"] = ["/code", "/code 123456"]
TEXTS["ack"] = ["/ack", "/ack 2", "/ack #3", "/ack 999", "/ack it"]
TEXTS["why"] = ["/why", "/why 2", "/why #1", "/why 999", "/why it"]
TEXTS["silence"] = [
    "/silence",
    f"/silence {scenery.BROKEN}",
    f"/silence {scenery.BROKEN} 1h deploy",
    "/silence all 30m",
    "/silence all soon",
    "/silence nowhere 1h",
]
TEXTS["unsilence"] = ["/unsilence", f"/unsilence {scenery.BROKEN}", "/unsilence all"]
TEXTS["oncall"] = ["/oncall", "/oncall swap олег", "/oncall Олег 4h", "/oncall nobody"]
TEXTS["help"] += ["/start", "/weather", "привет"]
DATA = {
    "again": [
        f"m:again:status {scenery.BROKEN}",
        "m:again:silence all 30m",
        "m:again:#0123",
        "m:again:fly x",
    ],
    "status": [f"m:status:{scenery.BROKEN}", "m:status:gone"],
    "list": ["m:list.0a:-", "m:list.0f:-", "m:list.99a:-"],
    "restart": [f"m:restart:{scenery.BROKEN}", f"a:restart:{scenery.BROKEN}"],
    "pause": [f"m:pause:{scenery.WELL}"],
    "resume": [f"m:resume:{scenery.PAUSED}"],
    "run-now": [f"m:run-now:{scenery.WELL}"],
    "many": ["m:many.restart:-", "m:many.resume:-", "m:many.nonsense:-"],
    "yes": ["m:yes:0123456789abcdef"],
    "no": ["m:no:0123456789abcdef"],
    "errors": [f"m:errors:{scenery.BROKEN}"],
    "history": [f"m:history:{scenery.BROKEN}", f"m:history.1:{scenery.BROKEN}"],
    "trace": ["m:trace:1-5", "m:trace:9-9"],
    "chart": [f"m:chart.30d:{scenery.BROKEN}"],
    "incidents": ["m:incidents.0:-"],
    "audit": ["m:audit.0:-"],
    "ack": ["a:ack:2", "m:ack:2", "a:ack:3", "a:ack:999"],
    "unack": ["a:unack:3", "m:unack:3"],
    "silence": [f"m:silence:{scenery.BROKEN}", f"m:silence.4h:{scenery.BROKEN}", "m:silence.1d:all"],
    "silence-1h": ["a:silence-1h:2"],
    "silence-4h": ["a:silence-4h:2"],
    "silence-until": ["a:silence-until:2", "m:silence-until:2"],
    "unsilence": [f"m:unsilence:{scenery.BROKEN}", "m:unsilence:kind:overdue"],
    "unsilence-incident": ["a:unsilence-incident:2", "m:unsilence-incident:2"],
    "oncall": ["m:oncall:Олег"],
    "traceback": ["a:traceback:2", "a:traceback:999", "a:traceback:x"],
    "storm": ["a:storm:4", "m:storm.1:4"],
    "why": ["m:why:-", "m:why:2", "m:why.1:2", "m:why.99:2", "a:why:2", "m:why:999", "m:why:x"],
    "unknown": ["m:drop-tables:x", "nonsense"],
}


def test_nothing_is_left_out() -> None:
    assert set(TEXTS) == set(COMMAND_HANDLERS)
    assert set(DATA) == {*PRESSES, "unknown"}


pytestmark = pytest.mark.usefixtures("no_drawing")


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("command", sorted(TEXTS))
async def test_command(api: BotApi, pool: Pool, executor: Executor, language: Language, command: str) -> None:
    async def say(text: str, user: int, place: str) -> int:
        chat_id, thread_id = PLACES[place]
        return api.say(user, text, chat_id=chat_id, thread_id=thread_id)

    await _play(api, pool, executor, language, TEXTS[command], say, f"everything/{command}.{language}")


@pytest.fixture(autouse=True)
def patient_limiter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each person does more here, and faster, than the limiter lets people do."""
    monkeypatch.setattr(router, "BURST", 1000)


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("action", sorted(DATA))
async def test_button(api: BotApi, pool: Pool, executor: Executor, language: Language, action: str) -> None:
    async def press(data: str, user: int, place: str) -> int:
        chat_id, thread_id = PLACES[place]
        chat = api.world.chats[user if chat_id is None else chat_id]
        markup = {"inline_keyboard": [[{"text": "x", "callback_data": data}]]}
        under = api.world.store(chat, api.world.bot, "menu", markup=markup, thread_id=thread_id)
        return api.press(user, chat.id, under.message_id, data)

    await _play(api, pool, executor, language, DATA[action], press, f"everything/button-{action}.{language}")


async def _play(
    api: BotApi,
    pool: Pool,
    executor: Executor,
    language: Language,
    inputs: list[str],
    act: Callable[[str, int, str], Awaitable[int]],
    name: str,
) -> None:
    await scenery.set_scene(pool, executor)
    running = Running(build(api, pool, language))
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")))
    witness, parts = Witness(api, running), []
    try:
        for text in inputs:
            seen: dict[tuple[str, str], str] = {}
            for role, place in _players(language):
                await scenery.reset(pool)
                since, done = len(api.calls), len(executor.done)
                told = await witness.after(await act(text, ROLES[role], place), since)
                effects = [f"\n    ! {command.name} {command.task}" for command in executor.done[done:]]
                seen[role, place] = told + "".join(effects)
            parts.append(f"> {text}\n{_table(seen, language)}")
    finally:
        await running.close()
    check_snapshot(name, "\n\n".join(parts) + "\n")


def _players(language: Language) -> list[tuple[str, str]]:
    return [(role, place) for role, places in PLAYERS[language].items() for place in places]


def _table(seen: dict[tuple[str, str], str], language: Language) -> str:
    """The first answer in full; each other one once, with those who get it."""
    groups: dict[str, list[str]] = {}
    for (role, place), answer in seen.items():
        groups.setdefault(answer, []).append(f"{role} in {place}")
    return "\n".join(f"  # {_people(people, language)}\n{answer}" for answer, people in groups.items())


def _people(people: list[str], language: Language) -> str:
    text = ", ".join(people)
    for role, places in PLAYERS[language].items():
        text = text.replace(", ".join(f"{role} in {place}" for place in places), f"{role} anywhere")
    return re.sub(r"(\w+) in group, \1 in topic", r"\1 in group or topic", text)
