"""The fault campaign, scaled down. The whole of it: `python -m benchmarks.campaign` (10,000 incidents)."""

from __future__ import annotations

import random

import pytest

from dozor.alerting.delivery import dispatcher
from dozor.alerting.delivery.destination import enter
from dozor.alerting.delivery.transport import Delivered, Place
from dozor.alerting.model.message import Message, Span
from dozor.storage.tables.destinations import DestinationRow
from tests.alerting.campaign import Campaign
from tests.alerting.faulty_telegram import BOTS, FORUM, OTHER_FORUM, FaultyTelegram
from tests.alerting.stage import Stage
from tests.alerting.story import ManualClock
from tests.effort import cases


@pytest.mark.parametrize("seed", range(1, 1 + cases(1, 4)))
async def test_every_incident_is_told_and_its_end_whatever_breaks(stage: Stage, seed: int) -> None:
    report = await Campaign(stage, cases(80, 150), seed).run()
    assert report.problems == []
    assert report.deaths > 3
    assert report.marked > 3
    assert report.places > 1
    assert report.too_fast <= report.deaths + 5


@pytest.mark.parametrize("other", [Place(OTHER_FORUM, 17, BOTS[0]), Place(FORUM, 17, BOTS[1])])
async def test_a_message_id_that_is_used_outside_its_place_is_seen(other: Place) -> None:
    telegram = FaultyTelegram(ManualClock(), random.Random(1), calm=True)
    telegram.configure(telegram.place)
    message = Message(spans=(Span("t00001: ошибка"),))
    sent = await telegram.transport().send(message)
    assert isinstance(sent, Delivered)
    assert sent.message_id is not None
    await telegram.transport().edit(Message(spans=(Span("t00001: другая"),)), sent.message_id)
    assert telegram.stray == []
    telegram.configure(other)
    await telegram.transport().edit(message, sent.message_id)
    await telegram.transport().send(Message(spans=(Span("t00001"),), reply_to=sent.message_id))
    assert ["edited" in telegram.stray[0], "replied to" in telegram.stray[1]] == [True, True]


async def test_the_judge_sees_that_a_change_of_the_place_is_not_noticed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_elsewhere(stored: DestinationRow | None, key: str, place: Place) -> tuple[DestinationRow, bool]:
        return enter(stored, key, place)[0], False

    monkeypatch.setattr(dispatcher, "enter", never_elsewhere)
    report = await Campaign(stage, cases(40, 150), 3).run()
    assert any("of another place" in one for one in report.problems), report
