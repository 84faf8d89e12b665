"""What a chat looks like, as text for people to read, and its snapshot in `snapshots/`.

`DOZOR_REWRITE_SNAPSHOTS=1` writes the snapshots anew: read the difference before committing it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.bot.botapi.model import StoredMessage
from tests.bot.botapi.server import BotApi

FOLDER = Path(__file__).parent / "snapshots"
_MOVING = (
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "ЧЧ:ММ:СС"),
    (re.compile(r"\b\d\d\.\d\d \d\d:\d\d\b"), "ЧЧ:ММ:СС"),  # the same, around midnight
    (re.compile(r"\b(yes|no):[0-9a-f]{16}(?=[.\]])"), r"\1:TOKEN"),
    (re.compile(r"(?<=через )[\d]+ мин( [\d]+ с)?"), "N мин"),
    (re.compile(r"(?<=in )[\d]+ min( [\d]+ s)?"), "N min"),
    (re.compile(r"(?<=\d мин) \d+ с\b(?! назад)"), ""),
    (re.compile(r"(?<=\d min) \d+ s\b"), ""),
    (re.compile(r"(?<=через )[\d\s]+ (день|дня|дней)( \d+ ч)?"), "N дней"),
    (re.compile(r"(?<=in )[\d,]+ days?( \d+ h)?"), "N days"),
    (re.compile(r"(?<=Выполняется: )[\d]+ м?с"), "N мс"),
    (re.compile(r"(?<=Running for: )[\d]+ m?s"), "N ms"),
)


def show(message: StoredMessage) -> str:
    """The text, then its buttons a row a line."""
    lines = message.text.split("\n")
    for row in (message.markup or {}).get("inline_keyboard", []):
        lines.append(" ".join(f"[{button['text']} → {button['callback_data']}]" for button in row))
    text = steady("\n".join(lines))
    return "\n".join(f"    {line}".rstrip() for line in text.split("\n"))


def steady(text: str) -> str:
    """Without what changes from one run to the next."""
    for moving, fixed in _MOVING:
        text = moving.sub(fixed, text)
    return text


def check_snapshot(name: str, text: str) -> None:
    """Compare with `snapshots/NAME.txt`."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("DOZOR_REWRITE_SNAPSHOTS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.exists(), f"no snapshot {path.name}: run with DOZOR_REWRITE_SNAPSHOTS=1"
    assert text == path.read_text("utf-8")


class Transcript:
    """Collects what was asked and what came back."""

    def __init__(self, api: BotApi, chat_id: int) -> None:
        self._api = api
        self._chat_id = chat_id
        self._parts: list[str] = []

    async def ask(self, user_id: int, text: str, **more: float) -> StoredMessage:
        """Say it in the private chat; the answer."""
        before = len(self._api.world.sent(self._chat_id))
        self._api.say(user_id, text, **more)
        await self._api.wait_until(
            lambda: len(self._api.world.sent(self._chat_id)) > before, what=f"an answer to {text}"
        )
        answer = self._api.world.sent(self._chat_id)[-1]
        self._parts.append(f"> {text}\n{show(answer)}")
        return answer

    def note(self, text: str) -> None:
        self._parts.append(f"# {text}")

    def add(self, message: StoredMessage) -> None:
        self._parts.append(show(message))

    def check(self, name: str) -> None:
        """Compare with the snapshot."""
        check_snapshot(name, "\n\n".join(self._parts) + "\n")
