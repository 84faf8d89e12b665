"""One incident's life as its chat shows it; the READMEs show the same."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dozor.alerting.model.message import Message
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.control.commands.commands import AlertCommand
from tests.alerting.chat import Post, Shown
from tests.alerting.room import Room
from tests.alerting.story import failure

FOLDER = Path(__file__).parents[2]
BEGIN, END = "<!-- transcript -->\n```text\n", "```\n<!-- end of transcript -->"
NEW, REPLY, EDIT = 0, 1, 2
WORDS = {"en": ("message", "in reply to", "edited"), "ru": ("сообщение", "ответ на", "изменено")}
INDENT = "   "


def transcript(post: Post, language: str) -> str:
    """What happens in the chat, in order: new messages, and what is changed in those that are there."""
    words = WORDS[language]
    events = [
        (at, number, version)
        for number, shown in enumerate(post.messages, 1)
        for version, (at, _) in enumerate(shown.versions)
    ]
    lines: list[str] = []
    for at, number, version in sorted(events):
        shown = post.messages[number - 1]
        when = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
        if version:
            lines.append(f"{when} ✎ {words[EDIT]} {number}")
            lines += [INDENT + line for line in _changed(shown, version)]
        else:
            reply = shown.message.reply_to
            about = f", {words[REPLY]} {reply}" if reply else ""
            lines.append(f"{when} {words[NEW]} {number}{about}")
            lines += [INDENT + line for line in _all(shown.versions[0][1])]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _all(message: Message) -> list[str]:
    return [*message.plain.splitlines(), *_buttons(message)]


def _changed(shown: Shown, version: int) -> list[str]:
    before = _all(shown.versions[version - 1][1])
    return [line for line in _all(shown.versions[version][1]) if line not in before]


def _buttons(message: Message) -> list[str]:
    return [" ".join(f"[{button.label}]" for button in row) for row in message.buttons]


@pytest.mark.parametrize(("page", "language"), [("README.md", "en"), ("README.ru.md", "ru")])
async def test_the_readme_shows_one_incidents_life_as_the_chat_does(
    room: Room, page: str, language: str
) -> None:
    people = OnCall({"ann": Person(name="ann", mention="@ann")})
    room.furnish(levels=(Level(900.0, "ann"),), oncall=people)
    post = Post(room, language=language, name_of={"telegram:111": "Ann"}.get)
    checker = room.new_task("ton_deposits")
    timed_out = failure(
        "TON API did not answer in 10 s", kind="TimeoutError", where="ton_deposits.py:58 in read_page"
    )
    for count in range(1, 6):
        checker.fail(timed_out)
        if count >= 3:
            await post.deliver(30)
    room.pass_time(900)
    await post.deliver(30)
    room.ask(AlertCommand.ACK, "1")
    await post.deliver(30)
    room.pass_time(600)
    checker.restart("telegram:111")
    checker.succeed()
    await post.deliver(60)
    shown = transcript(post, language)
    path = FOLDER / page
    text = path.read_text("utf-8")
    if os.environ.get("DOZOR_RENEW"):
        head, _, rest = text.partition(BEGIN)
        _, _, tail = rest.partition(END)
        text = f"{head}{BEGIN}{shown}{END}{tail}"
        path.write_text(text, "utf-8")
    assert f"{BEGIN}{shown}{END}" in text, "renew it: DOZOR_RENEW=1 pytest tests/alerting/test_transcript.py"
