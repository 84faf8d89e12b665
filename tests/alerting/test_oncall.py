"""Who is on call, by the wall clock, also when clocks change; who is called when nobody reacts."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.alerting.policy.escalation import Level, calls_for
from dozor.alerting.policy.oncall import OnCall, Person, Rotation, Shift
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
    # 02:30 is half an hour after the gap: at 03:10 the shift before it goes on.
    within = nightly.now(at("2026-03-29 03:10"))
    assert within is not None
    assert (within.person, within.ends_at) == ("ann", at("2026-03-29 03:30"))


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


def test_a_person_is_called_by_a_mention_or_else_by_name() -> None:
    ann, bob, eve = PEOPLE.values()
    assert [person.called for person in (ann, bob, eve)] == ["@ann", "bob", "eve"]
    assert [person.mention_id for person in (ann, bob, eve)] == [None, 222, None]
    assert Person(name="x", mention="Ann", user_id=5).mention_id == 5, "no @name: the id makes the mention"


def test_the_people_of_each_destination_are_named_without_those_of_the_chat() -> None:
    people = PEOPLE | {"dan": Person(name="dan", destination="111")}
    assert OnCall(people).places == {"111": "ann, dan", "222": "bob"}


def test_a_shift_tells_when_it_begins_and_ends() -> None:
    """Also in the rotation's second round, and before its first."""
    oncall = OnCall(PEOPLE, rotation())
    assert oncall.now(at("2026-04-15 12:00")) == Shift(
        person="ann", starts_at=at("2026-04-13 10:00"), ends_at=at("2026-04-20 10:00")
    )
    assert oncall.now(at("2026-03-10 12:00")) == Shift(
        person="bob", starts_at=at("2026-03-09 10:00"), ends_at=at("2026-03-16 10:00")
    )
    assert OnCall(PEOPLE).now(0.0) is None


def override(number: int, person: str, starts: str, ends: str) -> OverrideRow:
    return OverrideRow(id=number, person=person, starts_at=at(starts), ends_at=at(ends))


def test_a_shift_ends_where_the_first_known_override_begins() -> None:
    oncall, noon = OnCall(PEOPLE, rotation()), at("2026-03-24 12:00")
    later = override(1, "eve", "2026-03-26 00:00", "2026-03-27 00:00")
    sooner = override(2, "bob", "2026-03-25 00:00", "2026-03-25 06:00")
    unknown = override(3, "gone", "2026-03-24 13:00", "2026-03-24 14:00")
    past = override(4, "bob", "2026-03-23 11:00", "2026-03-24 11:00")
    next_week = override(5, "ann", "2026-03-31 00:00", "2026-04-01 00:00")
    shift = oncall.now(noon, [later, sooner, unknown, past, next_week])
    assert shift == Shift(person="ann", starts_at=at("2026-03-23 10:00"), ends_at=sooner.starts_at)
    whole = oncall.now(noon, [past, unknown, next_week])
    assert whole is not None
    assert whole.ends_at == at("2026-03-30 10:00")


def test_of_overrides_at_one_time_the_newest_counts_wherever_it_stands() -> None:
    oncall, noon = OnCall(PEOPLE, rotation()), at("2026-03-24 12:00")
    older = override(1, "bob", "2026-03-24 00:00", "2026-03-26 00:00")
    newer = override(2, "eve", "2026-03-24 06:00", "2026-03-25 00:00")
    expected = Shift(person="eve", starts_at=newer.starts_at, ends_at=newer.ends_at, instead_of="ann")
    assert oncall.now(noon, [older, newer]) == expected
    assert oncall.now(noon, [newer, older]) == expected


def test_an_override_by_whose_turn_it_is_replaces_nobody() -> None:
    own = override(1, "ann", "2026-03-24 00:00", "2026-03-25 00:00")
    shift = OnCall(PEOPLE, rotation()).now(at("2026-03-24 12:00"), [own])
    assert shift == Shift(person="ann", starts_at=own.starts_at, ends_at=own.ends_at)


def test_the_next_is_whoever_else_takes_over_and_when() -> None:
    oncall, noon = OnCall(PEOPLE, rotation()), at("2026-03-24 12:00")

    def following(*overrides: OverrideRow) -> tuple[str, float] | None:
        shift = oncall.next(noon, overrides)
        return None if shift is None else (shift.person, shift.starts_at)

    assert following() == ("bob", at("2026-03-30 10:00"))
    # ann goes on in bob's shift: the next is who has the one after, from when hers ends.
    assert following(override(1, "ann", "2026-03-30 10:00", "2026-04-06 10:00")) == (
        "eve",
        at("2026-04-06 10:00"),
    )
    assert following(override(1, "ann", "2026-03-30 09:00", "2026-04-02 10:00")) == (
        "bob",
        at("2026-04-02 10:00"),
    )


