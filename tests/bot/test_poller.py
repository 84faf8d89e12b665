"""Taking updates: exactly once, across restarts and faults; a failing poll is always reported."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dozor.clock import SteadyClock
from dozor.errors import PollerConflictError, TokenRefusedError
from dozor.language import Language
from dozor.storage.postgres.pool import Pool, connect, create_pool
from dozor.supervision.core.state import State
from dozor_bot import poller as poller_module
from dozor_bot.app import TelegramBot, build_bot
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, ONCALL, ZONE, Running, build, configure, on_the_loop
from tests.bot.executor import Executor, until_true
from tests.server import PostgresControl
from tests.templates import CORE_TEMPLATE, Databases
from tests.waiting import until

WAITING_SQL = """
SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'dozor.telegram_updates'::regclass
"""


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take it before `running`, whose first poll begins with the pause of then."""
    monkeypatch.setattr(poller_module, "FIRST_BACKOFF", 0.1)


@on_the_loop()
async def telegram(api: BotApi, pool: Pool) -> AsyncIterator[TelegramBot]:
    """Not polling yet."""
    telegram = build(api, pool)
    yield telegram
    await telegram.close()


async def _commands(pool: Pool) -> int:
    count = await pool.fetchval("SELECT count(*) FROM dozor.commands")
    assert isinstance(count, int)
    return count


def _texts(api: BotApi) -> list[str]:
    return [message.text for message in api.world.sent(ADMIN)]


