"""One incident as its chat shows it; docs/images/chat.*.txt holds the same, and the READMEs its picture."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from dozor.alerting.model.message import Message
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.control.commands.commands import AlertCommand
from tests.alerting.chat import Post, Shown
from tests.alerting.chat_picture import IMAGES, LANGUAGES, draw, parse
from tests.alerting.stage import Stage
from tests.alerting.story import failure

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


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_transcript_is_what_the_chat_shows(stage: Stage, language: str) -> None:
    people = OnCall({"ann": Person(name="ann", mention="@ann")})
    stage.furnish(levels=(Level(900.0, "ann"),), oncall=people)
    post = Post(stage, language=language, name_of={"telegram:111": "Ann"}.get)
    checker = stage.new_task("ton_deposits")
    timed_out = failure(
        "TON API did not answer in 10 s", kind="TimeoutError", where="ton_deposits.py:58 in read_page"
    )
    for count in range(1, 6):
        checker.fail(timed_out)
        if count >= 3:
            await post.deliver(30)
    stage.pass_time(900)
    await post.deliver(30)
    stage.ask(AlertCommand.ACK, "1")
    await post.deliver(30)
    stage.pass_time(600)
    checker.restart("telegram:111")
    checker.succeed()
    await post.deliver(60)
    shown = transcript(post, language)
    path = IMAGES / f"chat.{language}.txt"
    if os.environ.get("DOZOR_RENEW"):
        path.write_text(shown, "utf-8")
    assert path.read_text("utf-8") == shown, (
        "renew it: DOZOR_RENEW=1 pytest tests/alerting/test_transcript.py"
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_picture_of_the_readme_is_drawn_from_the_transcript(language: str) -> None:
    events = parse((IMAGES / f"chat.{language}.txt").read_text("utf-8"))
    picture = (IMAGES / f"chat.{language}.svg").read_text("utf-8")
    assert picture == draw(events), "renew it: python -m tests.alerting.chat_picture"
    assert len(events) >= 6
    assert ET.fromstring(picture).tag.endswith("svg")
    shown = " ".join(ET.fromstring(picture).itertext()).split()
    for event in events:
        assert all(word in shown for line in event.lines for word in line.split())
