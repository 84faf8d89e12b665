"""The rate limit of a chat: bursts, edits, topics of one chat, and the state of a fresh process."""

from __future__ import annotations

from dozor.alerting.delivery.rate_limit import RateLimiter, chat_pace, overall_bucket
from tests.bot.botapi.pace import Limits
from tests.bot.botapi.pace import Pace as Telegram

NOW = 1764000060.0


def group(now: float = NOW, calls: list[float] | None = None) -> RateLimiter:
    return chat_pace(overall_bucket(now), group=True, calls=calls or [], now=now)


def send_all(pace: RateLimiter, now: float, until: float) -> list[float]:
    """Messages as fast as the pace lets them leave."""
    left = []
    while now <= until:
        if (wait := pace.delay_for_send(now)) > 0:
            now += wait
            continue
        pace.take(now)
        left.append(now)
    return left


def test_three_at_once_then_one_a_second_and_twenty_a_minute() -> None:
    left = send_all(group(), NOW, NOW + 120)
    assert [at - NOW for at in left[:5]] == [0, 0, 0, 1, 2]
    for begin in left:
        assert len([at for at in left if begin <= at < begin + 60]) <= 35  # 20 a minute and a burst of 15


def test_an_edit_waits_where_a_message_need_not() -> None:
    pace = group()
    pace.take(NOW)
    pace.take(NOW)
    assert pace.delay_for_send(NOW) == 0
    assert pace.delay_for_edit(NOW) > 0


def test_without_buckets_only_being_told_to_wait_counts() -> None:
    pace = RateLimiter()
    assert pace.delay_for_send(NOW) == pace.delay_for_edit(NOW) == 0
    pace.hold(NOW + 7)
    assert pace.delay_for_send(NOW) == pace.delay_for_edit(NOW) == 7
    pace.hold(NOW + 3)  # an earlier end does not shorten it
    assert pace.delay_for_send(NOW) == 7


def test_a_fresh_process_goes_on_where_the_one_before_it_stopped() -> None:
    calls = send_all(group(), NOW, NOW + 20)
    known, ignorant = group(NOW + 20, calls), group(NOW + 20)
    assert len(send_all(known, NOW + 20, NOW + 21)) < len(send_all(ignorant, NOW + 20, NOW + 21))
    assert group(NOW + 90, calls).delay_for_edit(NOW + 90) == 0  # a minute later nothing of it is left


def test_dying_again_and_again_never_goes_faster_than_telegram_allows() -> None:
    now, calls = NOW, list[float]()
    telegram = Telegram(Limits(), lambda: now)
    for _ in range(200):
        process = group(now, [at for at in calls if at > now - 60])
        died_at = now + 7.0
        while now < died_at:
            if (wait := process.delay_for_send(now)) > 0:
                now += wait
                continue
            process.take(now)
            assert telegram.admit(-100, group=True) == 0
            calls.append(now)
    assert len(calls) > 400


def test_a_clock_that_was_ahead_costs_a_minute_or_two_or_nothing() -> None:
    assert 0 < group(NOW, [NOW + 30.0] * 40).delay_for_send(NOW) < 120
    assert group(NOW, [NOW + 500.0] * 40).delay_for_send(NOW) == 0
