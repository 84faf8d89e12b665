"""Apprise over real HTTP: what is sent, and channels that refuse, hang or do not exist."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from loguru import logger

from dozor.alerting.fallback import apprise as channels_module
from dozor.alerting.fallback.apprise import AppriseChannels
from dozor.alerting.fallback.failover import LINES_UNITS, TEXT_UNITS, compose
from tests.alerting.receiver import Receiver
from tests.bot.socks import closed_port
from tests.waiting import until

SECRET = "s3cret-path-of-the-hook"


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    monkeypatch.setattr(channels_module, "TIMEOUT", 120.0)  # a busy machine is no silent server
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(sink)


async def test_a_message_arrives_under_its_label_as_it_is(receiver: Receiver, log: list[str]) -> None:
    text = "🛑 task stopped\n<b>&amp;</b> \\n *x*  \nПопытка 5/5"
    assert await AppriseChannels([receiver.url()]).send("[Dozor, fallback channel]", text)
    assert receiver.said == [("[Dozor, fallback channel]", text)]
    assert log == ["Fallback channel: json accepted a message\n"]


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_a_refusal_is_no_delivery(receiver: Receiver, log: list[str], status: int) -> None:
    receiver.status = status
    assert not await AppriseChannels([receiver.url()]).send("label", "text")
    assert receiver.asked == 1
    assert "Fallback channel: json did not accept a message\n" in log
    assert SECRET not in "".join(log)


async def test_one_of_two_is_enough_and_the_other_is_logged(receiver: Receiver, log: list[str]) -> None:
    channels = AppriseChannels([f"json://127.0.0.1:{closed_port()}/{SECRET}", receiver.url()])
    assert await channels.send("label", "text")
    assert len(receiver.said) == 1
    assert "Fallback channel: json did not accept a message\n" in log
    assert SECRET not in "".join(log)


async def test_nobody_is_there(log: list[str]) -> None:
    assert not await AppriseChannels([f"json://127.0.0.1:{closed_port()}/{SECRET}"]).send("label", "text")
    assert not await AppriseChannels(["json://u:hunter2@no-such-host.invalid/x"]).send("label", "text")
    assert "hunter2" not in "".join(log)


async def test_a_channel_that_hangs_holds_up_neither_the_others_nor_the_next_message(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    monkeypatch.setattr(channels_module, "TIMEOUT", 4.0)  # what works gets so long on a busy machine
    async with Receiver() as hanging:
        hanging.hang = True
        channels = AppriseChannels([hanging.url(), receiver.url()])
        assert await channels.send("label", "one")
        assert await channels.send("label", "two")
        assert [text for _, text in receiver.said] == ["one", "two"]
        assert hanging.asked == 1, "one thread for each channel, never more"
        assert "Fallback channel: no answer from json within 4 s\n" in log
        assert "Fallback channel: json still has not answered the message before\n" in log
        monkeypatch.setattr(channels_module, "TIMEOUT", 0.1)
        assert not await AppriseChannels([hanging.url()]).send("label", "alone")
        monkeypatch.setattr(channels_module, "TIMEOUT", 60.0)
        hanging.hang = False
        hanging._freed.set()
        await until(lambda: not channels._channels[0].busy, within=60)
        assert await channels.send("label", "three")
        await until(lambda: sorted(text for _, text in hanging.said) == ["alone", "one", "three"], within=60)


async def test_apprise_gives_up_on_a_silent_server_by_itself(receiver: Receiver) -> None:
    receiver.hang = True
    async with asyncio.timeout(20):
        assert not await AppriseChannels([receiver.url(patience=0.2)]).send("label", "text")


async def test_what_is_longer_than_a_service_takes_goes_in_parts(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apprise.plugins.custom_json import NotifyJSON

    monkeypatch.setattr(NotifyJSON, "body_maxlen", 500)
    text = "\n".join(f"line {number} of a long story" for number in range(60))
    assert await AppriseChannels([receiver.url()]).send("label", text)
    assert len(receiver.said) > 1
    said = "".join(part for _, part in receiver.said)
    for number in range(60):
        assert f"line {number} of" in said


async def test_a_plug_in_that_breaks_is_a_refusal(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    import apprise

    def broken(*args: object, **options: object) -> bool:
        raise RuntimeError(f"https://hooks.example/{SECRET}")

    monkeypatch.setattr(apprise.Apprise, "notify", broken)
    assert not await AppriseChannels([receiver.url()]).send("label", "text")
    assert "Fallback channel: json failed with RuntimeError\n" in log


# -- what fits


def more(count: int) -> str:
    return f"and {count} more"


def test_few_messages_are_told_whole() -> None:
    assert compose(["one\nmore", "two"], more) == ("one\nmore\n\ntwo", 2)


def test_what_does_not_fit_is_told_by_its_first_line_and_the_rest_counted() -> None:
    texts = [f"№{number}. Stopped\n{'x' * 400}" for number in range(300)]
    text, told = compose(texts, more)
    assert len(text) <= TEXT_UNITS
    assert 6 < told < 300
    for number in range(told):
        assert f"№{number}. " in text
    assert f"№{told}. " not in text
    assert text.endswith(f"and {300 - told} more")


def test_one_giant_is_cut_and_told() -> None:
    text, told = compose(["x" * 10_000, "y" * 10_000], more)
    assert told == 2
    assert len(text) <= TEXT_UNITS
    assert text.count("x") == TEXT_UNITS - LINES_UNITS - 1
    assert text.endswith("y" * 199 + "…")
