"""Each command, bare and with a name, a part of one, a typo; in both languages; as the chat shows it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator

import pytest

from dozor.alerting.model.message import Button, Message, Span
from dozor.control.commands.commands import CommandReason
from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor_bot.handlers import acting
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, FORUM, GROUP, OPERATOR, TOPIC, VIEWER, Running, build, on_the_loop
from tests.bot.executor import Executor
from tests.bot.transcript import Transcript

LANGUAGES = list(Language)


@on_the_loop()
async def bots(api: BotApi, pool: Pool, executor: Executor) -> AsyncIterator[dict[Language, Running]]:
    """Filled by `start`; closed at the end."""
    bots: dict[Language, Running] = {}
    yield bots
    for running in bots.values():
        await running.close()


@on_the_loop(params=LANGUAGES)
async def language(
    request: pytest.FixtureRequest, api: BotApi, pool: Pool, bots: dict[Language, Running]
) -> Language:
    """A bot of this language polls."""
    language = Language(request.param)
    bots[language] = Running(build(api, pool, language))
    return language


def _has_changed(message: StoredMessage, texts: int) -> bool:
    return len(message.history) > texts


async def _some_tasks(executor: Executor) -> None:
    await executor.alive()
    await executor.add("auctions_checker", State.WAITING, description="Закрывает аукционы", success_ago=5)
    await executor.add("presale_checker", State.STOPPED, 5, "Открывает предпродажи")
    await executor.add("ton_deposits", State.BACKOFF, 2)
    await executor.add("report_mailer", State.PAUSED, success_ago=90_000)
    await executor.add("cache_warmer", State.HELD, success_ago=300)


async def test_status(api: BotApi, executor: Executor, language: Language) -> None:
    chat = Transcript(api, ADMIN)
    await chat.ask(ADMIN, "/status")
    await _some_tasks(executor)
    await chat.ask(ADMIN, "/status")
    for name in ("auctions_checker", "presale_checker", "ton_deposits", "report_mailer", "cache_warmer"):
        await chat.ask(ADMIN, f"/status {name}")
    await chat.ask(ADMIN, "/status TON")
    await chat.ask(ADMIN, "/status checker")
    await chat.ask(ADMIN, "/status presle_cheker")
    await chat.ask(ADMIN, "/status 🦊")
    chat.check(f"status.{language}")


async def test_status_when_all_is_well(api: BotApi, executor: Executor, language: Language) -> None:
    chat = Transcript(api, ADMIN)
    await executor.alive()
    await executor.add_all(["auctions_checker", "ton_deposits"])
    await chat.ask(ADMIN, "/status")
    chat.check(f"status_well.{language}")


async def test_a_long_status_comes_in_pages(
    api: BotApi, executor: Executor, pool: Pool, language: Language
) -> None:
    await executor.add_all([f"task_number_{number:03}" for number in range(60)])
    await executor.add("the_broken_one", State.STOPPED, 5)
    chat = Transcript(api, ADMIN)
    answer = await chat.ask(ADMIN, "/status")
    chat.note("the next page, then only what is broken, then all again, then the card and back")
    for label in ("▶️", "⚠️", "📋", "🛑", "◀️"):
        data = next(data for text, data in answer.buttons if text.startswith(label))
        api.press(ADMIN, ADMIN, answer.message_id, data)
        await api.wait_until(functools.partial(_has_changed, answer, len(answer.history)), what=label)
        chat.add(answer)
    assert len(api.world.sent(ADMIN)) == 1
    chat.check(f"status_pages.{language}")
    await pool.execute("UPDATE dozor.tasks SET last_error_text = repeat('x', 2000), consecutive_failures = 3")
    await pool.execute("UPDATE dozor.tasks SET name = repeat(name, 3) WHERE position > 0 AND position < 30")
    assert len((await chat.ask(ADMIN, "/status")).text) <= 4096


@pytest.mark.parametrize("command", ["restart", "pause", "resume", "run"])
async def test_actions(api: BotApi, executor: Executor, language: Language, command: str) -> None:
    chat = Transcript(api, ADMIN)
    await chat.ask(ADMIN, f"/{command}")
    await _some_tasks(executor)
    await chat.ask(ADMIN, f"/{command}")
    await chat.ask(ADMIN, f"/{command} presale_checker")
    await chat.ask(ADMIN, f"/{command} TON")
    await chat.ask(ADMIN, f"/{command} checker")
    await chat.ask(ADMIN, f"/{command} presle_cheker")
    await chat.ask(ADMIN, f"/{command} 🦊")
    await chat.ask(ADMIN, f"/{command} presale_checker", date=api.world.now() - 720)
    assert [done.task for done in executor.done] == ["presale_checker", "ton_deposits"]
    assert {done.actor for done in executor.done} == {f"telegram:{ADMIN}"}
    chat.check(f"{command}.{language}")


async def test_every_answer_of_the_runner_in_words(
    api: BotApi, pool: Pool, executor: Executor, language: Language
) -> None:
    await executor.add("presale_checker", State.WAITING)
    chat = Transcript(api, ADMIN)
    for reason in CommandReason:
        executor.reason = reason
        await pool.execute("UPDATE dozor.commands SET created_at = now() - interval '1 min'")
        await pool.execute("UPDATE dozor.tasks SET state = 'waiting', running_since = NULL")
        chat.note(reason.value)
        for command in ("restart", "pause", "resume", "run"):
            if command == "restart" or reason in (CommandReason.DONE, CommandReason.ALREADY):
                await chat.ask(ADMIN, f"/{command} presale_checker")
    chat.check(f"answers.{language}")


async def test_help(api: BotApi, language: Language) -> None:
    chat = Transcript(api, ADMIN)
    await chat.ask(ADMIN, "/help")
    await chat.ask(ADMIN, "/start")
    await chat.ask(ADMIN, "/fly")
    await chat.ask(ADMIN, "привет")
    chat.check(f"help_admin.{language}")
    viewer = Transcript(api, VIEWER)
    await viewer.ask(VIEWER, "/help")
    viewer.check(f"help_viewer.{language}")


async def test_a_choice_takes_the_place_of_the_question(
    api: BotApi, executor: Executor, running: Running
) -> None:
    await _some_tasks(executor)
    question = await Transcript(api, ADMIN).ask(ADMIN, "/restart")
    assert question.buttons[0] == ("presale_checker", "m:restart:presale_checker")
    api.press(ADMIN, ADMIN, question.message_id, question.buttons[0][1])
    await api.wait_until(lambda: len(question.history) == 2, what="the edit")
    assert question.history[-1] == "🔄 presale_checker перезапущена, сейчас выполняется"
    assert question.buttons == [("📋 Подробно", "m:status:presale_checker")]
    assert [answer["text"] for answer in api.world.answered] == ["Получено"]


async def test_the_button_under_an_alert_restarts_and_the_alert_stays(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await _some_tasks(executor)
    alert = await _alert(api, running)
    api.press(OPERATOR, GROUP, alert, "a:restart:presale_checker")
    message = api.world.messages[GROUP, alert]
    await api.wait_until(lambda: len(api.world.sent(GROUP)) == 2, what="the answer")
    assert message.history == ["🛑"]
    assert message.buttons  # what fits the incident's state is decided where its message is kept
    reply = api.world.sent(GROUP)[-1]
    assert reply.text == "🔄 presale_checker перезапущена, сейчас выполняется · Олег"
    assert reply.reply_to == alert
    state = await pool.fetchrow("SELECT state, state_by FROM dozor.tasks WHERE name = 'presale_checker'")
    assert tuple(state or ()) == ("running", f"telegram:{OPERATOR}")


async def test_a_refused_press_leaves_the_button(api: BotApi, executor: Executor, running: Running) -> None:
    await _some_tasks(executor)
    executor.reason = CommandReason.DISABLED
    alert = await _alert(api, running)
    api.press(OPERATOR, GROUP, alert, "a:restart:presale_checker")
    await api.wait_until(lambda: len(api.world.sent(GROUP)) == 2)
    assert "отключена в настройках" in api.world.sent(GROUP)[-1].text
    assert api.world.messages[GROUP, alert].buttons


async def test_a_stale_press_is_refused(api: BotApi, executor: Executor, running: Running) -> None:
    await _some_tasks(executor)
    alert = await _alert(api, running)
    api.methods.callback_fresh_for = -1
    api.press(OPERATOR, GROUP, alert, "a:restart:presale_checker")
    await api.wait_until(lambda: len(api.world.sent(GROUP)) == 2)
    assert api.world.sent(GROUP)[-1].text.startswith("Нажатие дошло с опозданием")
    assert executor.done == []


async def _alert(api: BotApi, running: Running) -> int:
    """The id of a stop's alert in the group."""
    assert running.telegram.transport is not None
    button = Button("🔄 Перезапустить", "a:restart:presale_checker")
    await running.telegram.transport.send(Message(spans=(Span("🛑"),), buttons=((button,),)))
    return api.world.sent(GROUP)[-1].message_id


