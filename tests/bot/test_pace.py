"""Alerts and answers write to one chat: what Telegram asks of one of them holds for the other as well."""

from __future__ import annotations

from aiogram import Bot

from dozor.alerting.delivery.rate_limit import RateLimiters
from dozor.alerting.model.message import Message, Span
from dozor_bot.telegram.incoming import Sender
from dozor_bot.telegram.replies import PATIENCE, Replies
from tests.alerting.story import ManualClock
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, GROUP

HELLO = Message(spans=(Span("hello"),))
TO = Sender(user_id=ADMIN, user_name="Анна", chat_id=GROUP, private=False, thread_id=None, message_id=1)


class Both:
    """Answers, and the pace that alerts keep."""

    def __init__(self, client: Bot) -> None:
        self.clock = ManualClock()
        self.paces = RateLimiters(self.clock)
        self.replies = Replies(client, self.paces, self.clock)

    @property
    def wait(self) -> float:
        """Seconds that an alert would have to wait."""
        return self.paces.of(GROUP).delay_for_send(self.clock.at)


async def test_an_answer_told_to_wait_holds_alerts_of_that_chat_and_no_other(
    client: Bot, api: BotApi
) -> None:
    both = Both(client)
    api.fail(FaultKind.RETRY_AFTER, seconds=30)
    assert await both.replies.send(TO, HELLO) is None
    assert both.wait == 30
    assert both.paces.of(ADMIN).delay_for_send(both.clock.at) == 0


async def test_an_answer_does_not_ask_while_the_chat_is_held(client: Bot, api: BotApi) -> None:
    both = Both(client)
    both.paces.of(GROUP).hold(both.clock.at + PATIENCE + 1)
    assert await both.replies.send(TO, HELLO) is None
    assert api.calls == []
    both.clock.at += PATIENCE + 1
    assert await both.replies.send(TO, HELLO) is not None


async def test_answers_leave_at_once_and_hold_up_no_alert_however_many(client: Bot, api: BotApi) -> None:
    both = Both(client)
    for _ in range(40):
        assert await both.replies.send(TO, HELLO) is not None
        both.clock.at += 0.1
    assert both.wait == 0
    assert not both.replies.may_refresh(GROUP)
