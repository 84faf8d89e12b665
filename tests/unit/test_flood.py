"""Floods: no attempt goes uncounted, nobody gets more than their share."""

from __future__ import annotations

from dozor_bot.security.flood import REMEMBERED, WINDOW, Attempt, AuditThrottle, UserRateLimiter


def _attempt(user_id: int, action: str = "/restart") -> Attempt:
    return Attempt(user_id, 5, action, "denied")


def test_the_next_audit_row_counts_what_came_between() -> None:
    attempts = AuditThrottle()
    assert attempts.note(_attempt(1), 0.0) == 1
    assert [attempts.note(_attempt(1), at) for at in (0.1, 5.0, 9.9)] == [None, None, None]
    assert attempts.note(_attempt(2), 5.0) == 1
    assert attempts.note(_attempt(1), WINDOW) == 4


def test_what_nobody_follows_is_counted_when_its_window_is_over() -> None:
    attempts = AuditThrottle()
    for number in range(300):
        attempts.note(_attempt(1, f"/{number}"), 0.0)
    assert not attempts.has_uncounted(WINDOW - 0.1)
    assert attempts.has_uncounted(WINDOW)
    assert attempts.take_uncounted(WINDOW) == [(_attempt(1, "/299"), 299)]
    assert not attempts.has_uncounted(WINDOW)


def test_what_could_not_be_written_is_not_lost() -> None:
    attempts = AuditThrottle()
    attempts.put_back([(_attempt(1), 7)])
    assert attempts.take_uncounted(0.0) == [(_attempt(1), 7)]


def test_a_crowd_of_strangers_does_not_fill_the_memory_nor_lose_counts() -> None:
    attempts = AuditThrottle()
    for person in range(1, REMEMBERED + 11):
        attempts.note(_attempt(person), 0.0)
        attempts.note(_attempt(person), 0.0)
    forgotten = attempts.take_uncounted(0.0)
    assert [count for _, count in forgotten] == [1] * 10


def test_an_allowance_fills_up_again() -> None:
    allowance = UserRateLimiter(burst=2, rate=0.5)
    assert [allowance.take(1, 0.0) for _ in range(3)] == [True, True, False]
    assert allowance.take(2, 0.0)
    assert not allowance.take(1, 1.0)
    assert allowance.take(1, 2.1)
