"""Whatever an exception says, its alert is taken at the first attempt.

300 texts; 2,000 in `make soak`; `DOZOR_HOSTILE_TEXTS=20000` for the whole campaign.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from aiogram import Bot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dozor.alerting.delivery.transport import Delivered
from dozor.alerting.incidents.facts import failure_facts
from dozor.alerting.incidents.notifications import NotificationFactory
from dozor.alerting.incidents.planner import NotificationPlanner
from dozor.alerting.incidents.rules import on_failure
from dozor.alerting.incidents.store import IncidentStore
from dozor.alerting.model.codec import facts_to_json, from_row, to_row
from dozor.alerting.model.full_text import KEPT, WHOLE, without_attachment
from dozor.alerting.model.incident import AlertSettings
from dozor.alerting.model.notification import NotificationKind
from dozor.alerting.rendering.live_message import live_notification
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.language import Translator
from dozor.storage.postgres.pool import storable
from dozor.supervision.core.policy import Policy
from dozor.supervision.core.spec import TaskSpec
from dozor.supervision.core.state import FailureRecord, State, TaskState
from dozor.supervision.runs.failures.failure import describe
from dozor.supervision.tasks.task import SupervisedTask
from dozor_bot.telegram.session import Session
from dozor_bot.telegram.transport import TelegramTransport
from dozor_bot.telegram.wire import to_bare, to_keyboard, to_text
from tests.alerting.story import NOW, ManualClock
from tests.bot.botapi.server import BotApi
from tests.bot.botapi.validation import TEXT_LIMIT, check_markup, check_text
from tests.effort import cases

COUNT = cases(300, 2000, variable="DOZOR_HOSTILE_TEXTS")
NASTY = st.sampled_from(
    [
        "<b>", "</b>", "<a href='", "*", "_", "`", "```", "[x](", "||", "&lt;", "&", "\\", "\x00", "\ud800",
        "\udfff", "\u202e", "\u2066", "\u200d", "👩‍👩‍👧‍👦", "🇷🇺🇺", "e\u0301" * 5, "\u0300" * 40, "\r\n",
        "\n" * 9,
        "\t", "مرحبا", "{$task}", "{ $x }", "%s%n", "@everyone", "/restart all", "https://evil.example",
        "x" * 5000,
        "😀" * 3000, "\x1b[31m", "\u2028", "\ufffe", "'; DROP TABLE dozor.tasks; --", "",
    ]
)  # fmt: skip
TEXTS = st.lists(st.one_of(NASTY, st.text(max_size=60), st.characters()), max_size=12).map("".join)


def alerts(text: str, kind: NotificationKind) -> list[tuple[str, list[dict[str, object]], object, str]]:
    """The alert for an exception that says `text`, and its living message, as they go over the wire."""
    failure = describe(type("Error" + "X" * (len(text) % 90), (Exception,), {})(text), str)
    past = FailureRecord(failing_since=NOW, failed_at=NOW, failure=failure, failures_total=3)
    stopped = kind is NotificationKind.CRITICAL_STOP
    state = TaskState(state=State.STOPPED if stopped else State.BACKOFF, failures=3, failure_record=past)
    before = TaskState(state=State.RUNNING, failures=2)
    task = SupervisedTask(TaskSpec(name="presale_checker", function=alerts, policy=Policy()), 0, state)
    decision = on_failure(AlertSettings(), None, before, state, NOW, 1, "presale_checker")
    assert decision.incident is not None
    planner = NotificationPlanner(IncidentStore([], 0), NotificationFactory(lambda: "1-1"), {})
    told = planner.plan_notifications(decision, failure_facts(task, decision.incident), NOW)
    [note] = told.notifications
    row = to_row(note)
    for name, value in row.payload.items():
        limit = WHOLE + 1 if name == "whole" else KEPT
        assert not isinstance(value, str) or len(storable(value)) <= limit
    words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), ManualClock())
    incident = told.incidents[1]
    facts = facts_to_json(without_attachment(note.facts))
    assert facts.pop("about") == incident.kind.value
    assert incident.facts == facts
    messages = [
        words.notification(from_row(row), incident),
        words.notification(live_notification(incident), incident),
    ]
    return [(*to_text(message), to_keyboard(message.buttons), to_bare(message)) for message in messages]


@settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS, st.sampled_from([NotificationKind.REPEATED_ERRORS, NotificationKind.CRITICAL_STOP]))
def test_no_text_is_refused_in_any_form(text: str, kind: NotificationKind) -> None:
    for sent, entities, keyboard, bare in alerts(text, kind):
        check_text(sent, entities, TEXT_LIMIT)  # raises what Telegram would answer
        check_text(bare, None, TEXT_LIMIT)
        check_markup(keyboard)  # type: ignore[arg-type]
        assert "presale_checker" in sent.partition("\n")[0]
        sent.encode("utf-8")


@pytest.mark.parametrize(
    "text", ["<b>&\x00\ud800", "😀" * 60_000, "\u202e" * 100, "x" * 1_000_000, "\x00", "", "a\n" * 5000]
)
async def test_hostile_texts_over_http_arrive_at_the_first_attempt(text: str) -> None:
    api = BotApi()
    api.world.add_chat(-500, "group", "g")
    async with api:
        session = Session(api.url)
        transport = TelegramTransport(Bot(api.token, session=session), -500, None, Translator("ru"))
        words = MessageRenderer(Translator("ru"), ZoneInfo("UTC"), ManualClock())
        failure = describe(RuntimeError(text), str)
        past = FailureRecord(failing_since=NOW, failed_at=NOW, failure=failure)
        state = TaskState(state=State.BACKOFF, failures=3, failure_record=past)
        task = SupervisedTask(TaskSpec(name="t", function=alerts), 0, state)
        decision = on_failure(AlertSettings(), None, TaskState(), state, NOW, 1, "t")
        assert decision.incident is not None
        facts = failure_facts(task, decision.incident)
        planner = NotificationPlanner(IncidentStore([], 0), NotificationFactory(lambda: "1-1"), {})
        told = planner.plan_notifications(decision, facts, NOW)
        outcome = await transport.send(words.notification(told.notifications[0], told.incidents[1]))
        await session.close()
    assert isinstance(outcome, Delivered)
    assert len(api.calls_of("sendMessage")) == 1
