"""Commands that are no plain message to this bot: under a photo, edited, addressed to another name."""

from __future__ import annotations

from typing import Any

import pytest

from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, GROUP, STRANGER, Running, build, on_the_loop
from tests.bot.executor import Executor
from tests.bot.scenery import BROKEN, set_scene

RESTART = f"/restart {BROKEN}"
RUN_NOW = {Language.RU: "▶️ Выполнить сейчас", Language.EN: "▶️ Run it now"}


async def _told(api: BotApi, chat: int, count: int = 1) -> StoredMessage:
    await api.wait_until(lambda: len(api.world.sent(chat)) >= count, what="the answer")
    return api.world.sent(chat)[count - 1]


async def _handled(api: BotApi, update_id: int) -> None:
    await api.wait_until(lambda: api.confirmed_up_to >= update_id, what="the confirmation")


@on_the_loop(params=list(Language))
async def spoken(request: pytest.FixtureRequest, api: BotApi, pool: Pool, executor: Executor) -> Any:
    """The language of a running bot, with tasks, incidents and a silence."""
    await set_scene(pool, executor)
    running = Running(build(api, pool, Language(request.param)))
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")), what="the first poll")
    yield Language(request.param)
    await running.close()


@pytest.mark.parametrize("chat", [ADMIN, GROUP])
async def test_a_command_under_a_photo_is_a_command(
    api: BotApi, executor: Executor, running: Running, chat: int
) -> None:
    await executor.alive()
    await executor.add(BROKEN, State.STOPPED, 5)
    photo = {"text": None, "caption": RESTART, "photo": [{"file_id": "p"}]}
    message = api.world.store(api.world.chats[chat], api.world.users[ADMIN], "")
    api.world.push({"message": message.to_json() | photo})
    api.notify()
    assert (await _told(api, chat)).text.startswith(f"🔄 {BROKEN} перезапущена")
    assert len(executor.done) == 1


EDITED = {
    Language.RU: "Команда не выполнена: её исправили после отправки."
    f" Если она нужна, нажмите кнопку, выполню сейчас:\n{RESTART}",
    Language.EN: "The command is not carried out: it was edited after it was sent."
    f" If it is meant, press the button and it runs now:\n{RESTART}",
}


async def test_an_edited_command_comes_with_a_button_that_runs_it(
    api: BotApi, executor: Executor, spoken: Language
) -> None:
    api.say(ADMIN, "/restart presail", chat_id=GROUP)
    await _told(api, GROUP)
    api.edit(ADMIN, RESTART)
    answer = await _told(api, GROUP, 2)
    assert answer.text == EDITED[spoken]
    assert answer.buttons == [(RUN_NOW[spoken], f"m:again:{RESTART[1:]}")]
    assert executor.done == []
    api.press(ADMIN, GROUP, answer.message_id, answer.buttons[0][1])
    await api.wait_until(lambda: len(executor.done) == 1, what="the restart")


async def test_other_edits_change_and_answer_nothing(
    api: BotApi, executor: Executor, spoken: Language
) -> None:
    api.say(STRANGER, "/whoami", chat_id=GROUP)
    api.edit(STRANGER, RESTART)
    api.say(ADMIN, RESTART, chat_id=GROUP)
    await _told(api, GROUP)
    api.edit(ADMIN, RESTART)  # the words are the same: another field of the message has changed
    await _handled(api, api.edit(ADMIN, "thank you"))
    api.say(ADMIN, "/whoami")
    await _told(api, ADMIN)
    assert len(api.world.sent(GROUP)) == 1
    assert len(executor.done) == 1


ADDRESSED = {
    Language.RU: "Команда не выполнена: она для @StagingBot, а это @OurDozorBot."
    f" Если она для этого бота, нажмите кнопку, выполню сейчас:\n{RESTART}",
    Language.EN: "The command is not carried out: it is addressed to @StagingBot, and this is @OurDozorBot."
    f" If it is meant for this bot, press the button and it runs now:\n{RESTART}",
}


