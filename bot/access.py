"""Who may do what: roles by user id, everybody else nothing. Membership of a chat is no role."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

DENIAL_WINDOW = 10.0
"""Seconds in which one stranger's attempts make one audit row."""
STRANGERS_REMEMBERED = 1000


class Role(IntEnum):
    """Each may do what the one before it may."""

    VIEWER = 1
    OPERATOR = 2
    ADMIN = 3


class Access:
    """The configured people. Default: deny."""

    def __init__(
        self, *, admins: Iterable[int] = (), operators: Iterable[int] = (), viewers: Iterable[int] = ()
    ) -> None:
        self._roles: dict[int, Role] = {}
        for role, people in ((Role.VIEWER, viewers), (Role.OPERATOR, operators), (Role.ADMIN, admins)):
            self._roles.update(dict.fromkeys(people, role))

    def role_of(self, user_id: int | None) -> Role | None:
        """None: a stranger, or nobody (a channel, an anonymous admin)."""
        return None if user_id is None else self._roles.get(user_id)


@dataclass(slots=True)
class _Attempts:
    written_at: float
    unwritten: int = 0


class Denials:
    """Keeps a flood of attempts from becoming a flood of audit rows."""

    def __init__(self) -> None:
        self._people: OrderedDict[int, _Attempts] = OrderedDict()

    def note(self, user_id: int, now: float) -> int | None:
        """How many attempts the audit row to be written now stands for; None: write none yet."""
        seen = self._people.get(user_id)
        if seen is not None and now - seen.written_at < DENIAL_WINDOW:
            seen.unwritten += 1
            return None
        self._people[user_id] = _Attempts(now)
        self._people.move_to_end(user_id)
        if len(self._people) > STRANGERS_REMEMBERED:
            self._people.popitem(last=False)
        return 1 if seen is None else seen.unwritten + 1
