"""Buttons under messages that are not shown, of before a restart, of an older version: they work or help."""

from __future__ import annotations

import pytest

from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from tests.bot import scenery
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, GROUP, OPERATOR, STRANGER, VIEWER, Running, build
from tests.bot.executor import Executor

HIDDEN = ["inaccessible", "inline", "nothing"]


def _button(api: BotApi, chat_id: int, data: str) -> int:
    markup = {"inline_keyboard": [[{"text": "x", "callback_data": data}]]}
    return api.world.store(api.world.chats[chat_id], api.world.bot, "alert", markup=markup).message_id


async def _told(api: BotApi, chat: int, count: int) -> StoredMessage:
    await api.wait_until(lambda: len(api.world.sent(chat)) >= count, what="the answer")
    return api.world.sent(chat)[count - 1]


@pytest.mark.parametrize("shows", HIDDEN)
@pytest.mark.parametrize("origin", ["a", "m"])
async def test_a_press_under_a_message_that_is_not_shown_is_carried_out(
    api: BotApi, pool: Pool, executor: Executor, running: Running, shows: str, origin: str
) -> None:
    await scenery.set_scene(pool, executor)
    api.world.chats[OPERATOR].title = "Олег"
    under = _button(api, GROUP, "x")
    api.press(OPERATOR, GROUP, under, f"{origin}:restart:presale_checker", shows=shows)
    await api.wait_until(lambda: bool(executor.done), what="the command")
    chat = GROUP if shows == "inaccessible" else OPERATOR
    await api.wait_until(
        lambda: any("presale_checker перезапущена" in message.text for message in api.world.sent(chat)),
        what="the result",
    )
    assert [command.actor for command in executor.done] == [f"telegram:{OPERATOR}"]


@pytest.mark.parametrize("shows", HIDDEN)
async def test_an_acknowledgement_there_is_answered_in_words(
    api: BotApi, pool: Pool, executor: Executor, running: Running, shows: str
) -> None:
    """The alert's own message may not be changeable any more."""
    await scenery.set_scene(pool, executor)
    under = _button(api, GROUP, "x")
    api.press(OPERATOR, GROUP, under, "a:ack:2", shows=shows)
    chat = GROUP if shows == "inaccessible" else OPERATOR
    await api.wait_until(lambda: len(api.world.sent(chat)) > (chat == GROUP), what="the answer")
    assert "2" in api.world.sent(chat)[-1].text
    assert len(executor.done) == 1


@pytest.mark.parametrize("shows", HIDDEN)
@pytest.mark.parametrize("user", [VIEWER, STRANGER])
async def test_the_usual_checks_hold_there(
    api: BotApi, pool: Pool, executor: Executor, running: Running, shows: str, user: int
) -> None:
    await scenery.set_scene(pool, executor)
    update_id = api.press(user, GROUP, _button(api, GROUP, "x"), "a:restart:presale_checker", shows=shows)
    await api.wait_until(lambda: api.confirmed_up_to >= update_id)
    assert executor.done == []
    assert len(api.world.sent()) == 1