async def test_a_slow_command_is_announced_and_the_announcement_becomes_the_result(
    api: BotApi, executor: Executor, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "PATIENCE", 0.05)
    await _some_tasks(executor)
    executor.slow = 0.4
    answer = await Transcript(api, ADMIN).ask(ADMIN, "/restart presale_checker")
    await api.wait_until(lambda: len(answer.history) == 2, what="the edit")
    assert answer.history == [
        "⏳ presale_checker: перезапускаю…",
        "🔄 presale_checker перезапущена, сейчас выполняется",
    ]


async def test_without_a_runner_the_answer_says_so_and_nothing_happens_later(
    api: BotApi, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "RESULT_TIMEOUT", 0.3)
    await Executor(pool).add("presale_checker", State.STOPPED, 5)
    running = Running(build(api, pool))
    answer = await Transcript(api, ADMIN).ask(ADMIN, "/restart presale_checker")
    await running.close()
    assert answer.text == "presale_checker: не выполнено, раннер не работает. Запустите: dozor run"
    assert await pool.fetchval("SELECT state FROM dozor.commands") == "expired"


async def test_an_answer_survives_a_short_flood_wait_and_a_lost_announcement(
    api: BotApi, executor: Executor, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "PATIENCE", 0.05)
    await _some_tasks(executor)
    executor.slow = 0.3
    api.fail(FaultKind.RETRY_AFTER, method="sendMessage", seconds=1)
    api.fail(FaultKind.REFUSE, method="editMessageText", status=400, description="message to edit not found")
    await Transcript(api, ADMIN).ask(ADMIN, "/restart presale_checker")
    await api.wait_until(lambda: len(api.world.sent(ADMIN)) == 2, what="the result as a new message")
    assert api.world.sent(ADMIN)[-1].text == "🔄 presale_checker перезапущена, сейчас выполняется"


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        ("/status@OurDozorBot", True),
        ("/STATUS@ourdozorbot presale", True),
        ("/status", True),
        ("/status@OtherBot", False),
        ("/weather", False),
        ("привет", False),
    ],
)
@pytest.mark.parametrize(("chat", "thread"), [(GROUP, None), (FORUM, TOPIC)])
async def test_in_a_group_it_answers_what_is_meant_for_it(
    api: BotApi,
    executor: Executor,
    running: Running,
    text: str,
    answered: bool,
    chat: int,
    thread: int | None,
) -> None:
    await _some_tasks(executor)
    update_id = api.say(ADMIN, text, chat_id=chat, thread_id=thread)
    asked = update_id and max(message_id for _, message_id in api.world.messages)
    await api.wait_until(lambda: api.confirmed_up_to >= update_id)
    if answered:
        await api.wait_until(lambda: bool(api.world.sent(chat)), what="the answer")
        [answer] = api.world.sent(chat)
        assert (answer.thread_id, answer.reply_to) == (thread, asked)
    else:
        await asyncio.sleep(0.1)
        assert api.world.sent(chat) == []
