"""Alerts in words: what a person woken at night reads, and that no exception text can spoil it."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dozor.alerting.model.message import Message
from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.model.safe_text import clean, shorten, utf16_length
from dozor.alerting.rendering.callback_data import CallbackData, Origin, decode, encode
from dozor.alerting.rendering.render import MESSAGE_UNITS, render
from dozor.config.values.incident_kinds import Severity
from dozor.language import Translator
from tests.effort import cases

NOW = 1764000060.0
ZONE = ZoneInfo("Europe/Moscow")
FACTS = AlertData(
    failures=3,
    max_failures=5,
    error_type="ConnectionError",
    error_text="timed out",
    error_where="presales.py:41 in check_presales",
    failing_since=NOW - 130,
    next_run_at=NOW + 60,
)


def _note(kind: NotificationKind, severity: Severity, facts: AlertData, **more: object) -> Notification:
    fields: dict[str, object] = {"key": "k", "created_at": NOW, "task": "presale_checker", **more}
    return Notification(kind=kind, severity=severity, facts=facts, **fields)  # type: ignore[arg-type]


def _say(note: Notification, language: str = "ru") -> Message:
    return render(note, Translator(language), ZONE, NOW)


def _lines(note: Notification, language: str = "ru") -> list[str]:
    return _say(note, language).plain.splitlines()


def test_repeated_errors_say_what_since_when_and_what_comes_next() -> None:
    note = _note(NotificationKind.REPEATED_ERRORS, Severity.WARNING, FACTS)
    assert _lines(note) == [
        "⚠️ presale_checker: 3 ошибки подряд с 18:58:50",
        "Попытка 3/5",
        "ConnectionError: timed out",
        "Где: presales.py:41 in check_presales",
        "Перезапуск в 19:02:00 (через 1 мин)",
    ]
    assert _say(note).buttons == ()
    assert _lines(note, "en") == [
        "⚠️ presale_checker: 3 errors in a row since 18:58:50",
        "Attempt 3/5",
        "ConnectionError: timed out",
        "Where: presales.py:41 in check_presales",
        "Restart at 19:02:00 (in 1 min)",
    ]


def test_what_is_over_names_the_error_and_its_place_once() -> None:
    facts = replace(FACTS, lasted=130.0)
    lines = _lines(_note(NotificationKind.PAST, Severity.WARNING, facts), "en")
    assert len([line for line in lines if "timed out" in line]) == 1
    assert "Where: presales.py:41 in check_presales" in lines


def test_a_critical_stop_asks_for_a_person_and_carries_a_restart_button() -> None:
    facts = replace(FACTS, failures=5, next_run_at=None)
    note = _note(NotificationKind.CRITICAL_STOP, Severity.CRITICAL, facts)
    lines = _lines(note)
    assert lines[0] == "🛑 presale_checker остановлена: 5 ошибок подряд с 18:58:50"
    assert "Попытка 5/5" in lines
    assert lines[-1] == "Сама не запустится: нужен человек."
    [[button]] = _say(note).buttons
    assert button.label == "🔄 Перезапустить"
    assert decode(button.data) == CallbackData(Origin.ALERT, "restart", "presale_checker")


def test_a_stop_before_the_limit_says_that_trying_again_cannot_help() -> None:
    facts = replace(FACTS, failures=1, next_run_at=None)
    lines = _lines(_note(NotificationKind.CRITICAL_STOP, Severity.CRITICAL, facts))
    assert lines[0] == "🛑 presale_checker остановлена: ошибка в 18:58:50"
    assert lines[-1] == "Повтор не поможет, сама не запустится: нужен человек."


def test_a_stop_that_is_retried_slowly_says_when() -> None:
    facts = replace(FACTS, failures=5, next_run_at=NOW + 600)
    assert _lines(_note(NotificationKind.CRITICAL_STOP, Severity.CRITICAL, facts))[-1] == (
        "Следующая попытка в 19:11:00 (через 10 мин)"
    )


def test_a_recovery_says_how_long_it_was_broken_and_who_restarted_it() -> None:
    facts = replace(FACTS, failures=5, lasted=192.0, by="telegram:111", next_run_at=None)
    assert _lines(_note(NotificationKind.RECOVERED, Severity.INFO, facts)) == [
        "✅ presale_checker снова работает",
        "Не работала 3 мин 12 с, с 18:58:50.",
        "Ошибок подряд: 5.",
        "Перезапуск: Telegram, id 111",
        "Последняя ошибка:",
        "ConnectionError: timed out",
    ]
    by_itself = _lines(_note(NotificationKind.RECOVERED, Severity.INFO, replace(facts, by=None)))
    assert "Восстановилась сама." in by_itself


def test_a_reminder_of_a_stopped_task_says_for_how_long_and_keeps_the_button() -> None:
    facts = replace(FACTS, failures=5, failing_since=NOW - 4000, next_run_at=None)
    note = _note(NotificationKind.REMINDER, Severity.CRITICAL, facts)
    assert _lines(note)[0] == "🛑 presale_checker всё ещё остановлена: не работает уже 1 ч 6 мин, с 17:54:20"
    assert _say(note).buttons
    failing = _note(NotificationKind.REMINDER, Severity.WARNING, FACTS)
    assert _lines(failing)[0] == "⚠️ presale_checker: ошибки продолжаются уже 2 мин 10 с, с 18:58:50"
    assert not _say(failing).buttons


def test_a_possible_duplicate_says_so() -> None:
    note = _note(NotificationKind.REPEATED_ERRORS, Severity.WARNING, FACTS, possible_duplicate=True)
    assert _lines(note)[-1] == "Возможно, повтор: неизвестно, дошло ли это сообщение раньше."


def test_a_checkers_own_words_come_first() -> None:
    facts = AlertData(text="На горячем кошельке 3 TON\nНужно пополнить")
    assert _lines(_note(NotificationKind.CHECKER, Severity.CRITICAL, facts)) == [
        "🔴 presale_checker: На горячем кошельке 3 TON",
        "Нужно пополнить",
    ]


def test_a_long_first_line_of_a_checker_is_told_whole_below() -> None:
    long = "слово " * 100
    message = _say(_note(NotificationKind.CHECKER, Severity.INFO, AlertData(text=long)))
    assert message.plain.splitlines()[1] == long.strip()


def test_only_what_is_no_alarm_is_silent() -> None:
    stop = _note(NotificationKind.CRITICAL_STOP, Severity.CRITICAL, FACTS)
    info = _note(NotificationKind.CHECKER, Severity.INFO, AlertData(text="x"))
    assert not _say(stop).silent
    assert _say(info).silent


def test_a_button_of_the_longest_name_fits() -> None:
    for origin in Origin:
        for action in ("restart", "pause", "resume", "run-now", "status"):
            assert len(encode(origin, action, "x" * 40).encode()) <= 64


@pytest.mark.parametrize(
    "data", ["", "x", "a:restart", "a::t", "z:restart:t", "a:restart:", "\x00", "a" * 64]
)
def test_foreign_button_data_is_nobodys(data: str) -> None:
    assert decode(data) is None


HOSTILE = [
    "",
    "\x00" * 50,
    "\ud800 lone \udfff",
    "\u202eevil\u202d",
    "x" * 1_000_000,
    "🦊" * 5000,
    "👨‍👩‍👧‍👦" * 1000,
    "e\u0301" * 5000,
    "<b>&amp;</b> *_`[x](y)",
    "\n" * 3000,
    "a\u0300" + "\u0300" * 5000,
    "\ufeff\u200b\u2060",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", list(NotificationKind))
def test_hostile_texts_never_break_an_alert(kind: NotificationKind, text: str) -> None:
    facts = AlertData(
        failures=10**9,
        error_type=text,
        error_text=text,
        error_where=text,
        text=text,
        by=text,
        failing_since=NOW,
        lasted=1e12,
        stopped_tasks=(text,) * max(4, 3 * MESSAGE_UNITS // (len(text) + 1)),
    )
    _check(_say(_note(kind, Severity.CRITICAL, facts, task=text, possible_duplicate=True)))


@settings(max_examples=cases(60, 300), deadline=None)
@given(
    text=st.text(st.characters(), max_size=2000),
    kind=st.sampled_from(NotificationKind),
    severity=st.sampled_from(Severity),
)
def test_no_exception_text_breaks_an_alert(text: str, kind: NotificationKind, severity: Severity) -> None:
    facts = replace(FACTS, error_type=text[:50], error_text=text, error_where=text, text=text, by=text)
    _check(_say(_note(kind, severity, facts)))


def _check(message: Message) -> None:
    text = message.plain
    assert text.strip()
    assert utf16_length(text) <= MESSAGE_UNITS
    assert all(span.text for span in message.spans)
    text.encode("utf-8")
    assert "\x00" not in text
    assert "\u202e" not in text


@given(st.text(st.characters(), max_size=300), st.integers(1, 100))
def test_shortening_keeps_the_limit_and_whole_characters(text: str, limit: int) -> None:
    text = clean(text)
    short = shorten(text, limit)
    assert utf16_length(short) <= limit
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


def test_a_cut_does_not_split_what_is_drawn_as_one() -> None:
    family = "👨‍👩‍👧‍👦"
    assert shorten("ab" + family + "cd", 8) == "ab…"
    assert shorten("ae\u0301xy", 3) == "a…"
    assert shorten("🇷🇺🇩🇪🇫🇷", 7) in ("…", "🇷🇺…")


def test_an_exhausted_pool_names_who_holds_its_connections_and_since_when() -> None:
    facts = AlertData(
        trouble="pool_exhausted",
        subject="ctx.db",
        lasted=6.0,
        count=12,
        holders=tuple(
            ("presale_checker" if number else "leaky", f"17-{number}", NOW - 125 + number, not number)
            for number in range(12)
        ),
        lines=("auctions_checker",),
    )
    note = _note(NotificationKind.TROUBLE, Severity.CRITICAL, facts, task=None)
    said = _lines(note)
    assert said[:3] == [
        "🔴 ctx.db: 6 с нет свободных соединений, занято 12 из 12",
        "Держит leaky, запуск 17-0, с 18:58:55: запуск закончился, а соединение не вернул",
        "Держит presale_checker, запуск 17-1, с 18:58:56",
    ]
    assert said[-2:] == ["… и ещё 2", "Ждут: auctions_checker"]
    said = _lines(note, "en")
    assert said[:3] == [
        "🔴 ctx.db: no connection has been free for 6 s, all 12 are held",
        "Held by leaky, run 17-0, since 18:58:55: the run is over and did not release it",
        "Held by presale_checker, run 17-1, since 18:58:56",
    ]
    assert said[-2:] == ["… and 2 more", "Waiting: auctions_checker"]
    over = AlertData(trouble="pool_exhausted", subject="ctx.db", lasted=60.0)
    ended = _note(NotificationKind.RECOVERED, Severity.CRITICAL, over, task=None)
    assert _lines(ended)[0] == "✅ ctx.db: соединения снова свободны"
    assert _lines(ended, "en")[0] == "✅ ctx.db: connections are free again"
