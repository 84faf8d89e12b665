"""People and chats by name, nobody called by a command that only reads, one language for a group."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dozor.app.leading.telegram import TelegramSide
from dozor.cli.status import incident_line
from dozor.clock import SteadyClock
from dozor.config import load
from dozor.config.sections.config import LanguageChoice, TelegramConfig
from dozor.control.queries.incident_words import read_storm_counts
from dozor.control.queries.people import read_names
from dozor.language import Language, Translator
from dozor.language.process import language_for_now
from dozor.storage.postgres.pool import Pool
from dozor.storage.tables.incidents import read_recent
from dozor.supervision.core.state import State
from dozor_bot.app import build_bot
from dozor_bot.people import People
from dozor_bot.telegram.incoming import Sender
from tests.bot import scenery
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import (
    ADMIN,
    GROUP,
    ONCALL,
    OPERATOR,
    STRANGER,
    VIEWER,
    ZONE,
    Running,
    build,
    configure,
)
from tests.bot.executor import Executor

RU = Translator("ru")


async def _ask(api: BotApi, user: int, text: str, chat: int | None = None) -> StoredMessage:
    chat_id = user if chat is None else chat
    before = len(api.world.sent(chat_id))
    api.say(user, text, chat_id=chat_id)
    await api.wait_until(lambda: len(api.world.sent(chat_id)) > before, what=f"an answer to {text}")
    return api.world.sent(chat_id)[-1]


def _met(people: People, user_id: int, name: str, username: str = "") -> None:
    people.remember(
        Sender(
            user_id=user_id,
            user_name=name,
            chat_id=user_id,
            private=True,
            thread_id=None,
            message_id=1,
            username=username,
        )
    )


def test_two_people_of_one_name_are_told_apart() -> None:
    people = People({"telegram:3": "Олег из биллинга"})
    _met(people, 1, "Олег", "oleg_k")
    assert people.called("telegram:1", RU) == "Олег"  # while there is one
    _met(people, 2, "олег")
    _met(people, 3, "Олег")
    names = [people.called(f"telegram:{number}", RU) for number in (1, 2, 3)]
    assert names == ["Олег (oleg_k)", "олег (2)", "Олег из биллинга"]


def test_a_chat_and_a_person_of_one_name_are_not_confused() -> None:
    people = People()
    _met(people, 1, "Команда")
    people.remember_chat(-5, "Команда")
    assert (people.place_name("-5:17"), people.place_name("1")) == ("Команда:17", "Команда")
    assert people.place_name("-6") is None


def test_a_name_that_looks_like_a_mention_notifies_nobody() -> None:
    people = People()
    _met(people, 1, "@ann")
    assert "@" not in people.called("telegram:1", RU)


@pytest.mark.parametrize("language", list(Language))
async def test_commands_that_read_mention_nobody(
    api: BotApi, pool: Pool, executor: Executor, language: Language
) -> None:
    await scenery.set_scene(pool, executor)
    running = Running(build(api, pool, language))
    try:
        for text in (
            "/oncall",
            "/incidents",
            "/audit",
            "/status",
            "/why 2",
            "/history presale_checker",
            "/oncall x",
        ):
            answer = await _ask(api, ADMIN, text, GROUP)
            assert "@ann" not in answer.text
            assert not any(entity["type"] in ("mention", "text_mention") for entity in answer.entities)
        shown = (await _ask(api, VIEWER, "/oncall")).text.splitlines()[0]
        assert shown == {Language.RU: "📟 Дежурит Анна", Language.EN: "📟 On call: Анна"}[language]
    finally:
        await running.close()


@pytest.mark.parametrize("language", list(Language))
async def test_the_audit_names_people_strangers_and_chats(
    api: BotApi, pool: Pool, executor: Executor, language: Language
) -> None:
    await executor.alive()
    await executor.add("presale_checker", State.STOPPED, 5)
    api.world.users[STRANGER].first_name = "Борис"
    running = Running(build(api, pool, language))
    try:
        update_id = api.say(STRANGER, "/restart presale_checker", chat_id=GROUP)
        await api.wait_until(lambda: api.confirmed_up_to >= update_id)
        text = (await _ask(api, ADMIN, "/audit")).text
        assert "Борис · Дежурные" in text
        assert str(STRANGER) not in text
        assert str(GROUP) not in text
    finally:
        await running.close()


async def test_people_keep_their_names_after_a_restart_before_the_bot_is_loaded(
    pool: Pool, tmp_path: Path, api: BotApi
) -> None:
    before = People()
    _met(before, OPERATOR, "Олег")
    await before.keep(pool)
    path = tmp_path / "config.yaml"
    people = f"oncall: {{people: {{Вера: {VIEWER}}}}}\n"
    tasks = 'tasks: {a: {run: "asyncio:sleep", every: 60s}}\n'
    path.write_text(f'telegram: {{token: "{api.token}", chat: {GROUP}}}\n{people}{tasks}', "utf-8")
    side = TelegramSide(load(path), pool, SteadyClock())
    assert side.name_of(f"telegram:{OPERATOR}") is None
    await side.read_names()
    assert side.name_of(f"telegram:{OPERATOR}") == "Олег"
    assert side.name_of(f"telegram:{VIEWER}") == "Вера"


# -- one language


@pytest.mark.parametrize("choice", list(LanguageChoice))
async def test_the_language_of_answers_and_menus(
    api: BotApi, pool: Pool, executor: Executor, choice: LanguageChoice
) -> None:
    config = configure(api, language=choice.value)
    for user in api.world.users.values():
        user.language_code = "en"
    telegram = build_bot(config, pool, Language.RU, ZONE, SteadyClock(), ONCALL)
    await telegram.set_my_commands()
    running = Running(telegram)
    try:
        said = (await _ask(api, ADMIN, "/whoami", GROUP)).text
        first = api.world.commands[f"chat:{GROUP}/en"][0]["description"]
    finally:
        await running.close()
    if choice is LanguageChoice.CONFIG:
        assert said.startswith(f"Ваш id: {ADMIN}\nВаша роль: администратор.")
        assert first == "состояние задач"
    else:
        assert said.startswith(f"Your id: {ADMIN}")
        assert first == "state of the tasks"


def test_people_have_their_own_language_by_default_and_others_are_refused() -> None:
    assert TelegramConfig().language is LanguageChoice.PER_PERSON
    with pytest.raises(ValueError, match="per_person"):
        TelegramConfig.model_validate({"language": "esperanto"})


# -- /incidents

STORM = "INSERT INTO dozor.incidents (id, kind, severity, state, fingerprint, summary, failures, opened_at,\
 updated_at) VALUES ($1, $2, 'critical', 'open', $3, $4, 1, now() - interval '5 min', now())"


@pytest.mark.parametrize("language", list(Language))
async def test_incidents_have_a_text_whatever_they_are_about_and_a_button_each(
    api: BotApi, pool: Pool, executor: Executor, language: Language
) -> None:
    await scenery.set_scene(pool, executor)
    for number, (kind, subject, summary) in enumerate(
        [
            ("storm", "10", ""),
            ("telegram", str(GROUP), "bot was kicked"),
            ("dependency", "billing", "billing"),
            ("bot", "commands", ""),
            ("unclean_end", "", ""),
            ("limit", "memory", ""),
            ("of_a_later_version", "", ""),
        ],
        10,
    ):
        if kind != "of_a_later_version":
            await pool.execute(STORM, number, kind, subject, summary)
    await pool.execute("UPDATE dozor.incidents SET storm = 10 WHERE id IN (1, 2, 3)")
    running = Running(build(api, pool, language))
    try:
        await _ask(api, ADMIN, "/whoami", GROUP)
        answer = await _ask(api, ADMIN, "/incidents")
        texts = {
            Language.RU: [
                "Не работают 2 из 3",
                "Не принимает сообщения: Дежурные: bot was kicked",
                "Недоступно: billing",
                "Бот не получает команды от Telegram",
                "Прошлый запуск Дозора закончился аварийно",
                "память",
            ],
            Language.EN: [
                "2 of 3 not working",
                "Does not accept messages: Дежурные: bot was kicked",
                "Not available: billing",
                "The bot receives no commands from Telegram",
                "The last run of Dozor ended uncleanly",
            ],
        }[language]
        for text in texts:
            assert text in answer.text
        labels = [label for label, data in answer.buttons if data.startswith("m:ack.list:")]
        assert len(labels) == 7  # every open one that nobody has acknowledged
        data = next(data for _, data in answer.buttons if data == "m:ack.list:2")
        api.press(ADMIN, ADMIN, answer.message_id, data)
        await api.wait_until(lambda: len(answer.history) == 2, what="the edit")
        assert "2" in answer.text.splitlines()[0]
        assert "Не работают 2 из 3" in answer.text or "2 of 3 not working" in answer.text
        viewer = await _ask(api, VIEWER, "/incidents")
        assert not any(data.startswith("m:ack") for _, data in viewer.buttons)
    finally:
        await running.close()


# -- lengths of time

SILENCED = {
    Language.RU: "🔕 presale_checker: тишина на {}, до ",
    Language.EN: "🔕 presale_checker: silenced for {}, until ",
}


@pytest.mark.parametrize("language", list(Language))
async def test_a_silence_for_as_long_as_people_write_it(
    api: BotApi, pool: Pool, executor: Executor, language: Language
) -> None:
    await executor.alive()
    await executor.add("presale_checker", State.STOPPED, 5)
    running = Running(build(api, pool, language))
    try:
        for number, text in enumerate(
            ("30 минут деплой", "for 2 hours deploy", "1:30", "до завтра 9:00", "полчаса")
        ):
            answer = await _ask(api, ADMIN, f"/silence presale_checker {text}")
            assert answer.text.startswith("🔕 presale_checker")
            assert len(executor.done) == number + 1
        assert [command.args["seconds"] for command in executor.done[:3]] == [1800.0, 7200.0, 5400.0]
        assert [command.args.get("reason") for command in executor.done[:3]] == ["деплой", "deploy", None]
        for wrong in ("0", "-5m", "45 days", "чепуха", "до вчера", "30"):
            answer = await _ask(api, ADMIN, f"/silence presale_checker {wrong}")
            assert "🔕 presale_checker:" not in answer.text or answer.buttons
        assert len(executor.done) == 5
        asked = answer
        assert (
            asked.text
            == {
                Language.RU: "30 чего? Выберите или напишите с единицей: 30 минут, 2 часа, 1 день.",
                Language.EN: "30 of what? Choose, or write the unit: 30 minutes, 2 hours, 1 day.",
            }[language]
        )
        api.press(ADMIN, ADMIN, asked.message_id, asked.buttons[0][1])
        await api.wait_until(lambda: len(executor.done) == 6, what="the silence")
        assert executor.done[-1].args["seconds"] == 1800.0
        await _ask(api, ADMIN, "/oncall Олег до 18:00")
        await api.wait_until(lambda: len(executor.done) == 7)
        assert (executor.done[-1].task, 0 < executor.done[-1].args["seconds"] <= 86_400) == ("Олег", True)
    finally:
        await running.close()


@pytest.mark.parametrize("language", list(Language))
async def test_the_command_line_has_a_text_for_storms_and_for_the_runners_own(
    pool: Pool, executor: Executor, language: Language
) -> None:
    await scenery.set_scene(pool, executor)
    await pool.execute(STORM, 10, "telegram", str(GROUP), "bot was kicked")
    await pool.execute("UPDATE dozor.incidents SET state = 'resolved' WHERE id IN (2, 3)")
    async with pool.acquire() as connection:
        rows = {row.id: row for row in await read_recent(connection, 20)}
        storms, names = await read_storm_counts(connection, rows), await read_names(connection)
    with language_for_now(language):
        lines = [
            incident_line(rows[number], storms.get(number), names, ZoneInfo("UTC")) for number in (4, 10)
        ]
    assert lines[0].endswith(
        {Language.RU: "Не работали: 2", Language.EN: "Not working at the time: 2"}[language]
    )
    assert lines[1].endswith(
        {
            Language.RU: "Не принимает сообщения: Дежурные: bot was kicked",
            Language.EN: "Does not accept messages: Дежурные: bot was kicked",
        }[language]
    )
