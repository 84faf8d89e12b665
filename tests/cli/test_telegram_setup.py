"""`dozor telegram setup` against the stand-in, as a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, ClassVar

import pytest

from dozor.cli.telegram.seen import added_to, pressed, seen_in
from dozor.config import load
from tests.bot.botapi.server import BotApi
from tests.preloaded.processes import Started, start
from tests.waiting import until

ADMIN, GROUP, FORUM = 111, -500, -1001
CONFIG = """language: en
# who is told
telegram:
  token: ${BOT_TOKEN:-}      # secret
  api_url: %s
  chat: ${ALERT_CHAT:-}      # the group
  admins: ${ADMINS:-}
web: {listen: null}
tasks:
  one: {run: "m:f", every: 60s}
"""


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    api = BotApi()
    api.world.add_user(ADMIN, "Anna", username="ann")
    api.world.add_chat(GROUP, "group", "On call")
    api.world.add_chat(FORUM, "supergroup", "Team", is_forum=True, topics={17: True})
    async with api:
        yield api


class Setup:
    """The command, started; `output` is what it has printed so far."""

    started: ClassVar[list[Setup]] = []
    """Of this test."""

    def __init__(self, process: Started, file: IO[bytes]) -> None:
        self.process = process
        self._file = file
        self.started.append(self)

    @property
    def output(self) -> str:
        size = os.fstat(self._file.fileno()).st_size
        return os.pread(self._file.fileno(), size, 0).decode(errors="replace")

    @classmethod
    async def start(cls, *arguments: str, token: str | None, given: bytes = b"") -> Setup:
        """`given` is all that comes from its standard input."""
        env = {key: value for key, value in os.environ.items() if key != "BOT_TOKEN"}
        if token is not None:
            env["BOT_TOKEN"] = token
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `close`
        reading, writing = os.pipe()
        try:
            os.write(writing, given)
            process = start(
                [sys.executable, "-m", "dozor", "telegram", "setup", *arguments],
                cwd=Path.cwd(),
                env={**env, "LC_ALL": "C.UTF-8"},
                stdin=reading,
                stdout=file.fileno(),
                stderr=file.fileno(),
            )
        finally:
            os.close(writing)
            os.close(reading)
        return cls(process, file)

    async def says(self, text: str, within: float = 60.0) -> None:
        """Wait until it has printed `text`. AssertionError if it ends without."""
        await until(lambda: text in self.output or self.process.poll() is not None, within=within)
        assert text in self.output, f"it ended without saying {text!r}:\n{self.output}"

    async def end(self, within: float = 90.0) -> int:
        """Its exit code."""
        await until(lambda: self.process.poll() is not None, within=within)
        return self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End it if it is still at work."""
        self.process.kill()
        self.process.wait()
        self._file.close()


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    yield
    while Setup.started:
        Setup.started.pop().close()


async def test_a_group_is_found_written_and_answers(api: BotApi, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG % api.url)
    command = await Setup.start("-c", str(path), "--write", token=api.token)
    await command.says("/start@")
    api.say(ADMIN, "/start@stand_in_bot", chat_id=GROUP)
    await command.says("Press its button")
    [message] = api.world.sent(GROUP)
    assert "Test alert" in message.text
    [[button]] = (message.markup or {})["inline_keyboard"]
    api.press(ADMIN, GROUP, message.message_id, button["callback_data"])
    assert await command.end() == 0, command.output
    assert "pressed by Anna" in command.output
    assert "pressed by Anna" in message.history[-1]
    assert path.read_text() == (CONFIG % api.url).replace(
        "chat: ${ALERT_CHAT:-}      #", "chat: -500                 #"
    ).replace("admins: ${ADMINS:-}", "admins: [111]")
    config = load(path, {"BOT_TOKEN": api.token})
    assert config.telegram.chat is not None
    assert (config.telegram.chat.chat_id, config.telegram.admins) == (GROUP, (ADMIN,))
    assert api.token not in command.output
    assert api.world.updates == [], "the runner does not take them for commands"


