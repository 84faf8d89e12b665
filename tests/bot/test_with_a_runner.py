"""The whole way in one process: a checker breaks, the chat gets an alert, a button restarts it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from dozor.app import Runner
from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, GROUP, STRANGER

CHECKER = """
from pathlib import Path

BROKEN = Path(__file__).with_name("broken")

async def check():
    if BROKEN.exists():
        raise ConnectionError("the marketplace does not answer")
"""


def _config(folder: Path, api: BotApi, dsn: str) -> Path:
    (folder / "whole_way_checker.py").write_text(CHECKER, "utf-8")
    path = folder / "config.yaml"
    path.write_text(
        textwrap.dedent(
            f"""
            language: ru
            timezone: Europe/Moscow
            database: {{url: "{dsn}"}}
            telegram:
              token: "{api.token}"
              api_url: {api.url}
              chat: {GROUP}
              admins: [{ADMIN}]
            web: {{listen: null}}
            tasks:
              presale_checker:
                run: whole_way_checker:check
                every: 50ms
                restart_delay: 50ms
                max_consecutive_failures: 5
            """
        ),
        "utf-8",
    )
    return path


async def test_a_failure_is_told_and_the_button_brings_the_checker_back(
    api: BotApi, database: str, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.touch()

    def said() -> list[StoredMessage]:
        """But for the hello of the start."""
        return [message for message in api.world.sent(GROUP) if not message.text.startswith("🟢")]

    def headers() -> list[str]:
        return [message.text.splitlines()[0] for message in said()]

    async with Runner.from_config(_config(tmp_path, api, database)):
        await api.wait_until(lambda: len(headers()) == 2, 30, "the two alerts")
        api.say(STRANGER, "/restart presale_checker", chat_id=GROUP)
        stop = said()[-1]
        broken.unlink()
        api.press(ADMIN, GROUP, stop.message_id, stop.buttons[0][1])
        await api.wait_until(lambda: len(headers()) == 4, 30, "the answer and the recovery")
        api.say(ADMIN, "/status")
        await api.wait_until(lambda: bool(api.world.sent(ADMIN)), 30, "the status")
    # An alert is edited in place when it is over: what was first written counts.
    first, second = (message.history[0].splitlines()[0] for message in said()[:2])
    rest = headers()[2:]
    assert re.fullmatch(r"⚠️ presale_checker: 3 ошибки подряд с \d\d:\d\d:\d\d · №1", first)
    assert re.fullmatch(r"🛑 presale_checker остановлена: 5 ошибок подряд с \d\d:\d\d:\d\d · №1", second)
    assert "✅ presale_checker снова работает · №1" in rest
    [answer] = [header for header in rest if header.endswith("· Анна")]
    assert answer == "🔄 presale_checker перезапущена · Анна"
    told = next(message.text for message in api.world.sent(GROUP) if message.text.startswith(answer))
    assert re.fullmatch(r"✅ Запуск \d+: успех за \d+ мс", told.splitlines()[1])
    recovery = next(message for message in api.world.sent(GROUP) if message.text.startswith("✅"))
    assert "Перезапуск: Анна" in recovery.text
    assert api.world.sent(ADMIN)[0].text.startswith("✅ 1 задача, всё в порядке")
