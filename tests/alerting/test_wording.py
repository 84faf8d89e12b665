"""Texts follow the incident's kind and state: kind × severity × state × message type × language."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from dozor.alerting.model.codec import facts_to_json
from dozor.alerting.model.incident import Incident, IncidentState, firing
from dozor.alerting.model.notification import AlertData, EndCause, Notification, NotificationKind
from dozor.alerting.rendering.live_message import live_notification
from dozor.alerting.rendering.phrases import mark
from dozor.alerting.rendering.render import render
from dozor.config.values.incident_kinds import KINDS, IncidentKind, Severity
from dozor.language import Translator
from dozor.storage.tables.incidents import StormGroup
from dozor.supervision.core.state import State

ZONE = ZoneInfo("Europe/Berlin")
NOW = 1_764_000_000.0
TASK = "checker_a"
LANGUAGES = ("ru", "en")
OF_RUNNER = {
    IncidentKind.BLOCKED_LOOP, IncidentKind.DEPENDENCY, IncidentKind.LIMIT, IncidentKind.POOL_EXHAUSTED,
    IncidentKind.UNCLEAN_END, IncidentKind.REPLICA, IncidentKind.NO_WORKER, IncidentKind.BOT,
    IncidentKind.REPLICA_CONFIG, IncidentKind.REPLICA_CLOCK, IncidentKind.LATE_RENEWAL,
    IncidentKind.TELEGRAM, IncidentKind.STORM,
}  # fmt: skip
SUBJECTS = {IncidentKind.BOT: "commands", IncidentKind.POOL_EXHAUSTED: "ctx.db"}

STILL = {
    IncidentKind.REPEATED_ERRORS: ("ошибки продолжаются", "errors go on"),
    IncidentKind.CRITICAL_STOP: ("всё ещё остановлена", "is still stopped"),
    IncidentKind.HUNG: ("всё ещё висит", "still hangs"),
    IncidentKind.OVERDUE: ("успеха всё ещё нет", "still no success"),
    IncidentKind.BLOCKED_LOOP: ("продолжает блокироваться", "still gets blocked"),
    IncidentKind.DEPENDENCY: ("всё ещё недоступно", "is still down"),
    IncidentKind.LIMIT: ("всё ещё превышает предел", "still exceeds a limit"),
    IncidentKind.POOL_EXHAUSTED: ("соединений всё ещё нет", "still no connection"),
    IncidentKind.BACKLOG: ("в очереди 70", "70 wait"),
    IncidentKind.UNCLEAN_END: ("аварийн", "unclean"),
    IncidentKind.BOT: ("не получает команд", "receives no commands"),
    IncidentKind.TELEGRAM: ("всё ещё не принимает", "still does not accept"),
    IncidentKind.REPLICA: ("всё ещё потеряна", "is still lost"),
    IncidentKind.REPLICA_CONFIG: ("всё ещё не те настройки", "still has another configuration"),
    IncidentKind.REPLICA_CLOCK: ("всё ещё расходятся", "still differs"),
    IncidentKind.LATE_RENEWAL: ("всё ещё продлевает аренду с опозданием", "still renews its lease late"),
    IncidentKind.NO_WORKER: ("всё ещё никто не берёт", "still no worker takes"),
    IncidentKind.CHECKER: ("price is off", "price is off"),
    IncidentKind.STORM: ("не работают 11 из 11", "11 of 11 not working"),
}
OVER = {
    IncidentKind.REPEATED_ERRORS: ("снова работает", "works again"),
    IncidentKind.CRITICAL_STOP: ("снова работает", "works again"),
    IncidentKind.HUNG: ("зависший запуск закончился", "run that hung has ended"),
    IncidentKind.OVERDUE: ("снова есть успешный", "has succeeded again"),
    IncidentKind.BLOCKED_LOOP: ("больше не блокируется", "no longer blocked"),
    IncidentKind.DEPENDENCY: ("снова доступно", "is available again"),
    IncidentKind.LIMIT: ("снова не превышает предела", "within its limit again"),
    IncidentKind.POOL_EXHAUSTED: ("снова свободны", "are free again"),
    IncidentKind.BACKLOG: ("снова успевает", "has caught up"),
    IncidentKind.UNCLEAN_END: ("работает стабильно", "has been stable"),
    IncidentKind.BOT: ("снова отвечает", "answers again"),
    IncidentKind.TELEGRAM: ("снова принимает", "accepts messages again"),
    IncidentKind.REPLICA: ("вернулась или больше не числится", "is back, or is no longer listed"),
    IncidentKind.REPLICA_CONFIG: ("настройки лидера", "has the configuration of the leader"),
    IncidentKind.REPLICA_CLOCK: ("сходятся с часами", "agrees with that of the database"),
    IncidentKind.LATE_RENEWAL: ("снова продлевается вовремя", "is renewed in time again"),
    IncidentKind.NO_WORKER: ("снова берут", "workers take its runs again"),
    IncidentKind.CHECKER: ("инцидент закрыт", "incident closed"),
    IncidentKind.STORM: ("закончился", "is over"),
}
STOPPED = re.compile("остановлена|stopped")
WORKS = re.compile("снова работает|works again")
PERSON = re.compile("нужен человек|a person is needed")


def test_the_table_has_every_kind() -> None:
    assert set(STILL) == set(OVER) == set(IncidentKind)


def incident(kind: IncidentKind, severity: Severity, state: IncidentState) -> Incident:
    facts = AlertData(
        trouble=None if KINDS[kind].streak else kind.value,
        subject=SUBJECTS.get(kind, "thing"),
        text="price is off" if kind is IncidentKind.CHECKER else None,
        failures=11 if kind is IncidentKind.STORM else 3,
        max_failures=5,
        count=70,
        lasted=90.0,
        error_type="ValueError" if KINDS[kind].streak else None,
        error_text="no price" if KINDS[kind].streak else None,
        failing_since=NOW - 3600,
        unclean_end=kind is IncidentKind.UNCLEAN_END,
    )
    over = state is IncidentState.RESOLVED
    return Incident(
        id=12, task=None if kind in OF_RUNNER else TASK, kind=kind, severity=severity, state=state,
        fingerprint=SUBJECTS.get(kind, "thing"), summary="", failures=3, opened_at=NOW - 3600,
        updated_at=NOW, notified_at=NOW - 3600, resolved_at=NOW if over else None,
        acknowledged_by="telegram:1" if state is IncidentState.ACKNOWLEDGED else None,
        ack_expires_at=NOW + 60 if state is IncidentState.ACKNOWLEDGED else None, facts=facts_to_json(facts),
    )  # fmt: skip


def said(
    kind: IncidentKind, severity: Severity, state: IncidentState, message: NotificationKind | None,
    language: str, **more: object,
) -> str:  # fmt: skip
    """`message` None: the live message."""
    about = incident(kind, severity, state)
    storm = [StormGroup("critical", "overdue", "x", "x", 11, 11, ("a", "b"))]
    note = live_notification(about, None, storm if kind is IncidentKind.STORM else [])
    if message is not None:
        count = 11 if kind is IncidentKind.STORM else 70
        facts = replace(note.facts, about=kind.value, count=count, called=(("@ann", None),), level=1)
        note = replace(note, kind=message, severity=severity, facts=facts)
        if message in (NotificationKind.RECOVERED, NotificationKind.PAST):
            note = replace(note, severity=Severity.INFO)
    note = replace(note, facts=replace(note.facts, **more))  # type: ignore[arg-type]
    return render(note, Translator(language), ZONE, NOW).plain


CASES = list(product(IncidentKind, Severity, IncidentState, LANGUAGES))


@pytest.mark.parametrize(("kind", "severity", "state", "language"), CASES)
def test_every_message_says_what_is_true(
    kind: IncidentKind, severity: Severity, state: IncidentState, language: str
) -> None:
    number = LANGUAGES.index(language)
    for message in (None, firing(incident(kind, severity, state)), NotificationKind.REMINDER,
                    NotificationKind.ESCALATION, NotificationKind.RECOVERED, NotificationKind.PAST,
                    NotificationKind.FLAPPING):  # fmt: skip
        text = said(kind, severity, state, message, language)
        header = text.partition("\n")[0]
        assert ("№12" if language == "ru" else "#12") in header, text
        ended = message in (NotificationKind.RECOVERED, NotificationKind.PAST)
        ended = ended or (message is None and state is IncidentState.RESOLVED)
        if ended:
            assert re.search(OVER[kind][number], header) or "было сломано" in header or "was broken" in header
            assert not header.startswith(("🛑", "🔴", "⚠️"))
            assert (
                bool(WORKS.search(header) or "было сломано" in header or "was broken" in header)
                is KINDS[kind].streak
            )
        elif message in (NotificationKind.REMINDER, NotificationKind.ESCALATION):
            assert re.search(STILL[kind][number], header), text
            if message is NotificationKind.REMINDER and kind is not IncidentKind.UNCLEAN_END:
                assert "\n" not in text.replace(text.partition("👤")[1] + text.partition("👤")[2], "").strip()
        if not KINDS[kind].streak or kind is IncidentKind.REPEATED_ERRORS:
            assert not STOPPED.search(text), text
            assert not PERSON.search(text), text
            if not ended and kind is not IncidentKind.UNCLEAN_END:
                assert header.startswith(mark(severity)), text
        elif (
            not ended
            and message is not NotificationKind.FLAPPING
            and message is not NotificationKind.ESCALATION
        ):
            assert header.startswith("🛑"), text


@pytest.mark.parametrize(("severity", "language"), list(product(Severity, LANGUAGES)))
@pytest.mark.parametrize("message", [NotificationKind.REMINDER, NotificationKind.ESCALATION])
def test_a_stop_that_a_person_ended_is_no_stop(
    severity: Severity, language: str, message: NotificationKind
) -> None:
    for more in (
        {"by": "telegram:1"},
        {"task_state": State.RUNNING.value},
        {"task_state": State.WAITING.value},
    ):
        text = said(IncidentKind.CRITICAL_STOP, severity, IncidentState.OPEN, message, language, **more)
        assert not STOPPED.search(text), text
        assert re.search("перезапущена|was restarted", text)


@pytest.mark.parametrize(("kind", "language"), list(product(IncidentKind, LANGUAGES)))
@pytest.mark.parametrize("message", [NotificationKind.RECOVERED, NotificationKind.PAST, None])
def test_what_was_closed_does_not_work_again(
    kind: IncidentKind, language: str, message: NotificationKind | None
) -> None:
    if kind in OF_RUNNER:
        return
    for ended, words in ((EndCause.UNCONFIGURED, "удалена|removed"), (EndCause.LAPSED, "час|hour")):
        text = said(kind, KINDS[kind].severity, IncidentState.RESOLVED, message, language, ended=ended.value)
        assert re.search(words, text.partition("\n")[0]), text
        assert not WORKS.search(text), text
        assert "✅" not in text
        assert not re.search("Восстановилась|by itself", text), text
    if kind is IncidentKind.HUNG:
        text = said(kind, KINDS[kind].severity, IncidentState.RESOLVED, message, language, ended="stopped")
        assert re.search("задача остановлена|the task is stopped", text.partition("\n")[0]), text
        assert "✅" not in text


def test_queued_by_an_older_version_it_is_worded_by_what_is_known() -> None:
    note = Notification(
        key="1", kind=NotificationKind.REMINDER, severity=Severity.WARNING, created_at=NOW, task=TASK,
        facts=AlertData(error_type="ValueError", failing_since=NOW - 60),
    )  # fmt: skip
    assert "ошибки продолжаются" in render(note, Translator("ru"), ZONE, NOW).plain
    assert (
        "остановлена" in render(replace(note, severity=Severity.CRITICAL), Translator("ru"), ZONE, NOW).plain
    )


def test_a_level_is_named_only_before_another_one() -> None:
    last = said(
        IncidentKind.CRITICAL_STOP, Severity.CRITICAL, IncidentState.OPEN, NotificationKind.ESCALATION, "ru"
    )
    assert "Уровень" not in last
    first = said(
        IncidentKind.CRITICAL_STOP, Severity.CRITICAL, IncidentState.OPEN, NotificationKind.ESCALATION, "ru",
        next_call_at=NOW + 900, next_called="bob",
    )  # fmt: skip
    assert re.search(r"Уровень 1\. Если никто не примет, в 17:15:00 вызов: bob\.", first), first


@pytest.mark.parametrize(
    ("language", "alert", "still", "over"),
    [
        ("ru", "у воркеров нет этой задачи", "всё ещё никто не берёт", "снова берёт запуски"),
        ("en", "the workers lack this task", "still no worker takes its runs", "takes its runs again"),
    ],
)
def test_runs_of_one_task_that_no_worker_takes_name_the_task(
    language: str, alert: str, still: str, over: str
) -> None:
    told = replace(incident(IncidentKind.NO_WORKER, Severity.CRITICAL, IncidentState.OPEN), task=TASK)
    note = live_notification(told, None, [])

    def text(kind: NotificationKind) -> str:
        facts = replace(note.facts, about=IncidentKind.NO_WORKER.value)
        return render(replace(note, kind=kind, facts=facts), Translator(language), ZONE, NOW).plain

    first = text(NotificationKind.TROUBLE)
    assert alert in first
    assert TASK in first
    assert still in text(NotificationKind.REMINDER)
    assert over in text(NotificationKind.RECOVERED)
