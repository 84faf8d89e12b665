"""One-time codes before chosen commands."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pyotp
import pytest
from pydantic import ValidationError

from dozor.clock import SteadyClock
from dozor.config.sections.totp import TotpConfig
from dozor.control.commands.commands import CommandName
from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor.supervision.core.state import State
from dozor_bot.app import build_bot
from dozor_bot.security.totp import TotpGuard, Verdict
from dozor_bot.telegram.incoming import Sender
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, OPERATOR, ZONE, Running, configure, on_the_loop
from tests.bot.executor import Executor
from tests.bot.transcript import Transcript

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def _guarded(api: BotApi, pool: Pool) -> Running:
    config = configure(api, totp={"commands": ["restart"], "secrets": {ADMIN: SECRET}})
    return Running(build_bot(config, pool, Language.RU, ZONE, SteadyClock()))


@on_the_loop()
async def guarded(api: BotApi, pool: Pool, executor: Executor) -> AsyncIterator[Running]:
    """A bot that takes a code for /restart; only the admin has a secret."""
    running = _guarded(api, pool)
    await executor.alive()
    await executor.add("presales", State.STOPPED, 5)
    yield running
    await running.close()


def _sender(message_id: int = 1) -> Sender:
    return Sender(user_id=1, user_name="A", chat_id=1, private=True, thread_id=None, message_id=message_id)


async def test_nothing_happens_without_the_code_and_everything_with_it(
    api: BotApi, pool: Pool, executor: Executor, guarded: Running
) -> None:
    chat = Transcript(api, ADMIN)
    assert (await chat.ask(ADMIN, "/code 123456")).text.startswith("Ни одна команда не ждёт кода")
    assert "код из приложения" in (await chat.ask(ADMIN, "/restart presales")).text
    right = pyotp.TOTP(SECRET)
    wrong = next(f"{n:06}" for n in range(100) if not right.verify(f"{n:06}", valid_window=3))
    assert (await chat.ask(ADMIN, f"/code {wrong}")).text.startswith("Код не подошёл")
    assert executor.done == []
    code = right.now()
    assert "presales перезапущена" in (await chat.ask(ADMIN, f"/code {code}")).text
    assert [command.name for command in executor.done] == [CommandName.RESTART]
    assert (await chat.ask(ADMIN, f"/code {code}")).text.startswith("Ни одна команда не ждёт кода")
    row = await pool.fetchrow("SELECT action, result FROM dozor.audit WHERE result = 'denied'")
    assert tuple(row or ()) == ("/code for restart", "denied")


async def test_a_code_is_not_good_again_after_a_restart(
    api: BotApi, pool: Pool, executor: Executor, guarded: Running
) -> None:
    chat, right = Transcript(api, ADMIN), pyotp.TOTP(SECRET)
    await chat.ask(ADMIN, "/restart presales")
    code = right.at(int(time.time()) + 30)  # of the next step: in the window of both, whenever this is run
    assert "presales перезапущена" in (await chat.ask(ADMIN, f"/code {code}")).text
    await guarded.close()
    anew = _guarded(api, pool)
    try:
        await chat.ask(ADMIN, "/restart presales")
        assert (await chat.ask(ADMIN, f"/code {code}")).text.startswith("Код не подошёл")
        assert len(executor.done) == 1
        assert await pool.fetchval("SELECT target FROM dozor.audit WHERE result = 'denied'") == "presales"
    finally:
        await anew.close()


async def test_who_has_no_secret_cannot_do_it_but_everything_else(
    api: BotApi, executor: Executor, guarded: Running
) -> None:
    chat = Transcript(api, OPERATOR)
    await chat.ask(OPERATOR, "/restart presales")
    assert (await chat.ask(OPERATOR, "/code 123456")).text.startswith("У вас нет кода")
    assert executor.done == []
    assert (await chat.ask(OPERATOR, "/pause presales")).text == "⏸ presales на паузе"


def test_a_code_is_right_once_and_guesses_are_few() -> None:
    codes, now = TotpGuard(frozenset({CommandName.RESTART}), {1: SECRET}), time.time()
    code = pyotp.TOTP(SECRET).at(int(now))
    assert codes.check(_sender(5), code, now) is Verdict.RIGHT
    assert codes.check(_sender(5), code, now) is Verdict.RIGHT  # the same message, handled again
    assert codes.check(_sender(6), code, now) is Verdict.WRONG
    assert [codes.check(_sender(7), "000000", now) for _ in range(3)][-1] is Verdict.TOO_MANY


@pytest.mark.parametrize(
    "wrong",
    [{}, {"secrets": {}}, {"secrets": {1: "not base32!"}}, {"secrets": {1: "ABCD"}}, {"secrets": {1: 5}},
     {"secrets": {-5: SECRET}}, {"commands": ["reboot"], "secrets": {1: SECRET}}],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TotpConfig.model_validate(wrong)
