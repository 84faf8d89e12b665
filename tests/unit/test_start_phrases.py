"""What a person reads when Dozor starts: from a lock screen first, and nothing for what is zero."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.rendering.callback_data import CallbackData, Origin, decode
from dozor.alerting.rendering.render import render
from dozor.config.values.incident_kinds import Severity
from dozor.language import Translator

NOW = 1764000060.0
ZONE = ZoneInfo("Europe/Moscow")
CLEAN = AlertData(count=12, starts=2, off_since=NOW - 190, off_for=190.0)
CUT_OFF = replace(
    CLEAN,
    unclean_end=True,
    trouble="unclean_end",
    subject="runner",
    failures=1,
    failing_since=NOW,
    lost_tasks=("ton_deposits",),
    missed_runs=12,
    missed_tasks=3,
    stopped_tasks=("payouts", "ledger"),
    paused_tasks=("auctions",),
    open_before=2,
    owed_before=3,
)


def _say(facts: AlertData, kind: NotificationKind, language: str) -> Message:
    severity = Severity.INFO if kind is NotificationKind.RECOVERED else Severity.WARNING
    note = Notification(key="k", kind=kind, severity=severity, created_at=NOW, facts=facts)
    return render(note, Translator(language), ZONE, NOW)


def _lines(
    facts: AlertData, kind: NotificationKind = NotificationKind.RUNNER_STARTED, language: str = "ru"
) -> list[str]:
    return _say(facts, kind, language).plain.splitlines()


def test_the_first_start_says_hello() -> None:
    assert _lines(AlertData(count=3, starts=1)) == ["🟢 Дозор работает: 3 задачи"]
    assert _lines(AlertData(count=1, starts=1), language="en") == ["🟢 Dozor is running: 1 task"]


def test_a_clean_restart_says_for_how_long_and_since_when() -> None:
    assert _lines(CLEAN) == [
        "🟢 Дозор снова работает: не работал 3 мин 10 с",
        "Был остановлен командой или сигналом в 18:57:50.",
    ]
    assert _lines(CLEAN, language="en") == [
        "🟢 Dozor is running again: was down for 3 min 10 s",
        "It was stopped by a command or signal at 18:57:50.",
    ]


@pytest.mark.parametrize("more", [{"stopped_tasks": ("a",)}, {"lost_tasks": ("a",)}, {"off_for": 3600.0}])
def test_a_clean_restart_that_found_trouble_says_so_with_its_first_sign(more: dict[str, object]) -> None:
    assert _lines(replace(CLEAN, **more))[0].startswith("⚠️ Дозор снова работает")  # type: ignore[arg-type]


def test_an_unclean_end_says_all_that_was_found() -> None:
    assert _lines(CUT_OFF, NotificationKind.TROUBLE) == [
        "⚠️ Дозор запущен после аварийного завершения: не работал 3 мин 10 с",
        "Последний признак жизни в 18:57:50, потом сбой, kill -9 или питание.",
        "Состояния задач и счётчики ошибок сохранены.",
        "Прерваны запуски: ton_deposits",
        "Пропущено запусков по расписанию: 12 (задач: 3)",
        "Остановлены 2 задачи, ждут человека:",
        "🛑 payouts",
        "🛑 ledger",
        "На паузе: auctions",
        "Инцидентов, открытых до этого запуска: 2",
        "Не доставлено сообщений до этого запуска: 3, отправляются",
    ]
    assert _lines(CUT_OFF, NotificationKind.TROUBLE, "en") == [
        "⚠️ Dozor started after an unclean end: was down for 3 min 10 s",
        "Last sign of life at 18:57:50, then a crash, kill -9 or power.",
        "States of tasks and error counts are kept.",
        "Runs that were cut off: ton_deposits",
        "Scheduled runs missed: 12 (tasks: 3)",
        "2 tasks are stopped and wait for a person:",
        "🛑 payouts",
        "🛑 ledger",
        "Paused: auctions",
        "Incidents open since before this start: 2",
        "Messages not delivered before this start: 3, being sent now",
    ]
    buttons = _say(CUT_OFF, NotificationKind.TROUBLE, "ru").buttons
    assert [decode(row[0].data) for row in buttons] == [
        CallbackData(Origin.ALERT, "restart", "payouts"),
        CallbackData(Origin.ALERT, "restart", "ledger"),
    ]


def test_unclean_ends_in_a_row_are_counted_in_the_header() -> None:
    facts = replace(CUT_OFF, failures=5, failing_since=NOW - 600, off_for=3.0, off_since=NOW - 3)
    for kind in (NotificationKind.TROUBLE, NotificationKind.REMINDER):
        lines = _lines(facts, kind)
        assert lines[0] == "⚠️ Дозор аварийно завершается: уже 5 раз с 18:51:00"
        assert lines[2] == "В последний раз не работал 3 с."


def test_what_comes_back_again_and_again_says_that_it_will_be_quiet() -> None:
    lines = _lines(replace(CUT_OFF, occurrences=3), NotificationKind.FLAPPING)
    assert lines[0] == "⚠️ Дозор аварийно завершается снова и снова, уже 3-й раз"
    assert "Пока какое-то время не пройдёт без сбоев, обновляется только это сообщение." in lines


def test_its_end_keeps_what_is_still_worth_knowing() -> None:
    facts = replace(CUT_OFF, paused_tasks=(), open_before=0, owed_before=0, stopped_tasks=("payouts",))
    lines = _lines(facts, NotificationKind.RECOVERED)
    assert lines[0] == "✅ Дозор работает стабильно после аварийного завершения"
    assert lines[-1] == "🛑 payouts"
    past = _lines(facts, NotificationKind.PAST)
    assert past[0] == lines[0]
    assert past[-1] == "Сообщить вовремя не удалось."


def test_too_many_clean_starts_are_called_so() -> None:
    assert _lines(replace(CLEAN, starts=5))[::2] == [
        "⚠️ Дозор слишком часто перезапускают: 5 раз за 10 минут",
        "О следующих запусках сообщений не будет, пока перезапуски не станут редкими.",
    ]


def test_many_names_stay_readable() -> None:
    names = tuple(f"task_{number}" for number in range(40))
    facts = replace(CUT_OFF, lost_tasks=names, stopped_tasks=names, missed_more=True)
    lines = _lines(facts, NotificationKind.TROUBLE)
    assert "Прерваны запуски: task_0, task_1, task_2, task_3, task_4 … и ещё 35" in lines
    assert "Пропущено запусков по расписанию: не меньше 12 (задач: 3)" in lines
    assert "… и ещё 32" in lines
    assert len(lines) < 25


def test_a_row_of_an_older_version_is_still_said() -> None:
    old = AlertData(unclean_end=True, stopped_tasks=("a",))
    assert _lines(old)[0] == "⚠️ Дозор запущен после аварийного завершения"
    assert _lines(AlertData(stopped_tasks=("a",)))[0] == "⚠️ Дозор запущен"


def test_somebody_called_by_name_hears_what_goes_on() -> None:
    facts = replace(CUT_OFF, failures=9, failing_since=NOW - 900, mention="@ann", level=1)
    assert _lines(facts, NotificationKind.ESCALATION)[0] == (
        "⚠️ @ann: нужна реакция. Дозор продолжает аварийно завершаться, уже 15 мин, с 18:46:00"
    )
