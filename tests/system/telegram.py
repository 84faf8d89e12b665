"""Who is in the chat, and the messages of the bot there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi
from tests.system.process import PATIENCE

CHAT = -1001234567890
ADMIN, STRANGER = 111, 666
TOKEN = "8214467301:AAHq-Systemtests-0nly-NotARealOne_42"
DUPLICATE = "Возможно, повтор"
WELL_STARTED = "🟢"
"""How the report of a start begins that found nothing wrong."""


@asynccontextmanager
async def open_telegram() -> AsyncIterator[BotApi]:
    """A Bot API with one group, an admin and a stranger."""
    api = BotApi(token=TOKEN)
    api.world.add_user(ADMIN, "Анна")
    api.world.add_user(STRANGER, "Чужой")
    api.world.add_chat(CHAT, "supergroup", "Дежурные")
    async with api:
        yield api


def section(api: BotApi, **more: Any) -> dict[str, Any]:
    """The `telegram` section of a configuration."""
    return {"token": TOKEN, "api_url": api.url, "chat": CHAT, "admins": [ADMIN], **more}


def texts(api: BotApi, chat: int = CHAT) -> list[str]:
    """What was sent to the chat, as it was first written, oldest first; not that a start found all well."""
    return [text for text in all_texts(api, chat) if not text.startswith(WELL_STARTED)]


def all_texts(api: BotApi, chat: int = CHAT) -> list[str]:
    """Everything that was sent to the chat, as it was first written, oldest first."""
    return [message.history[0] for message in api.world.sent(chat)]


async def chat_has(
    api: BotApi, *beginnings: str, within: float = PATIENCE, where: Callable[[str], bool] | None = None
) -> Sequence[StoredMessage]:
    """The messages of the chat, once there is one for each of `beginnings`. TimeoutError otherwise."""

    def there() -> bool:
        said = texts(api)
        return all(any(text.startswith(beginning) for text in said) for beginning in beginnings)

    await api.wait_until(there, timeout=within, what=f"{beginnings} among {texts(api)}")
    return api.world.sent(CHAT)
