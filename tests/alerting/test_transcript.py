"""One incident's life as its chat shows it; the page about alerting shows the same."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from runner.alerting.escalation import Level
from runner.alerting.oncall import OnCall, Person
from runner.control.alert_commands import AlertCommand
from tests.alerting.chat import Post
from tests.alerting.room import Room

PAGE = Path(__file__).parents[2] / "docs" / "alerting.md"
BEGIN, END = "<!-- transcript -->\n```text\n", "```\n<!-- end of transcript -->"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def transcript(post: Post) -> str:
    """Messages in order; what an edit changed stands under its message."""
    lines: list[str] = []
    for number, shown in enumerate(post.messages, 1):
        reply = f"  (ответ на №{shown.message.reply_to})" if shown.message.reply_to else ""
        sound = "  (без звука)" if shown.message.silent else ""
        lines.append(f"── №{number}  {_clock(shown.at)}{reply}{sound}")
        before: list[str] = []
        for version, text in enumerate(shown.texts):
            now = text.splitlines()
            if version:
                lines.append("   ✎ изменено на месте:")
            lines += [("   " if version else "") + line for line in now if line not in before]
            before = now
        lines += ["".join(f"[{button.label}] " for button in row).rstrip() for row in shown.message.buttons]
        lines.append("")
    return "\n".join(lines)


async def test_the_page_shows_one_incidents_life_as_the_chat_does(room: Room) -> None:
    people = OnCall({"ann": Person(name="ann", mention="@ann")})
    room.furnish(levels=(Level(900.0, "ann"),), oncall=people)
    post = Post(room)
    for _ in range(3):
        room.story.fail()
    await post.deliver(30)
    room.story.fail()
    await post.deliver(30)
    room.story.fail()
    await post.deliver(30)
    room.pass_time(900)
    await post.deliver(30)
    room.ask(AlertCommand.ACK, "1")
    await post.deliver(30)
    room.pass_time(600)
    room.story.restart("telegram:111")
    room.story.succeed()
    await post.deliver(60)
    shown = transcript(post)
    page = PAGE.read_text("utf-8")
    if os.environ.get("DOZOR_RENEW"):
        head, _, rest = page.partition(BEGIN)
        _, _, tail = rest.partition(END)
        PAGE.write_text(f"{head}{BEGIN}{shown}{END}{tail}", "utf-8")
        page = PAGE.read_text("utf-8")
    assert f"{BEGIN}{shown}{END}" in page, "renew it: DOZOR_RENEW=1 pytest tests/alerting/test_transcript.py"
