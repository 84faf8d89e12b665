"""Messages sent without the database: their state at that time, the duplicate mark, removal when settled."""

from __future__ import annotations

import pytest

from dozor.alerting.delivery.transport import Delivered, Outcome, RetryAfter, Unavailable, Unknown
from dozor.alerting.fallback.outage_sender import DOWN_FOR
from dozor.alerting.model.message import Message
from tests.alerting.chat import Post
from tests.alerting.stage import NAME, Stage
from tests.alerting.test_outages import AFTER, Gasp


@pytest.fixture
def gasp(stage: Stage) -> Gasp:
    return Gasp(stage)


def stop(stage: Stage) -> None:
    for _ in range(5):
        stage.story.fail(after=0)


async def test_what_is_over_by_then_is_not_told_as_if_it_were_not(gasp: Gasp) -> None:
    gasp.health.report_down("refused")
    stop(gasp.stage)
    gasp.stage.story.restart()
    gasp.stage.story.succeed(after=1)
    await gasp.look(DOWN_FOR + 60)
    assert gasp.post.headers == ["🔴 PostgreSQL: недоступно · №2"]
    gasp.health.report_up()
    await gasp.look(1)
    await gasp.post.deliver(60)
    assert sorted(header for header in gasp.post.headers if NAME in header) == [
        f"✅ {NAME}: было сломано, уже работает · №1"
    ]


async def test_over_by_then_it_is_not_told_so_on_the_second_channel_either(gasp: Gasp) -> None:
    gasp.post.chat.script = [Unavailable("unreachable")] * 1000
    gasp.health.report_down("refused")
    stop(gasp.stage)
    gasp.stage.story.restart()
    gasp.stage.story.succeed(after=1)
    await gasp.look(DOWN_FOR + AFTER + 10)
    [(_, text)] = gasp.said
    assert "PostgreSQL" in text
    assert NAME not in text.replace(f"Ждут: {NAME}", "")


async def test_its_end_follows_what_was_told_past_the_database(gasp: Gasp) -> None:
    gasp.health.report_down("refused")
    stop(gasp.stage)
    await gasp.look(DOWN_FOR + 10)
    gasp.stage.story.restart()
    gasp.stage.story.succeed(after=1)
    await gasp.look(60)
    assert [header[:1] for header in gasp.post.headers if NAME in header][-1] == "✅"
    assert "🛑" in "".join(gasp.post.headers)


async def test_the_database_is_back_while_a_message_goes_past_it(gasp: Gasp) -> None:
    """The delivery worker finds the row before the answer is there: it may come twice, and is marked."""
    stage = gasp.stage
    gasp.health.report_down("refused")
    for _ in range(3):
        stage.story.fail(after=0)
    stage.clock.at += DOWN_FOR
    gasp.sender._raised = True

    sent: list[str] = []

    async def send(message: Message) -> Outcome:
        if not sent:
            sent.append(message.plain)
            await gasp.post.deliver(5)
            return Delivered(70)
        sent.append(message.plain)
        return Delivered(71)

    gasp.post.chat.send = send  # type: ignore[method-assign]
    await gasp.sender.check()
    assert len(sent) == 2
    assert "Возможно, повтор" not in sent[0]
    assert "Возможно, повтор" in sent[1]


@pytest.mark.parametrize("outcome", [Delivered(70), Unknown("cut after it was taken")])
async def test_killed_before_the_outbox_knew_that_it_may_have_arrived(gasp: Gasp, outcome: Outcome) -> None:
    """The row is written, its worker has to wait, and the next process has only what the row says."""
    stage = gasp.stage
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 2)
    gasp.post.chat.script = [outcome]
    for _ in range(3):
        stage.story.fail(after=0)
    await gasp.look(3)
    gasp.health.report_up()
    await stage.again(killed=True)
    following = Post(stage)
    await following.deliver(60)
    [shown] = [shown for shown in following.messages if NAME in shown.header]
    assert "Возможно, повтор" in shown.text


async def test_it_is_put_down_before_it_leaves_and_when_the_answer_is_there(gasp: Gasp) -> None:
    kept: list[tuple[int, bool]] = []

    async def keep() -> None:
        directly = gasp.post.dispatcher.directly
        kept.append((len(gasp.post.chat.calls), bool(directly.unknown)))

    gasp.queue.keep = keep  # type: ignore[method-assign]
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 2)
    assert kept == [(0, True), (1, False)]


async def test_what_goes_past_the_database_keeps_the_pace_of_its_chat(gasp: Gasp) -> None:
    await gasp.post.deliver(0)  # its worker has tried the chat
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR - 1)
    pace = gasp.post.dispatcher.pace
    for _ in range(20):
        pace.take(gasp.stage.clock.at)
    await gasp.look(15)
    assert gasp.post.messages == []
    await gasp.look(60)
    assert gasp.post.messages


async def test_told_to_wait_it_waits(gasp: Gasp) -> None:
    await gasp.post.deliver(0)
    gasp.post.chat.script = [RetryAfter(40)]
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 39)
    assert len(gasp.post.chat.calls) == 1
    await gasp.look(5)
    assert len(gasp.post.messages) == 1


async def test_an_attempt_that_certainly_failed_is_no_possible_duplicate(gasp: Gasp) -> None:
    gasp.post.chat.script = [Unavailable("unreachable")] * 3
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 2)
    await gasp.look(5)
    [shown] = gasp.post.messages
    assert "Возможно, повтор" not in shown.text
    assert not gasp.post.dispatcher.directly.unknown


async def test_what_is_settled_is_kept_in_mind_no_longer(gasp: Gasp) -> None:
    directly = gasp.post.dispatcher.directly
    gasp.health.report_down("refused")
    stop(gasp.stage)
    await gasp.look(DOWN_FOR + 10)
    assert directly.delivered
    await gasp.post.deliver(60)
    gasp.health.report_up()
    await gasp.look(1)
    assert not directly.delivered


async def test_the_database_is_back_while_the_second_channel_speaks(gasp: Gasp) -> None:
    stage = gasp.stage
    gasp.post.chat.script = [Unavailable("unreachable")] * 200
    gasp.health.report_down("refused")

    async def tell(title: str, text: str) -> bool:
        gasp.post.chat.script = []
        await gasp.post.deliver(5)
        return True

    gasp.second._send = tell
    for _ in range(3):
        stage.story.fail(after=0)
    await gasp.look(AFTER + DOWN_FOR)
    assert gasp.post.messages
    assert all("Возможно, повтор" in shown.texts[0] for shown in gasp.post.messages)
    assert not gasp.post.dispatcher.directly.unknown


async def test_of_one_incident_only_the_newest_is_told(gasp: Gasp) -> None:
    gasp.health.report_down("refused")
    await gasp.look(DOWN_FOR + 2)
    stop(gasp.stage)
    await gasp.look(120)
    gasp.health.report_up()
    await gasp.look(1)
    await gasp.post.deliver(120)
    assert [header[:1] for header in gasp.post.headers if NAME in header] == ["🛑"]
    await gasp.post.deliver(0)
    rows = await gasp.stage.pool.fetch("SELECT state FROM dozor.notifications")
    assert {row["state"] for row in rows} == {"delivered"}
