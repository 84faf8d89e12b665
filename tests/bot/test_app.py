"""Building the bot: the token, the menu, and errors that are reported at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dozor.clock import SteadyClock
from dozor.config.sections.config import TelegramConfig
from dozor.errors import TokenRefusedError
from dozor.language import Language
from dozor.storage.postgres.pool import Pool
from dozor_bot.app import build_bot
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, GROUP, OPERATOR, VIEWER, ZONE, build, configure


def _names(api: BotApi, menu: str) -> list[str]:
    return [command["command"] for command in api.world.commands.get(menu, [])]


async def test_everybody_sees_the_menu_of_their_role_in_their_language(api: BotApi, pool: Pool) -> None:
    telegram = build(api, pool)
    try:
        await telegram.set_my_commands()
    finally:
        await telegram.close()
    assert _names(api, "") == _names(api, "en") == ["whoami"]
    assert "audit" in _names(api, f"chat:{ADMIN}/")
    assert "audit" not in _names(api, f"chat:{OPERATOR}/ru")
    assert "restart" in _names(api, f"chat:{OPERATOR}/ru")
    assert "restart" not in _names(api, f"chat:{VIEWER}/en")
    assert "restart" in _names(api, f"chat:{GROUP}/")
    assert api.world.commands[f"chat:{VIEWER}/en"][0] == {
        "command": "status",
        "description": "state of the tasks",
    }
    assert api.world.commands[f"chat:{ADMIN}/"] == api.world.commands[f"chat:{ADMIN}/ru"]


async def test_a_start_changes_only_what_the_configuration_has_changed(api: BotApi, pool: Pool) -> None:
    for more, calls in (({}, 15), ({}, 0), ({"operators": [], "viewers": [VIEWER, OPERATOR]}, 3)):
        telegram = build_bot(configure(api, **more), pool, Language.RU, ZONE, SteadyClock())
        before = len(api.calls_of("setMyCommands", "deleteMyCommands"))
        await telegram.set_my_commands()
        await telegram.close()
        assert len(api.calls_of("setMyCommands", "deleteMyCommands")) - before == calls
    telegram = build_bot(
        configure(api, operators=[], viewers=[VIEWER]), pool, Language.RU, ZONE, SteadyClock()
    )
    await telegram.set_my_commands()
    await telegram.close()
    assert _names(api, f"chat:{OPERATOR}/ru") == []


async def test_a_menu_that_is_not_taken_is_harmless_and_tried_again(api: BotApi, pool: Pool) -> None:
    api.world.chats[VIEWER].blocked = True  # never mind: they have no menu
    telegram = build(api, pool)
    try:
        api.fail(FaultKind.SERVER_ERROR, method="setMyCommands")
        await telegram.set_my_commands()
        assert api.world.commands == {}
        await telegram.set_my_commands()
        assert "restart" in _names(api, f"chat:{OPERATOR}/")
        assert _names(api, f"chat:{VIEWER}/") == []
    finally:
        await telegram.close()


@pytest.mark.parametrize("token", ["", "no-colon", "letters:abc", "1:with space"])
async def test_what_is_no_token_is_said_before_any_call(pool: Pool, token: str) -> None:
    config = TelegramConfig.model_construct(**{**TelegramConfig().__dict__, "token": _Secret(token)})
    with pytest.raises(TokenRefusedError, match=r"telegram\.token"):
        build_bot(config, pool, Language.RU, ZONE, SteadyClock())


class _Secret:
    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        return self._value


def test_words_and_buttons_do_not_load_aiogram() -> None:
    """What supervises and what the command line uses must start without its 3 s."""
    code = (
        "import sys, dozor.alerting.rendering.render, dozor.language, dozor.control.queries.status; "
        "import dozor.control.task_names; "
        "sys.exit('aiogram' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