STALE = {
    Language.RU: "Нажатие дошло с опозданием и не выполнено: за это время всё могло измениться."
    " Если ещё нужно, вот команда:\n/{}",
    Language.EN: "The press came late and was not carried out: much may have changed since."
    " If it is still needed, here is the command:\n/{}",
}


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(
    ("data", "command"),
    [
        ("a:restart:presale_checker", "restart presale_checker"),
        ("m:run-now:auctions_checker", "run auctions_checker"),
        ("a:ack:2", "ack 2"),
        ("a:silence-4h:2", "silence presale_checker 4h"),
        ("m:silence.1h:all", "silence all 1h"),
        ("m:oncall:Анна", "oncall Анна"),
        ("m:many.restart:-", "restart all"),
    ],
)
async def test_a_stale_press_offers_the_command_and_a_button_once(
    api: BotApi, pool: Pool, executor: Executor, language: Language, data: str, command: str
) -> None:
    await scenery.set_scene(pool, executor)
    running = Running(build(api, pool, language))
    try:
        api.methods.callback_fresh_for = -1
        api.press(ADMIN, ADMIN, _button(api, ADMIN, data), data)
        answer = await _told(api, ADMIN, 2)
        assert answer.text == STALE[language].format(command)
        [(_, again)] = answer.buttons
        assert len(again.encode()) <= 64
        api.press(ADMIN, ADMIN, answer.message_id, again)
        second = await _told(api, ADMIN, 3)
        assert second.text == STALE[language].format(command)
        assert second.buttons == []  # no second round of buttons that come late
        assert executor.done == []
        api.methods.callback_fresh_for = 15
        before = len(api.calls_of("editMessageText", "sendMessage"))
        api.press(ADMIN, ADMIN, answer.message_id, again)
        await api.wait_until(lambda: len(api.calls_of("editMessageText", "sendMessage")) > before)
        if not data.startswith("m:many"):  # that one asks first
            await api.wait_until(lambda: bool(executor.done), what="the command")
    finally:
        await running.close()


FORGOTTEN = {
    Language.RU: "Вопрос задан давно или до перезапуска Дозора, ничего не сделано."
    " Если ещё нужно, вот команда:\n/restart ton_deposits",
    Language.EN: "The question was asked long ago or before a restart of Dozor, nothing was done."
    " If it is still needed, here is the command:\n/restart ton_deposits",
}


@pytest.mark.parametrize("language", list(Language))
async def test_a_question_of_before_a_restart_becomes_the_command(
    api: BotApi, pool: Pool, executor: Executor, language: Language
) -> None:
    await executor.alive()
    await executor.add("ton_deposits", State.RUNNING)
    await pool.execute("UPDATE dozor.tasks SET running_since = now() - interval '185 s'")
    before = Running(build(api, pool, language))
    api.say(ADMIN, "/restart ton_deposits")
    question = await _told(api, ADMIN, 1)
    await before.close()
    after = Running(build(api, pool, language))
    try:
        api.press(ADMIN, ADMIN, question.message_id, question.buttons[0][1])
        await api.wait_until(lambda: len(question.history) == 2, what="the edit")
        assert question.text == FORGOTTEN[language]
        assert executor.done == []
        api.press(ADMIN, ADMIN, question.message_id, question.buttons[0][1])
        confirmation = await _told(api, ADMIN, 2)  # it still interrupts a run, so it is asked about
        api.press(ADMIN, ADMIN, confirmation.message_id, confirmation.buttons[0][1])
        await api.wait_until(lambda: bool(executor.done), what="the command")
    finally:
        await after.close()


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize(
    ("data", "command"),
    [
        ("restart:presale_checker", "restart presale_checker"),
        ("v0|run-now|auctions_checker|1700000000", "run auctions_checker"),
        ("ack/2", "ack 2"),
        ("m:again2:status presale_checker", "status presale_checker"),
        ("card.presale_checker", None),
        ("restart:no_such_task", None),
        ("\u202e", None),
        ("m:yes:" + "0" * 16, None),
    ],
)
async def test_a_button_of_an_older_version_names_the_command(
    api: BotApi, pool: Pool, executor: Executor, language: Language, data: str, command: str | None
) -> None:
    await scenery.set_scene(pool, executor)
    running = Running(build(api, pool, language))
    try:
        under = api.world.messages[ADMIN, _button(api, ADMIN, data)]
        api.press(ADMIN, ADMIN, under.message_id, data)
        await api.wait_until(lambda: len(api.calls_of("sendMessage", "editMessageText")) == 1)
        await api.wait_until(lambda: len(api.world.sent(ADMIN)) == 2 or len(under.history) == 2)
        said = api.world.sent(ADMIN)[-1].text
        assert (f"\n/{command}" in said) if command else ("/help" in said)
        assert executor.done == []
    finally:
        await running.close()