async def test_a_topic_is_found_and_printed_without_a_configuration(api: BotApi, tmp_path: Path) -> None:
    command = await Setup.start(
        "-c", str(tmp_path / "none.yaml"), "--api-url", api.url, token=None, given=f"{api.token}\n".encode()
    )
    await command.says("/start@")
    api.say(ADMIN, "hello", chat_id=ADMIN)
    await command.says("wrote in private")
    api.say(ADMIN, "here", chat_id=FORUM, thread_id=17)
    await command.says("Press its button")
    [message] = api.world.sent(FORUM)
    assert message.thread_id == 17
    api.press(
        ADMIN, FORUM, message.message_id, (message.markup or {})["inline_keyboard"][0][0]["callback_data"]
    )
    assert await command.end() == 0
    assert 'telegram:\n  token: ${BOT_TOKEN}\n  chat: "-1001:17"\n  admins: [111]\n' in command.output
    assert api.token not in command.output
    assert not (tmp_path / "none.yaml").exists()


async def test_a_group_that_becomes_a_supergroup_meanwhile(api: BotApi, tmp_path: Path) -> None:
    command = await Setup.start("-c", str(tmp_path / "none.yaml"), "--api-url", api.url, token=api.token)
    await command.says("/start@")
    api.world.chats[GROUP].migrated_to = FORUM
    api.say(ADMIN, "here", chat_id=GROUP)
    await command.says("Press its button")
    assert "chat: -1001\n" in command.output
    command.terminate()
    await command.end()


async def test_a_wrong_token_is_refused_and_not_shown(api: BotApi, tmp_path: Path) -> None:
    for token in ("42:another-token", "no token at all"):
        command = await Setup.start("-c", str(tmp_path / "c.yaml"), "--api-url", api.url, token=token)
        assert await command.end() == 1
        assert "@BotFather" in command.output
        assert token not in command.output
    command = await Setup.start("-c", str(tmp_path / "c.yaml"), "--api-url", api.url, token=None)
    assert await command.end() == 1
    assert "BOT_TOKEN" in command.output


async def test_another_poller_and_a_webhook_are_named(api: BotApi, tmp_path: Path) -> None:
    api.world.webhook = "https://example.org/hook"
    command = await Setup.start("-c", str(tmp_path / "c.yaml"), "--api-url", api.url, token=api.token)
    assert await command.end() == 1
    assert "deleteWebhook" in command.output


async def test_nothing_comes_and_nothing_is_written(api: BotApi, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG % api.url)
    command = await Setup.start("-c", str(path), "--write", "--timeout", "1", token=api.token)
    assert await command.end() == 1
    assert "privacy mode" in command.output
    assert path.read_text() == CONFIG % api.url


async def test_a_chat_that_refuses_the_test_alert_is_not_written(api: BotApi, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG % api.url)
    command = await Setup.start("-c", str(path), "--write", token=api.token)
    await command.says("/start@")
    api.world.chats[GROUP].kicked = True
    api.say(ADMIN, "here", chat_id=GROUP)
    assert await command.end() == 1
    assert "kicked" in command.output
    assert path.read_text() == CONFIG % api.url


async def test_a_message_of_yesterday_is_not_the_one(api: BotApi, tmp_path: Path) -> None:
    api.say(ADMIN, "old", chat_id=FORUM, date=1_000_000_000)
    command = await Setup.start("-c", str(tmp_path / "c.yaml"), "--api-url", api.url, token=api.token)
    await command.says("/start@")
    await until(lambda: len(api.calls_of("getUpdates")) > 1)
    api.say(ADMIN, "new", chat_id=GROUP)
    await command.says("Chat: On call")
    assert "Team" not in command.output
    command.terminate()
    await command.end()


def test_what_is_recognised_in_an_update() -> None:
    group = {"id": -5, "type": "group", "title": "A\x1b[2Jb"}
    person = {"id": 7, "first_name": "Ann", "is_bot": False}
    seen = seen_in({"message": {"chat": group, "from": person, "date": 5}})
    assert seen is not None
    assert (seen.title, seen.user_id, seen.thread_id) == ("A?[2Jb", 7, None)
    anonymous = seen_in({"message": {"chat": group, "from": person, "sender_chat": group, "date": 5}})
    assert anonymous is not None
    assert anonymous.user_id is None
    for nobody in (
        {"callback_query": {"id": "1"}},
        {"message": {"chat": {"id": 1, "type": "channel"}}},
        {"message": {"chat": group, "migrate_to_chat_id": -100}},
        {"channel_post": {"chat": group}},
    ):
        assert seen_in(nobody) is None
    joined = {"my_chat_member": {"chat": group, "new_chat_member": {"status": "member"}}}
    assert added_to(joined) == "A?[2Jb"
    assert added_to({"my_chat_member": {"chat": group, "new_chat_member": {"status": "left"}}}) is None
    assert pressed({"callback_query": {"id": "1", "data": "x", "from": person}}, "y") is None
