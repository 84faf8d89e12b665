"""The fault campaign, scaled down. The whole of it: `python -m benchmarks.campaign` (10,000 incidents)."""

from __future__ import annotations

import pytest

from tests.alerting.campaign import Campaign
from tests.alerting.room import Room


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_incident_is_told_and_its_end_whatever_breaks(room: Room, seed: int) -> None:
    report = await Campaign(room, 150, seed).run()
    assert report.problems == []
    assert report.deaths > 3
    assert report.marked > 3
    assert report.places > 1
    assert report.too_fast <= report.deaths + 5