def test_nobody_follows_in_a_rotation_of_one_person_but_an_override_does() -> None:
    turns = Rotation(
        people=("ann",),
        start=datetime.fromisoformat("2026-03-23 10:00"),
        shift=timedelta(days=1),
        timezone=BERLIN,
    )
    alone, noon = OnCall(PEOPLE, turns), at("2026-03-24 12:00")
    assert alone.next(noon) is None
    assert alone.second(noon) is None
    stand_in = [override(1, "bob", "2026-03-24 00:00", "2026-03-25 00:00")]
    assert alone.second(noon, stand_in) == "ann", (
        "who is replaced is called when the one instead does not react"
    )
    back = alone.next(noon, stand_in)
    assert back is not None
    assert (back.person, back.starts_at) == ("ann", at("2026-03-25 00:00"))
    days = [override(n, "ann", f"2026-03-{24 + n} 10:00", f"2026-03-{25 + n} 10:00") for n in range(1, 4)]
    assert alone.next(noon, [*days, override(9, "eve", "2026-03-28 10:00", "2026-03-29 10:00")]) == Shift(
        person="eve", starts_at=at("2026-03-28 10:00"), ends_at=at("2026-03-29 10:00"), instead_of="ann"
    )


def test_the_second_goes_round_the_rotation() -> None:
    oncall = OnCall(PEOPLE, rotation())
    assert oncall.second(at("2026-03-31 12:00")) == "eve"
    assert oncall.second(at("2026-04-07 12:00")) == "ann"


def test_quiet_hours_within_one_day() -> None:
    midday = QuietHours(begin=time(12), end=time(14), timezone=BERLIN)
    hours = ("11:59", "12:00", "13:59", "14:00", "23:00")
    assert [midday.covers(at(f"2026-05-05 {hour}")) for hour in hours] == [False, True, True, False, False]
    assert midday.last(at("2026-05-05 14:00")) == (at("2026-05-05 12:00"), at("2026-05-05 14:00"))
    assert midday.last(at("2026-05-05 13:59")) == (at("2026-05-04 12:00"), at("2026-05-04 14:00"))
    never = QuietHours(begin=time(12), end=time(12), timezone=BERLIN)
    assert not never.covers(at("2026-05-05 12:00"))


def test_quiet_hours_over_midnight_end_in_the_morning() -> None:
    night = QuietHours(begin=time(23), end=time(8), timezone=BERLIN)
    hours = ("00:00", "07:59", "08:00", "22:59", "23:00", "23:59")
    covered = [True, True, False, False, True, True]
    assert [night.covers(at(f"2026-05-05 {hour}")) for hour in hours] == covered
    assert night.last(at("2026-05-05 23:30")) == (at("2026-05-04 23:00"), at("2026-05-05 08:00"))


def test_names_that_the_database_gave_are_those_of_the_configuration() -> None:
    """Equal texts, and not one object."""
    oncall, noon = OnCall(PEOPLE, rotation()), at("2026-03-24 12:00")
    own = override(1, "".join(("a", "nn")), "2026-03-24 00:00", "2026-03-25 00:00")
    shift = oncall.now(noon, [own])
    assert shift is not None
    assert shift.instead_of is None
    following = oncall.next(noon, [own])
    assert following is not None
    assert following.person == "bob"
    for_bob = override(1, "".join(("b", "ob")), "2026-03-24 00:00", "2026-03-25 00:00")
    assert oncall.second(noon, [for_bob]) == "eve"
    for_eve = override(1, "ann", "2026-04-07 00:00", "2026-04-08 00:00")
    shift = oncall.now(at("2026-04-07 12:00"), [for_eve])
    assert shift is not None
    assert shift.instead_of == "eve"


def test_the_next_is_found_after_many_turns_of_one_person() -> None:
    turns = rotation(shift=timedelta(days=1))
    mostly = OnCall(PEOPLE, replace(turns, people=("ann",) * 7 + ("bob",)))
    following = mostly.next(at("2026-03-23 12:00"))
    assert following is not None
    assert (following.person, following.starts_at) == ("bob", at("2026-03-30 10:00"))


def test_the_next_is_found_after_all_overrides_of_the_person_on_call() -> None:
    """Each of them divides a turn: none is left out by a limit of how far is looked."""
    turns = replace(rotation(shift=timedelta(days=1)), people=("ann", "bob"))
    first = datetime.fromisoformat("2026-03-24 10:00")
    days = [first + timedelta(days=2 * number) for number in range(10)]
    own = [
        override(number, "ann", day.isoformat(), (day + timedelta(days=1)).isoformat())
        for number, day in enumerate(days, start=1)
    ]
    following = OnCall(PEOPLE, turns).next(at("2026-03-23 12:00"), own)
    assert following is not None
    assert (following.person, following.starts_at) == ("bob", at("2026-04-13 10:00"))
