"""What the bot did after an update, in the order of its calls, as text for people to read."""

from __future__ import annotations

from typing import Any

from tests.bot.botapi.server import BotApi, Call
from tests.bot.botapi.validation import Upload
from tests.bot.conftest import Running
from tests.bot.transcript import steady
from tests.waiting import until

SHOWN = ("answerCallbackQuery", "sendMessage", "editMessageText", "sendPhoto", "editMessageMedia",
         "sendDocument", "editMessageReplyMarkup")  # fmt: skip
SIGNS = {
    "sendMessage": "→ new message",
    "editMessageText": "→ in place",
    "sendPhoto": "→ new photo",
    "editMessageMedia": "→ photo in place",
    "sendDocument": "→ file",
    "editMessageReplyMarkup": "→ buttons removed",
}


class Witness:
    """`after` waits until an update is handled and answered, and tells what was seen."""

    def __init__(self, api: BotApi, running: Running) -> None:
        self._api, self._running = api, running

    async def after(self, update_id: int, since: int) -> str:
        api, poller = self._api, self._running.poller
        await api.wait_until(lambda: api.confirmed_up_to >= update_id, what=f"update {update_id}")
        await until(lambda: poller.answering == 0, every=0.002)
        seen = [_tell(call) for call in api.calls[since:] if call.method in SHOWN and call.status == 200]
        return steady("\n".join(seen)) or "    (silence)"


def _tell(call: Call) -> str:
    params = call.params
    if call.method == "answerCallbackQuery":
        return f"    ☝ {params.get('text', '')}".rstrip()
    lines = [SIGNS[call.method]]
    for value in params.values():
        if isinstance(value, Upload):
            lines[0] += f" {value.filename}"
    text = params.get("text") or params.get("caption") or (params.get("media") or {}).get("caption") or ""
    lines += [f"  {line}" for line in text.split("\n")] if text else []
    lines += [f"  {line}" for line in _buttons(params.get("reply_markup"))]
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _buttons(markup: dict[str, Any] | None) -> list[str]:
    rows = (markup or {}).get("inline_keyboard", [])
    return [" ".join(f"[{button['text']} → {button['callback_data']}]" for button in row) for row in rows]
