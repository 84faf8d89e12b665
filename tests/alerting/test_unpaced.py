"""The transport of `python -m benchmarks alerts`, whose exceptions must reach the wire without a pace."""

from __future__ import annotations

from benchmarks.delivery import Unpaced
from dozor.alerting.delivery.transport import Delivered, Place
from dozor.alerting.model.message import Message, Span
from tests.alerting.chat import Chat, Post
from tests.alerting.stage import Stage


class _Placed(Chat):
    """A chat that knows where it is, as Telegram's does."""

    place = Place(-100, 0, 42)


async def test_alerts_of_the_benchmark_are_not_held_back_by_the_pace_of_a_group(stage: Stage) -> None:
    """20 messages a minute to a group would be what is measured."""
    delays = []
    for transport in (_Placed(stage), Unpaced(_Placed(stage))):
        post = Post(stage)
        post.dispatcher.set_transport(transport)
        await post.dispatcher.deliver_next()
        for _ in range(50):
            post.dispatcher.pace.take(stage.clock.at)
        delays.append(post.dispatcher.pace.delay_for_send(stage.clock.at))
    placed, unplaced = delays
    assert placed > 60.0
    assert unplaced == 0.0


async def test_a_message_goes_through_the_unpaced_transport_as_it_is(stage: Stage) -> None:
    chat = _Placed(stage)
    assert await Unpaced(chat).send(Message(spans=(Span("down"),))) == Delivered(1)
    assert len(chat.messages) == 1
