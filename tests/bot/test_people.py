"""Names of people: learnt from Telegram, from the configuration, and after a restart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dozor.alerting.model.notification import AlertData, Notification, NotificationKind
from dozor.alerting.rendering.renderer import MessageRenderer
from dozor.config.values.incident_kinds import Severity
from dozor.language import Translator
from dozor.storage.postgres.pool import Pool
from dozor_bot.people import People
from dozor_bot.telegram.incoming import Sender
from tests.alerting.story import NOW, ManualClock
from tests.bot.conftest import ADMIN, OPERATOR, ZONE
from tests.bot.test_pace import TO

ACTOR = f"telegram:{ADMIN}"
RU = Translator("ru")


async def test_a_name_outlives_the_process(pool: Pool) -> None:
    met = People()
    met.remember(TO)
    await met.keep(pool)
    after = People()
    assert after.name_of(ACTOR) is None
    await after.keep(pool)
    assert after.called(ACTOR, RU) == "Анна"


async def test_the_newest_name_counts_and_is_written_once(pool: Pool) -> None:
    people = People()
    for name in ("Анна", "Аня", "Аня\n🛑 forged"):
        people.remember(_named(name))
        await people.keep(pool)
    again = People()
    again.remember(_named("Анна Петровна"))  # met before the table was read
    await again.keep(pool)
    assert again.name_of(ACTOR) == "Анна Петровна"
    rows = await pool.fetch("SELECT actor, name FROM dozor.people")
    assert [tuple(row) for row in rows] == [(ACTOR, "Анна Петровна")]


def test_whom_nobody_has_met_is_called_as_configured_or_by_id() -> None:
    people = People({f"telegram:{OPERATOR}": "oleg"})
    assert people.called(f"telegram:{OPERATOR}", RU) == "oleg"
    assert people.called("telegram:5", RU) == "Telegram, id 5"
    assert people.called("cli:ann@host", RU) != "ann@host"


@pytest.mark.parametrize("name", ["", "\x00", "\ud800", "я" * 5000, "a\nb"])
async def test_any_name_can_be_kept(pool: Pool, name: str) -> None:
    people = People()
    people.remember(_named(name))
    await people.keep(pool)
    assert "\n" not in people.called(ACTOR, RU)


def test_a_message_says_the_name_of_whoever_has_taken_it_on() -> None:
    people = People({ACTOR: "ann"})
    words = MessageRenderer(RU, ZONE, ManualClock(), name_of=people.name_of)
    note = Notification(
        key="1",
        kind=NotificationKind.RECOVERED,
        severity=Severity.INFO,
        created_at=NOW,
        task="a",
        facts=AlertData(lasted=5.0, by=ACTOR),
    )
    assert words.notification(note).plain.endswith("Перезапуск: ann")


def _named(name: str) -> Sender:
    return replace(TO, user_name=name)