async def test_killed_after_the_update_was_stored_it_is_not_handled_again(
    api: BotApi, pool: Pool, executor: Executor
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    update_id = api.say(ADMIN, "/restart presale_checker")
    first = Running(build(api, pool))
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")))
    api.fail(FaultKind.HANG, method="getUpdates", seconds=30)  # the confirmation never reaches Telegram
    await api.wait_until(lambda: bool(_texts(api)), what="the answer")
    await first.close()
    assert api.confirmed_up_to < update_id

    second = Running(build(api, pool))
    await api.wait_until(lambda: api.confirmed_up_to >= update_id, what="the confirmation")
    await second.close()
    assert await _commands(pool) == 1
    assert len(executor.done) == 1
    assert _texts(api) == ["🔄 presale_checker перезапущена, сейчас выполняется"]


async def test_killed_before_the_update_was_stored_it_comes_again(
    api: BotApi, database: str, pool: Pool, executor: Executor
) -> None:
    await executor.add("presale_checker", State.STOPPED, 5)
    locker = await connect(database)
    transaction = locker.transaction()
    await transaction.start()
    await locker.execute("LOCK TABLE dozor.telegram_updates IN ACCESS EXCLUSIVE MODE")
    update_id = api.say(ADMIN, "/restart presale_checker")
    first = Running(build(api, pool))
    await until_true(locker, WAITING_SQL)
    await first.close()
    await transaction.rollback()
    await locker.close()
    assert await _commands(pool) == 0

    second = Running(build(api, pool))
    await api.wait_until(lambda: api.confirmed_up_to >= update_id, what="the confirmation")
    await api.wait_until(lambda: bool(_texts(api)), what="the answer")
    await second.close()
    assert await _commands(pool) == 1


@pytest.fixture
def own_database(databases: Databases) -> Iterator[str]:
    """DSN of a migrated database whose tables the test may change."""
    yield from databases.fresh(CORE_TEMPLATE)


async def test_a_failing_handler_answers_the_person_and_does_not_stop_the_loop(
    api: BotApi, own_database: str
) -> None:
    pool = await create_pool(own_database, min_size=1, max_size=3)
    running = Running(build(api, pool))
    try:
        await pool.execute("ALTER TABLE dozor.tasks RENAME TO elsewhere")
        api.say(ADMIN, "/status")
        api.say(ADMIN, "/restart x")
        await api.wait_until(lambda: len(_texts(api)) == 2, what="two apologies")
        assert set(_texts(api)) == {"Не получилось: внутренняя ошибка. Подробности в журнале раннера."}
        await pool.execute("ALTER TABLE dozor.elsewhere RENAME TO tasks")
        api.say(ADMIN, "/status")
        await api.wait_until(lambda: len(_texts(api)) == 3)
        assert not running.task.done()
    finally:
        await running.close()
        pool.terminate()
        await asyncio.sleep(0)  # the transports close on the loop


async def test_an_update_nobody_can_read_does_not_hold_up_those_behind_it(
    api: BotApi, running: Running
) -> None:
    api.world.push({"message": {"message_id": "not a number", "new_kind": {}}})
    api.world.push({"something_new": {"x": 1}})
    update_id = api.say(ADMIN, "/help")
    await api.wait_until(lambda: len(_texts(api)) == 1, what="help")
    await api.wait_until(lambda: api.confirmed_up_to >= update_id, what="the confirmation")


async def test_a_webhook_left_over_is_removed(api: BotApi, telegram: TelegramBot) -> None:
    api.world.webhook = "https://elsewhere.example"
    running = Running(telegram)
    api.say(ADMIN, "/help")
    await api.wait_until(lambda: bool(_texts(api)))
    await running.close()


async def test_a_refused_token_is_said_plainly_and_tried_again_slowly(
    api: BotApi, telegram: TelegramBot
) -> None:
    api.fail(FaultKind.UNAUTHORIZED, times=None)
    with pytest.raises(TokenRefusedError, match="refuses the bot's token"):
        await telegram.poller.run()
    assert telegram.poller.problem is not None
    assert telegram.poller.last_success is None
    calls = len(api.calls)
    again = asyncio.create_task(telegram.poller.run())
    with pytest.raises(TimeoutError):  # it holds off, however quickly it is started again
        await until(lambda: again.done() or len(api.calls) != calls, within=0.3)
    assert len(api.calls) == calls
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


async def test_a_second_poller_is_named_with_the_remedy(api: BotApi, telegram: TelegramBot) -> None:
    api.fail(FaultKind.CONFLICT, method="getUpdates")
    with pytest.raises(PollerConflictError, match="another program polls this bot; stop the other program"):
        await telegram.poller.run()


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.SERVER_ERROR,
        FaultKind.RESET,
        FaultKind.CUT_AFTER_ACCEPT,
        FaultKind.HALF_BODY,
        FaultKind.HALF_JSON,
        FaultKind.NONSENSE,
        FaultKind.NONSENSE_JSON,
        FaultKind.FLOOD_BARE,
        FaultKind.RETRY_AFTER,
    ],
)
async def test_a_faulty_answer_is_survived_without_losing_an_update(
    api: BotApi, quick_retries: None, running: Running, kind: FaultKind
) -> None:
    api.fail(kind, method="getUpdates", times=2)
    for _ in range(3):
        api.say(ADMIN, "/help")
    await api.wait_until(lambda: len(_texts(api)) == 3, what="three answers")
    assert running.poller.problem is None


async def test_telegram_unreachable_is_told_and_survived(
    api: BotApi, quick_retries: None, running: Running
) -> None:
    await api.stop()
    await until(lambda: running.poller.problem is not None)
    before = running.poller.last_success
    await api.start()
    api.say(ADMIN, "/help")
    await api.wait_until(lambda: bool(_texts(api)), what="the answer")
    assert running.poller.problem is None
    assert before is not None
    assert running.poller.last_success is not None
    assert running.poller.last_success > before
    assert abs(running.poller.last_success - SteadyClock().now()) < 60


async def _spaced(api: BotApi, calls: int = 3) -> None:
    """So many failed polls, and a pause before each next one."""

    def failed() -> list[float]:
        return [call.at for call in api.calls_of("getUpdates") if call.fault]

    await api.wait_until(lambda: len(failed()) >= calls, what="failed polls")
    gaps = [later - earlier for earlier, later in itertools.pairwise(failed())]
    assert min(gaps) > poller_module.FIRST_BACKOFF / 2 - 0.01, gaps


