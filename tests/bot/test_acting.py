"""Actions: the second step, two people at once, the run that was started, messages that stay true."""

from __future__ import annotations

import pytest

from dozor.control.commands.started_runs import StartedRun
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import RunOutcome, State
from dozor_bot import live_cards as live
from dozor_bot.handlers import acting
from dozor_bot.security import confirmations
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, GROUP, OPERATOR, Running
from tests.bot.executor import Executor, until_true
from tests.bot.transcript import Transcript

STOPPED_AGAIN_SQL = """
WITH given AS (UPDATE dozor.commands SET created_at = now() - interval '5 s')
UPDATE dozor.tasks SET state = 'stopped', running_since = NULL,
    last_failed_at = now() - make_interval(secs => $1)
"""


async def _press(api: BotApi, user: int, message: StoredMessage, label: str) -> None:
    """And wait until Telegram has been told that the press arrived."""
    data = next(data for text, data in message.buttons if label in text)
    answered = len(api.world.answered)
    api.press(user, message.chat.id, message.message_id, data)
    await api.wait_until(lambda: len(api.world.answered) > answered, what=f"the answer to {label}")


async def _edited(api: BotApi, message: StoredMessage, times: int) -> str:
    await api.wait_until(lambda: len(message.history) > times, what=f"edit {times}")
    return message.text


async def _running_task(executor: Executor, pool: Pool, name: str = "ton_deposits") -> None:
    await executor.alive()
    await executor.add(name, State.RUNNING)
    await pool.execute("UPDATE dozor.tasks SET running_since = now() - interval '185 s'")


