"""Who is on call, by the wall clock, also when clocks change; who is called when nobody reacts."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.alerting.policy.escalation import Level, calls_for
from dozor.alerting.policy.oncall import OnCall, Person, Rotation
from dozor.alerting.policy.quiet_hours import QuietHours
from dozor.storage.tables.silences import OverrideRow

BERLIN = ZoneInfo("Europe/Berlin")  # 29.03.2026 02:00 → 03:00, 25.10.2026 03:00 → 02:00
PEOPLE = {
    "ann": Person(name="ann", destination="111", mention="@ann", user_id=111),
    "bob": Person(name="bob", destination="222", user_id=222),
    "eve": Person(name="eve"),
}


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def rotation(start: str = "2026-03-23 10:00", shift: timedelta = timedelta(days=7)) -> Rotation:
    people = ("ann", "bob", "eve")
    return Rotation(people=people, start=datetime.fromisoformat(start), shift=shift, timezone=BERLIN)


def test_people_take_turns_at_the_handover_time() -> None:
    oncall = OnCall(PEOPLE, rotation())
    for moment, person in (
        ("2026-03-23 10:00", "ann"),
        ("2026-03-30 09:59", "ann"),
        ("2026-03-30 10:00", "bob"),
        ("2026-04-06 10:00", "eve"),
        ("2026-04-13 10:00", "ann"),
        ("2026-03-23 09:59", "eve"),
    ):
        shift = oncall.now(at(moment))
        assert shift is not None
        assert shift.person == person, moment


@pytest.mark.parametrize(
    ("begin", "end", "hours"),
    [("2026-03-28 10:00", "2026-03-29 10:00", 23), ("2026-10-24 10:00", "2026-10-25 10:00", 25)],
)
def test_a_shift_over_a_change_of_clocks_ends_at_its_wall_clock_time(
    begin: str, end: str, hours: int
) -> None:
    daily = OnCall(PEOPLE, rotation("2026-03-01 10:00", timedelta(days=1)))
    shift = daily.now(at(begin) + 60)
    assert shift is not None
    assert (shift.starts_at, shift.ends_at) == (at(begin), at(end))
    assert shift.ends_at - shift.starts_at == hours * 3600


def test_a_handover_in_the_hour_that_comes_twice_happens_once() -> None:
    hourly = OnCall(PEOPLE, rotation("2026-10-24 02:30", timedelta(days=1)))
    moment, seen = at("2026-10-25 01:00"), list[str]()
    while moment < at("2026-10-25 04:00"):
        shift = hourly.now(moment)
        assert shift is not None
        if not seen or seen[-1] != shift.person:
            seen.append(shift.person)
        moment += 300
    assert seen == ["ann", "bob"]


def test_a_handover_in_the_hour_that_is_skipped_happens_all_the_same() -> None:
    nightly = OnCall(PEOPLE, rotation("2026-03-28 02:30", timedelta(days=1)))
    before, after = nightly.now(at("2026-03-29 01:59")), nightly.now(at("2026-03-29 03:31"))
    assert before is not None
    assert after is not None
    assert (before.person, after.person) == ("ann", "bob")


@given(st.floats(at("2026-01-01 00:00"), at("2027-12-31 00:00")), st.integers(2, 400))
def test_shifts_cover_all_time_without_gap_or_overlap(moment: float, hours: int) -> None:
    turns = rotation("2026-01-05 02:30", timedelta(hours=hours))
    number = turns.number(moment)
    assert turns.begins(number) <= moment < turns.begins(number + 1)


def test_somebody_stands_in_and_the_rotation_goes_on_after() -> None:
    oncall = OnCall(PEOPLE, rotation())
    overrides = [
        OverrideRow(id=1, person="bob", starts_at=at("2026-03-24 18:00"), ends_at=at("2026-03-25 08:00")),
        OverrideRow(id=2, person="eve", starts_at=at("2026-03-24 20:00"), ends_at=at("2026-03-24 22:00")),
        OverrideRow(id=3, person="gone", starts_at=0.0, ends_at=4e9),
    ]

    def who(moment: str) -> str:
        shift = oncall.now(at(moment), overrides)
        assert shift is not None
        return shift.person

    assert who("2026-03-24 17:59") == "ann"
    assert who("2026-03-24 18:00") == "bob"
    assert who("2026-03-24 21:00") == "eve"
    assert who("2026-03-24 22:30") == "bob"
    assert who("2026-03-25 08:00") == "ann"
    now = oncall.now(at("2026-03-24 21:00"), overrides)
    assert now is not None
    assert now.instead_of == "ann"
    following = oncall.next(at("2026-03-24 21:00"), overrides)
    assert following is not None
    assert (following.person, following.starts_at) == ("bob", at("2026-03-24 22:00"))
    upcoming = oncall.next(at("2026-03-24 12:00"), overrides)
    assert upcoming is not None
    assert (upcoming.person, upcoming.starts_at) == ("bob", at("2026-03-24 18:00"))


def test_the_second_is_the_next_in_turn_who_is_somebody_else() -> None:
    oncall = OnCall(PEOPLE, rotation())
    assert oncall.second(at("2026-03-24 12:00")) == "bob"
    stand_in = [OverrideRow(id=1, person="bob", starts_at=0.0, ends_at=4e9)]
    assert oncall.second(at("2026-03-24 12:00"), stand_in) == "eve"
    assert OnCall(PEOPLE).second(0.0) is None
    assert OnCall(PEOPLE).next(0.0) is None


def test_levels_call_people_where_they_are() -> None:
    oncall, now = OnCall(PEOPLE, rotation()), at("2026-03-24 12:00")

    def called(whom: str) -> dict[str, list[str]]:
        found = calls_for(Level(0.0, whom), oncall, (), now)
        return {call.destination: [person.called for person in call.people] for call in found}

    assert called("oncall") == {"111": ["@ann"]}
    assert called("second") == {"222": ["bob"]}
    assert called("everybody") == {"111": ["@ann"], "222": ["bob"], "": ["eve"]}
    assert called("eve") == {"": ["eve"]}
    nobody = calls_for(Level(0.0, "oncall"), OnCall(), (), now)
    assert [(call.destination, call.people) for call in nobody] == [("", ())]


def test_quiet_hours_go_over_midnight_and_over_changes_of_clocks() -> None:
    night = QuietHours(begin=time(23), end=time(8), timezone=BERLIN)
    assert night.covers(at("2026-03-28 23:00"))
    assert night.covers(at("2026-03-29 03:30"))
    assert not night.covers(at("2026-03-29 08:00"))
    assert night.last(at("2026-03-29 08:00")) == (at("2026-03-28 23:00"), at("2026-03-29 08:00"))
    begin, end = night.last(at("2026-10-25 20:00"))
    assert (end - begin) / 3600 == 10
    assert night.last(at("2026-10-25 07:59"))[1] == at("2026-10-24 08:00")
