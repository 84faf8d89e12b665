"""A hostile client: forged data, foreign chats, replayed presses, floods. No effect, all on record."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dozor.alerting.rendering.callback_data import Origin, encode
from dozor.storage.postgres.pool import Pool
from dozor_bot import router
from dozor_bot.handlers.table import PRESSES
from dozor_bot.router import BURST
from dozor_bot.security import flood
from tests.bot import scenery
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, FORUM, GROUP, OPERATOR, STRANGER, TOPIC, Running, on_the_loop
from tests.bot.executor import Executor, until_true
from tests.bot.witness import Witness
from tests.effort import cases
from tests.waiting import until

FOREIGN = -666
EXAMPLES = cases(25, 2000, variable="DOZOR_EXAMPLES")
NAMES = st.one_of(
    st.sampled_from(["all", "-", scenery.BROKEN, "presale_checker", "1", "2", "3", "-1", "9" * 30, "0" * 16]),
    st.text(max_size=12),
)
ACTIONS = st.builds(
    lambda action, rest: f"{action}.{rest}" if rest is not None else action,
    st.sampled_from(sorted(PRESSES)),
    st.one_of(
        st.none(), st.sampled_from(["0a", "1", "restart", "pause", "1h", "24h", "-1"]), st.text(max_size=6)
    ),
)
FORGED = st.one_of(st.builds(encode, st.sampled_from(Origin), ACTIONS, NAMES), st.text(max_size=70))
"""Callback data in the form of ours, with any action and any name, and any text."""
SHOWN = st.sampled_from(["message", "inaccessible", "inline", "nothing"])
EVERYTHING = ("tasks", "runs", "incidents", "notifications", "commands", "silences", "oncall_overrides")
ATTEMPTS_SQL = r"""
SELECT coalesce(sum(coalesce((regexp_match(result, ', (\d+) attempts$'))[1]::int, 1)), 0)::int
FROM dozor.audit WHERE actor = $1 AND result ~ '^(denied|ignored)' AND at > now() - interval '5 min'
"""


async def _fingerprint(pool: Pool) -> list[tuple[str, str]]:
    """Of every table that somebody could want to change."""
    texts = []
    for table in EVERYTHING:
        query = f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM dozor.{table} t"
        texts.append((table, await pool.fetchval(query)))
    return texts


async def _attempts(pool: Pool, user: int) -> int:
    count: int = await pool.fetchval(ATTEMPTS_SQL, f"telegram:{user}")
    return count


@on_the_loop()
async def scene(pool: Pool, executor: Executor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The database as it must stay. Windows of counting are short, so that tests need not wait for them."""
    monkeypatch.setattr(flood, "WINDOW", 0.3)
    await scenery.set_scene(pool, executor)
    return await _fingerprint(pool)


def _menu(api: BotApi, chat_id: int, *data: str, thread_id: int | None = None) -> int:
    rows = [[{"text": "x", "callback_data": one}] for one in data]
    chat = api.world.chats[chat_id]
    markup = {"inline_keyboard": rows}
    return api.world.store(
        chat, api.world.bot, "menu", markup=markup if data else None, thread_id=thread_id
    ).message_id


@pytest.mark.parametrize("action", sorted(PRESSES))
@pytest.mark.parametrize("user", [ADMIN, STRANGER])
async def test_data_that_no_button_carries_does_nothing_for_anybody(
    api: BotApi, pool: Pool, running: Running, scene: list[tuple[str, str]], user: int, action: str
) -> None:
    under = _menu(api, GROUP, "m:list.0a:-")
    data = f"a:{action}:{scenery.BROKEN}"
    await Witness(api, running).after(api.press(user, GROUP, under, data), 0)
    assert await _fingerprint(pool) == scene
    assert api.world.sent(GROUP)[0].history == ["menu"]
    assert len(api.world.sent()) == 1
    assert await _attempts(pool, user) == 1