async def test_interrupting_a_run_takes_a_second_step(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await _running_task(executor, pool)
    chat = Transcript(api, ADMIN)
    question = await chat.ask(ADMIN, "/restart ton")
    assert question.text.startswith("ton_deposits сейчас выполняется, уже 3 мин")
    assert executor.done == []
    await _press(api, ADMIN, question, "Да, перезапустить")
    assert "ton_deposits перезапущена" in await _edited(api, question, 1)
    assert len(executor.done) == 1


async def test_only_the_person_who_was_asked_can_confirm_and_only_once(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await _running_task(executor, pool)
    api.say(ADMIN, "/restart ton", chat_id=GROUP)
    await api.wait_until(lambda: bool(api.world.sent(GROUP)))
    [question] = api.world.sent(GROUP)
    await _press(api, OPERATOR, question, "Да")
    assert api.world.answered[-1]["text"] == "Подтвердить может только Анна."
    assert executor.done == []
    await until_true(pool, "SELECT count(*) = 1 FROM dozor.audit WHERE result = 'denied'")
    row = await pool.fetchrow("SELECT actor, action, target FROM dozor.audit WHERE result = 'denied'")
    assert tuple(row or ()) == (f"telegram:{OPERATOR}", "press yes for restart", "ton_deposits")
    data = question.buttons[0][1]
    await _press(api, ADMIN, question, "Да")
    assert "перезапущена" in await _edited(api, question, 1)
    # A changed client presses again what is not there any more.
    api.press(ADMIN, GROUP, question.message_id, data)
    await api.wait_until(lambda: len(api.world.answered) == 3)
    assert api.world.answered[-1]["text"] == "Эта кнопка больше не действует."
    assert len(executor.done) == 1


async def test_no_answer_within_a_minute_is_a_no(
    api: BotApi, pool: Pool, executor: Executor, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dozor_bot.handlers.actions.WITHIN", 0.1)
    assert confirmations.WITHIN == 60
    await _running_task(executor, pool)
    question = await Transcript(api, ADMIN).ask(ADMIN, "/restart ton")
    assert await _edited(api, question, 1) == "За минуту не подтверждено, ничего не сделано."
    assert question.buttons == []
    assert executor.done == []


async def test_a_no_is_a_no(api: BotApi, pool: Pool, executor: Executor, running: Running) -> None:
    await _running_task(executor, pool)
    question = await Transcript(api, ADMIN).ask(ADMIN, "/restart ton")
    await _press(api, ADMIN, question, "Отмена")
    assert await _edited(api, question, 1) == "Отменено, ничего не сделано."
    assert executor.done == []


async def test_all_that_is_stopped_with_one_question(
    api: BotApi, executor: Executor, running: Running
) -> None:
    await executor.alive()
    for name in ("auctions", "presales", "deposits"):
        await executor.add(name, State.STOPPED, 5)
    await executor.add("well", State.WAITING)
    choice = await Transcript(api, ADMIN).ask(ADMIN, "/restart")
    await _press(api, ADMIN, choice, "Все остановленные (3)")
    assert (await _edited(api, choice, 1)).splitlines() == [
        "Перезапустить 3 задачи?",
        "• auctions",
        "• presales",
        "• deposits",
    ]
    await _press(api, ADMIN, choice, "Да")
    assert (await _edited(api, choice, 2)).splitlines() == [
        f"🔄 {name} перезапущена, сейчас выполняется" for name in ("auctions", "presales", "deposits")
    ]
    assert [command.task for command in executor.done] == ["auctions", "presales", "deposits"]


@pytest.mark.parametrize("text", ["/pause auctions presales", "/pause auctions, pres", "/pause all"])
async def test_several_by_name(api: BotApi, executor: Executor, running: Running, text: str) -> None:
    await executor.alive()
    await executor.add_all(["auctions", "presales"])
    question = await Transcript(api, ADMIN).ask(ADMIN, text)
    assert question.text.startswith("Поставить на паузу 2 задачи?")
    await _press(api, ADMIN, question, "Да")
    await _edited(api, question, 1)
    assert [command.task for command in executor.done] == ["auctions", "presales"]


async def test_a_pause_is_undone_by_its_button_and_by_somebody_else_after_a_question(
    api: BotApi, executor: Executor, running: Running
) -> None:
    await executor.alive()
    await executor.add("presales", State.WAITING)
    api.say(ADMIN, "/pause presales", chat_id=GROUP)
    await api.wait_until(lambda: bool(api.world.sent(GROUP)))
    [answer] = api.world.sent(GROUP)
    assert answer.text == "⏸ presales на паузе · Анна"
    await _press(api, OPERATOR, answer, "Отменить")
    assert await _edited(api, answer, 1) == "presales на паузе (команда: Анна). Снять с паузы?"
    await _press(api, OPERATOR, answer, "Да")
    assert await _edited(api, answer, 2) == "▶️ presales снята с паузы, сейчас ждёт запуска · Олег"


async def test_the_second_of_two_people_is_told_who_was_first(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await executor.alive()
    await executor.add("presales", State.STOPPED, 5)
    api.say(OPERATOR, "/restart presales", chat_id=GROUP)
    api.say(ADMIN, "/restart presales", chat_id=GROUP)
    api.say(OPERATOR, "/restart presales", chat_id=GROUP)
    await api.wait_until(lambda: len(api.world.sent(GROUP)) == 3, what="three answers")
    assert sorted(message.text for message in api.world.sent(GROUP)) == [
        "presales: эта команда уже принята только что (Олег). Второй раз не выполняю.",
        "presales: эту команду вы уже дали только что. Второй раз не выполняю.",
        "🔄 presales перезапущена, сейчас выполняется · Олег",
    ]
    assert len(executor.done) == 1
    await pool.execute("UPDATE dozor.commands SET created_at = now() - interval '11 s'")
    api.say(ADMIN, "/restart presales", chat_id=GROUP)
    await api.wait_until(lambda: len(api.world.sent(GROUP)) == 4)
    assert "Перезапуск прервёт этот запуск" in api.world.sent(GROUP)[-1].text


@pytest.mark.parametrize("stopped_ago", [0.5, 3.0])
async def test_a_restart_of_a_task_that_has_stopped_again_is_no_repetition(
    api: BotApi, pool: Pool, executor: Executor, running: Running, stopped_ago: float
) -> None:
    await executor.alive()
    await executor.add("presales", State.STOPPED, 5)
    api.say(OPERATOR, "/restart presales", chat_id=GROUP)
    await api.wait_until(lambda: bool(api.world.sent(GROUP)), what="the first answer")
    await pool.execute(STOPPED_AGAIN_SQL, stopped_ago)
    api.say(OPERATOR, "/restart presales", chat_id=GROUP)
    await api.wait_until(lambda: len(api.world.sent(GROUP)) == 2, what="the second answer")
    answers = sorted(message.text for message in api.world.sent(GROUP))
    assert ("Второй раз не выполняю" in answers[0]) is (stopped_ago < 2)
    assert len(executor.done) == (1 if stopped_ago < 2 else 2)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (StartedRun(41, RunOutcome.SUCCEEDED, 0.8), "✅ Запуск 41: успех за 800 мс"),
        (
            StartedRun(41, RunOutcome.FAILED, 2, "ConnectionError: no route"),
            "❌ Запуск 41: ошибка через 2 с\nConnectionError: no route",
        ),
        (
            StartedRun(41, RunOutcome.TIMED_OUT, 30, "TimeoutError: "),
            "❌ Запуск 41: ошибка через 30 с\nTimeoutError",
        ),
        (StartedRun(41, RunOutcome.CANCELLED, 5), "⏹ Запуск 41 прерван через 5 с"),
    ],
)
async def test_the_answer_says_what_really_happened(
    api: BotApi, executor: Executor, running: Running, run: StartedRun, told: str
) -> None:
    await executor.alive()
    await executor.add("presales", State.STOPPED, 5)
    executor.starts = run
    answer = await Transcript(api, ADMIN).ask(ADMIN, "/restart presales")
    assert answer.text == f"🔄 presales перезапущена\n{told}"


async def test_a_long_run_is_told_of_at_once_and_its_end_by_an_edit(
    api: BotApi, pool: Pool, executor: Executor, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "RUN_PATIENCE", 0.0)
    monkeypatch.setattr(live, "PRIVATE_EVERY", 0.0)
    await executor.alive()
    await executor.add("presales", State.STOPPED, 5)
    executor.starts = StartedRun(41, None, 0)
    answer = await Transcript(api, ADMIN).ask(ADMIN, "/run presales")
    assert answer.text.startswith("▶️ presales запущена\n⏳ Запуск 41 идёт")
    await pool.execute("UPDATE dozor.commands SET run_outcome = 'succeeded', run_seconds = 90")
    await api.wait_until(lambda: "успех" in answer.text, what="the end of the run")
    assert answer.text == "▶️ presales запущена\n✅ Запуск 41: успех за 1 мин 30 с"


async def test_an_open_card_follows_the_progress_until_the_run_is_over(
    api: BotApi, pool: Pool, executor: Executor, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PRIVATE_EVERY", 0.0)
    await _running_task(executor, pool)
    await pool.execute("UPDATE dozor.tasks SET progress_done = 30, progress_total = 120")
    card = await Transcript(api, ADMIN).ask(ADMIN, "/status ton")
    assert "▓▓▓░░░░░░░░░ 25%\nГотово: 30 из 120" in card.text
    await pool.execute("UPDATE dozor.tasks SET progress_done = 90")
    await api.wait_until(lambda: "▓▓▓▓▓▓▓▓▓░░░ 75%" in card.text, what="the progress")
    await pool.execute("UPDATE dozor.tasks SET state = 'waiting', running_since = NULL")
    await api.wait_until(lambda: "ждёт запуска" in card.text, what="the end")
    edits = len(api.calls_of("editMessageText"))
    await pool.execute("UPDATE dozor.tasks SET runs_total = runs_total + 1")
    await Transcript(api, ADMIN).ask(ADMIN, "/help")
    assert len(api.calls_of("editMessageText")) == edits


async def test_recent_runs_stand_on_the_card(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await executor.alive()
    await executor.add("presales", State.WAITING)
    outcomes = [
        ("succeeded", 1.0),
        ("succeeded", 4.0),
        ("failed", 2.0),
        ("cancelled", 1.0),
        ("succeeded", 8.0),
    ]
    for number, (outcome, seconds) in enumerate(outcomes):
        await pool.execute(
            "INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, seconds, seconds_max)"
            " VALUES ($1, 'presales', now(), now() + make_interval(secs => $2), $3, $4, $4)",
            f"1-{number}",
            float(number),
            outcome,
            seconds,
        )
    card = await Transcript(api, ADMIN).ask(ADMIN, "/status presales")
    assert "Последние запуски: ▂▅✖·█" in card.text
