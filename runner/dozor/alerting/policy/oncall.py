"""Who is on call: a rotation by the wall clock of a timezone, and overrides. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from dozor.storage.tables.silences import OverrideRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who can be called. `destination`: where; `mention` names them in a group ("@ann")."""

    name: str
    destination: str = ""
    mention: str = ""
    user_id: int | None = None

    @property
    def called(self) -> str:
        return self.mention or self.name

    @property
    def mention_id(self) -> int | None:
        """The Telegram id to mention them by; an "@name" needs none."""
        return None if self.called.startswith("@") else self.user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Times are seconds since the epoch (UTC). `instead_of`: whom an override replaces."""

    person: str
    starts_at: float
    ends_at: float
    instead_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """`people` take turns of `shift`, the first beginning at `start` (a wall-clock time in `timezone`).

    Shifts are counted by the wall clock: one that ends at ten in the morning does so on the day the clocks
    change as well, and is an hour shorter or longer then.
    """

    people: tuple[str, ...]
    start: datetime
    """Without a timezone: local."""
    shift: timedelta
    timezone: ZoneInfo

    def number(self, at: float) -> int:
        """Of the shift at `at` (seconds since the epoch); the first is 0."""
        local = datetime.fromtimestamp(at, self.timezone).replace(tzinfo=None)
        number = (local - self.start) // self.shift
        # In the hour that comes twice the wall clock goes back; a shift that has ended does not begin again.
        while at >= self.begins(number + 1):
            number += 1
        while at < self.begins(number):
            number -= 1
        return number

    def begins(self, number: int) -> float:
        """Seconds since the epoch."""
        local = self.start + number * self.shift
        # fold=0: the first of two; a time that the clocks skip becomes the same distance after the gap.
        return local.replace(tzinfo=self.timezone).astimezone(UTC).timestamp()

    def person(self, number: int) -> str:
        return self.people[number % len(self.people)]


@dataclass(frozen=True, slots=True)
class OnCall:
    """Everybody who can be called, and whose turn it is."""

    people: Mapping[str, Person] = field(default_factory=lambda: MappingProxyType({}))
    rotation: Rotation | None = None

    @property
    def places(self) -> dict[str, str]:
        """The names of the people of each destination; without the chat of the configuration."""
        found: dict[str, str] = {}
        for person in self.people.values():
            if (place := person.destination) != "":
                found[place] = f"{found[place]}, {person.name}" if place in found else person.name
        return found

    def now(self, at: float, overrides: Iterable[OverrideRow] = ()) -> Shift | None:
        """Who is on call at `at` (seconds since the epoch); None without a rotation."""
        if self.rotation is None:
            return None
        number = self.rotation.number(at)
        planned = Shift(
            person=self.rotation.person(number),
            starts_at=self.rotation.begins(number),
            ends_at=self.rotation.begins(number + 1),
        )
        known = [o for o in overrides if o.person in self.people]
        newest = max((o for o in known if o.starts_at <= at < o.ends_at), key=lambda o: o.id, default=None)
        if newest is None:
            upcoming = [o.starts_at for o in known if at < o.starts_at < planned.ends_at]
            return Shift(
                person=planned.person,
                starts_at=planned.starts_at,
                ends_at=min([planned.ends_at, *upcoming]),
            )
        return Shift(
            person=newest.person,
            starts_at=newest.starts_at,
            ends_at=newest.ends_at,
            instead_of=planned.person if planned.person != newest.person else None,
        )

    def next(self, at: float, overrides: Iterable[OverrideRow] = ()) -> Shift | None:
        """Who takes over, and when; None if nobody else ever does."""
        current = self.now(at, overrides)
        if current is None or self.rotation is None:
            return None
        overrides = tuple(overrides)
        moment = current.ends_at
        for _ in range(2 * len(self.rotation.people) + 2 * len(overrides) + 2):
            following = self.now(moment, overrides)
            if following is None:
                return None
            if following.person != current.person:
                return replace(following, starts_at=moment)
            moment = following.ends_at
        return None

    def second(self, at: float, overrides: Iterable[OverrideRow] = ()) -> str | None:
        """Whom to call when the person on call does not react: the next in turn who is somebody else."""
        current = self.now(at, overrides)
        if current is None or self.rotation is None:
            return None
        number = self.rotation.number(at)
        for step in range(1, len(self.rotation.people)):
            person = self.rotation.person(number + step)
            if person != current.person:
                return person
        return current.instead_of