@pytest.mark.timeout(120 + EXAMPLES)
async def test_any_data_of_a_changed_client_changes_nothing(
    api: BotApi,
    pool: Pool,
    executor: Executor,
    running: Running,
    scene: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An admin's that no button of the message carries, and a stranger's on whatever Telegram shows.

    `DOZOR_EXAMPLES=2000` for the whole campaign.
    """
    monkeypatch.setattr(router, "BURST", 1e9)
    loop = asyncio.get_running_loop()
    defects: list[BaseException] = []
    running.poller.on_defect = defects.append
    shown = f"a:restart:{scenery.BROKEN}"
    under = _menu(api, GROUP, shown)

    async def press(batch: list[tuple[str, bool, str]]) -> None:
        last = 0
        for data, admin, shows in batch:
            if admin and data != shown:
                last = api.press(ADMIN, GROUP, under, data)
            elif not admin:
                last = api.press(STRANGER, GROUP, under, data, shows=shows)
        await until(lambda: api.confirmed_up_to >= last or running.task.done())
        assert not running.task.done()
        await until(lambda: running.poller.answering == 0)
        assert defects == []
        assert executor.done == []
        assert await _fingerprint(pool) == scene

    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.lists(st.tuples(FORGED, st.booleans(), SHOWN), min_size=1, max_size=8))
    @example([(f"a:{action}:{scenery.BROKEN}", False, "nothing") for action in sorted(PRESSES)])
    @example([(f"m:{action}:all", True, "message") for action in sorted(PRESSES)])
    def play(batch: list[tuple[str, bool, str]]) -> None:
        asyncio.run_coroutine_threadsafe(press(batch), loop).result(60)

    await asyncio.to_thread(play)


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    "data",
    ["", "::", "a::", "a:restart:", "m:yes:" + "0" * 16, "m:many.pause:-", "x" * 64,
     "a:restart:presale_checker\x00", "m:trace:../../etc/passwd", "m:list.-1a:-", "m:history.999999999:x",
     "m:chart.99y:presale_checker", "m:storm.1:99999999999999999999", "a:ack:-1", "a:ack:1; DROP TABLE"],
)  # fmt: skip
async def test_nonsense_even_on_a_button_does_nothing_by_itself(
    api: BotApi, pool: Pool, running: Running, scene: list[tuple[str, str]], data: str
) -> None:
    """As if an older version had sent such a button: shown, pressed, and still nothing is changed."""
    under = _menu(api, ADMIN, data)
    told = await Witness(api, running).after(api.press(ADMIN, ADMIN, under, data), 0)
    assert "внутренняя" not in told
    assert [row for row in await _fingerprint(pool) if row[0] != "commands"] == [
        row for row in scene if row[0] != "commands"
    ]


@pytest.mark.parametrize(("chat", "thread"), [(GROUP, None), (FORUM, TOPIC), (FOREIGN, None)])
async def test_a_stranger_gets_nothing_in_the_right_chat_and_in_a_foreign_one(
    api: BotApi,
    pool: Pool,
    running: Running,
    scene: list[tuple[str, str]],
    chat: int,
    thread: int | None,
) -> None:
    api.world.add_chat(FOREIGN, "supergroup", "Foreign")
    texts = [
        "/restart all",
        "/pause all",
        "/status",
        "/audit",
        "/silence all 1d",
        "/ack 2",
        "/whoami",
        "/help",
    ]
    witness = Witness(api, running)
    for text in texts:
        told = await witness.after(api.say(STRANGER, text, chat_id=chat, thread_id=thread), len(api.calls))
        assert told == "    (silence)"
    under = _menu(api, chat, f"a:restart:{scenery.BROKEN}", thread_id=thread)
    assert (
        await witness.after(api.press(STRANGER, chat, under, f"a:restart:{scenery.BROKEN}"), len(api.calls))
        == "    (silence)"
    )
    assert await _fingerprint(pool) == scene
    await until_true(
        pool, ATTEMPTS_SQL.replace("$1", f"'telegram:{STRANGER}'").replace("SELECT", "SELECT 9 =", 1)
    )


async def test_a_press_of_a_button_that_is_gone_is_refused(
    api: BotApi, pool: Pool, executor: Executor, running: Running, scene: list[tuple[str, str]]
) -> None:
    data = f"m:restart:{scenery.BROKEN}"
    under, witness = _menu(api, OPERATOR, data), Witness(api, running)
    await witness.after(api.press(OPERATOR, OPERATOR, under, data), 0)
    assert len(executor.done) == 1
    for _ in range(5):
        told = await witness.after(api.press(OPERATOR, OPERATOR, under, data), len(api.calls))
        assert told == "    ☝ Эта кнопка больше не действует."
    assert len(executor.done) == 1
    assert scene
    await until_true(
        pool, ATTEMPTS_SQL.replace("$1", f"'telegram:{OPERATOR}'").replace("SELECT", "SELECT 5 =", 1)
    )


async def test_an_update_that_comes_twice_is_carried_out_once(
    api: BotApi, pool: Pool, executor: Executor, running: Running, scene: list[tuple[str, str]]
) -> None:
    witness = Witness(api, running)
    update_id = api.say(OPERATOR, f"/restart {scenery.BROKEN}")
    again = dict(api.world.updates[-1])
    await witness.after(update_id, 0)
    await pool.execute("UPDATE dozor.commands SET created_at = now() - interval '1 min'")
    api.world.updates.append(again)
    await witness.after(api.say(OPERATOR, "/help"), 0)
    assert [command.task for command in executor.done] == [scenery.BROKEN]
    assert scene


@pytest.mark.timeout(120)
async def test_a_thousand_commands_in_a_second_by_a_stranger(
    api: BotApi, pool: Pool, running: Running, scene: list[tuple[str, str]]
) -> None:
    for number in range(1000):
        update_id = api.say(STRANGER, f"/restart {scenery.BROKEN} {number}", chat_id=GROUP)
    await Witness(api, running).after(update_id, 0)
    assert api.world.sent() == []
    assert await _fingerprint(pool) == scene
    await until_true(
        pool, ATTEMPTS_SQL.replace("$1", f"'telegram:{STRANGER}'").replace("SELECT", "SELECT 1000 =", 1)
    )
    assert await pool.fetchval("SELECT count(*) FROM dozor.audit WHERE result ~ 'denied'") < 30


@pytest.mark.timeout(120)
async def test_a_thousand_commands_in_a_second_by_an_operator(
    api: BotApi, pool: Pool, executor: Executor, running: Running, scene: list[tuple[str, str]]
) -> None:
    """One restart, a handful of answers; everything beyond their share is counted and not carried out."""
    for _ in range(1000):
        update_id = api.say(OPERATOR, f"/restart {scenery.BROKEN}", chat_id=GROUP)
    await Witness(api, running).after(update_id, 0)
    assert [command.task for command in executor.done] == [scenery.BROKEN]
    answered = [message.text for message in api.world.sent(GROUP)]
    restarted = [text for text in answered if text.startswith("🔄")]
    twice = [text for text in answered if "вы уже дали" in text or "сейчас выполняется" in text]
    assert len(restarted) == 1
    handled = len(restarted) + len([text for text in twice if text not in restarted])
    assert BURST <= handled <= BURST + 10
    expected = 1000 - handled
    await until_true(
        pool,
        ATTEMPTS_SQL.replace("$1", f"'telegram:{OPERATOR}'").replace("SELECT", f"SELECT {expected} =", 1),
    )
    assert scene
    assert re.search("Слишком много команд", "\n".join(answered))