async def test_another_bots_name_in_private_is_asked_about(
    api: BotApi, executor: Executor, spoken: Language
) -> None:
    api.say(ADMIN, f"/restart@StagingBot {BROKEN}", chat_id=GROUP)
    api.say(ADMIN, f"/restart@StagingBot {BROKEN}")
    answer = await _told(api, ADMIN)
    assert answer.text == ADDRESSED[spoken]
    assert executor.done == []
    assert api.world.sent(GROUP) == []
    api.press(ADMIN, ADMIN, answer.message_id, answer.buttons[0][1])
    await api.wait_until(lambda: len(executor.done) == 1, what="the restart")


async def test_a_bot_that_was_renamed_answers_to_its_new_name(api: BotApi, running: Running) -> None:
    api.world.bot.username = "RenamedBot"
    api.say(ADMIN, "/whoami@RenamedBot", chat_id=GROUP)
    await _told(api, GROUP)
    asked = len(api.calls_of("getMe"))
    for _ in range(5):
        update_id = api.say(ADMIN, "/whoami@SomebodyElse", chat_id=GROUP)
    await _handled(api, update_id)
    assert len(api.world.sent(GROUP)) == 1
    assert len(api.calls_of("getMe")) == asked


REMARKS = [
    ("/ack 2 смотрю", "принят, напоминаний", "is acknowledged, no reminders"),
    ("/ack 2 looking into it", "принят, напоминаний", "is acknowledged, no reminders"),
    ("/ack 2 30 минут", "принят до", "is acknowledged until"),
    ("/ack 2 до какого-то", "Не понимаю срок", "do not understand for how long"),
    ("/ack 2 2часика", "Не понимаю срок", "do not understand for how long"),
    ("/oncall Олег 2 часа", "📟 До ", "📟 On call until "),
    ("/silence ton_deposits 10m", "\n🔕 Ещё действует тишина: ton_deposits до ", "\n🔕 A silence goes on:"),
    ("/silence ton_deposits 2h", "🔕 ton_deposits: тишина на 2 ч", "🔕 ton_deposits: silenced for 2 h"),
    ("/silence ton_deposits 1.5", "Не понимаю срок", "do not understand for how long"),
]


@pytest.mark.parametrize(("asked", "russian", "english"), REMARKS)
async def test_what_is_beside_the_number_and_the_silence_is_answered(
    api: BotApi, spoken: Language, asked: str, russian: str, english: str
) -> None:
    api.say(ADMIN, asked)
    answer = (await _told(api, ADMIN)).text
    assert (russian if spoken is Language.RU else english) in answer
    assert ("Ещё действует" in answer or "goes on" in answer) is (asked == "/silence ton_deposits 10m")


async def test_a_time_that_may_be_a_length_is_asked_about(
    api: BotApi, executor: Executor, spoken: Language
) -> None:
    api.say(ADMIN, f"/silence {BROKEN} 18:00")
    answer = await _told(api, ADMIN)
    assert (
        answer.text
        == {
            Language.RU: "18:00: это срок или время? Выберите или напишите: 18 ч, до 18:00.",
            Language.EN: "18:00: a length or a time of day? Choose, or write: 18 h, until 18:00.",
        }[spoken]
    )
    assert answer.buttons == [
        ({Language.RU: "18 ч", Language.EN: "18 h"}[spoken], f"m:again:silence {BROKEN} 18h0m"),
        (
            {Language.RU: "до 18:00", Language.EN: "until 18:00"}[spoken],
            f"m:again:silence {BROKEN} until 18:00",
        ),
    ]
    api.press(ADMIN, ADMIN, answer.message_id, answer.buttons[0][1])
    assert ("тишина на 18 ч" if spoken is Language.RU else "silenced for 18 h") in (
        await _told(api, ADMIN, 2)
    ).text