@pytest.mark.parametrize(
    "body", [{"ok": True}, {"ok": True, "result": None}, {"ok": True, "result": {}}, {"ok": False}, []]
)
async def test_it_does_not_spin_on_an_answer_without_updates(
    api: BotApi, quick_retries: None, running: Running, body: Any
) -> None:
    api.fail(FaultKind.ANSWER, method="getUpdates", times=None, status=200, body=body)
    api.say(ADMIN, "/help")
    await _spaced(api)
    assert running.poller.problem is not None
    api.faults.clear()
    await api.wait_until(lambda: bool(_texts(api)), what="the answer")


async def test_it_does_not_spin_while_telegram_fails(
    api: BotApi, quick_retries: None, running: Running
) -> None:
    api.fail(FaultKind.SERVER_ERROR, method="getUpdates", times=None)
    api.notify()
    api.say(ADMIN, "/help")
    await _spaced(api)
    assert running.poller.problem is not None


async def test_with_the_database_away_the_person_is_told_and_answered_later(
    api: BotApi, postgres_control: PostgresControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poller_module, "FIRST_BACKOFF", 0.1)
    pool = await create_pool(postgres_control.dsn, min_size=1, max_size=3)
    running = Running(build(api, pool))
    try:
        await api.wait_until(lambda: bool(api.calls_of("getUpdates")))
        await asyncio.to_thread(postgres_control.stop)
        update_id = api.say(ADMIN, "/status")
        await api.wait_until(lambda: len(_texts(api)) == 1, what="the excuse")
        assert _texts(api) == ["База данных не отвечает. Выполню и отвечу, когда она вернётся."]
        assert running.poller.problem is not None
        assert api.confirmed_up_to < update_id
        await asyncio.to_thread(postgres_control.start)
        await api.wait_until(lambda: len(_texts(api)) == 2, what="the answer")
        assert _texts(api)[1].startswith("Задач нет")
        await api.wait_until(lambda: api.confirmed_up_to >= update_id)
    finally:
        await running.close()
        pool.terminate()


async def test_old_ids_of_updates_are_forgotten(api: BotApi, pool: Pool, running: Running) -> None:
    insert = "INSERT INTO dozor.telegram_updates VALUES (1, now() - interval '3 days'), (2, now())"
    await pool.execute(insert)
    update_id = api.say(ADMIN, "/help")
    await api.wait_until(lambda: api.confirmed_up_to >= update_id)
    ids = await pool.fetch("SELECT update_id FROM dozor.telegram_updates ORDER BY 1")
    assert [row["update_id"] for row in ids] == [2, update_id]


async def test_closing_lets_answers_in_progress_be_given(
    api: BotApi, pool: Pool, executor: Executor, running: Running
) -> None:
    await executor.add("presale_checker", State.WAITING)
    executor.slow = 0.5
    api.say(ADMIN, "/run presale_checker")
    await until(lambda: running.poller.answering > 0)
    await running.close()
    assert _texts(api) == ["▶️ presale_checker запущена, сейчас выполняется"]


async def test_a_leader_that_ends_leaves_its_answers_to_the_next_one(
    api: BotApi, pool: Pool, executor: Executor
) -> None:
    """A hand-over does not wait for Telegram: what was not delivered is kept, and sent by the next leader."""
    api.fail(FaultKind.HANG, method="sendMessage")
    first = build_bot(configure(api), pool, Language.EN, ZONE, SteadyClock(), ONCALL, answers_grace=0.1)
    ending = Running(first)
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")), what="the first poll")
    api.say(ADMIN, "/whoami")
    await api.wait_until(lambda: bool(api.calls_of("sendMessage")), what="an answer under way")
    async with asyncio.timeout(1.5):
        await ending.close()
    following = Running(build(api, pool, Language.EN))
    await api.wait_until(lambda: len(api.world.sent(ADMIN)) == 1, what="the answer")
    await following.close()
