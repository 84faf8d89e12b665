"""Every reason not to be ready, and none where there is no reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dozor.control.readiness import DEAF_AFTER, SENDING_AFTER, STALLED_AFTER, HealthSnapshot, evaluate

NOW = 1_000_000.0
WELL = HealthSnapshot(
    now=NOW,
    database_up=True,
    database_down_since=None,
    journal_written_at=NOW - 1,
    dispatcher_at=NOW - 1,
    commands_at=NOW - 1,
    telegram_wanted=False,
    telegram_problem=None,
    telegram_polled_at=None,
    chat_refuses=None,
)
WITH_BOT = replace(WELL, telegram_wanted=True, telegram_polled_at=NOW - 50)


@pytest.mark.parametrize("vitals", [WELL, WITH_BOT], ids=["console", "telegram"])
def test_a_runner_that_works_is_ready(vitals: HealthSnapshot) -> None:
    assert evaluate(vitals).ready


@pytest.mark.parametrize(
    ("vitals", "reason"),
    [
        (
            replace(WELL, supervision_late=STALLED_AFTER + 1),
            "supervision: 31 s behind schedule",
        ),
        (replace(WELL, database_up=False, database_down_since=NOW - 90), "database: away for 90 s"),
        (replace(WELL, database_up=False), "database: away for 0 s"),
        (replace(WELL, journal_written_at=NOW - STALLED_AFTER - 1), "journal: nothing written for 31 s"),
        (replace(WELL, dispatcher_at=NOW - STALLED_AFTER - 1), "dispatcher: no progress for 31 s"),
        (replace(WITH_BOT, dispatcher_at=NOW - SENDING_AFTER - 1), "dispatcher: no progress for 181 s"),
        (replace(WELL, commands_at=NOW - STALLED_AFTER - 1), "commands: no progress for 31 s"),
        (replace(WITH_BOT, telegram_polled_at=None), "telegram: not polled yet"),
        (replace(WITH_BOT, telegram_polled_at=NOW - DEAF_AFTER - 1), "telegram: last polled 181 s ago"),
        (replace(WITH_BOT, telegram_problem="token refused"), "telegram: token refused"),
        (replace(WITH_BOT, chat_refuses="chat not found"), "telegram chat: chat not found"),
        (replace(WELL, failing_parts={"listener": "OSError: refused"}), "listener: OSError: refused"),
    ],
)
def test_each_failure_is_a_reason(vitals: HealthSnapshot, reason: str) -> None:
    assert evaluate(vitals).reasons == (reason,)


def test_all_reasons_are_told_at_once() -> None:
    vitals = replace(
        WITH_BOT,
        database_up=False,
        telegram_problem="token refused",
        chat_refuses="kicked",
        failing_parts={"web": "x", "listener": "y"},
    )
    assert [reason.partition(":")[0] for reason in evaluate(vitals).reasons] == [
        "database", "telegram", "telegram chat", "listener", "web",
    ]  # fmt: skip


def test_while_the_database_is_away_nothing_is_said_of_what_cannot_be_written() -> None:
    vitals = replace(WELL, database_up=False, database_down_since=NOW - 60, journal_written_at=NOW - 60)
    assert evaluate(vitals).reasons == ("database: away for 60 s",)


def test_a_slow_message_in_telegram_is_no_reason_yet() -> None:
    assert evaluate(replace(WITH_BOT, dispatcher_at=NOW - STALLED_AFTER - 30)).ready


def test_a_chat_that_urgent_messages_cannot_reach_is_a_reason() -> None:
    held = replace(WITH_BOT, held_chats={"": "told to wait", "-100:7": "502"})
    assert len(evaluate(held).reasons) == 2
    assert "-100:7" in evaluate(held).reasons[1]


def test_with_commands_left_to_another_bot_no_poll_is_missed_and_a_chat_that_refuses_is() -> None:
    alerts_only = replace(WITH_BOT, telegram_commands=False, telegram_polled_at=None)
    assert evaluate(alerts_only).ready
    assert not evaluate(replace(alerts_only, chat_refuses="kicked")).ready
