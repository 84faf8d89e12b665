"""Access control: roles by user id. Everybody else has none; membership of a chat gives no role."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


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
        self.assign(admins=admins, operators=operators, viewers=viewers)

    def assign(self, *, admins: Iterable[int], operators: Iterable[int], viewers: Iterable[int]) -> bool:
        """These have roles from now on, and nobody else; whether that changes anything."""
        before, self._roles = self._roles, {}
        for role, people in ((Role.VIEWER, viewers), (Role.OPERATOR, operators), (Role.ADMIN, admins)):
            self._roles.update(dict.fromkeys(people, role))
        return self._roles != before

    @property
    def people(self) -> dict[int, Role]:
        """Everybody who has a role."""
        return dict(self._roles)

    def role_of(self, user_id: int | None) -> Role | None:
        """None: a stranger, or nobody (a channel, an anonymous admin)."""
        return None if user_id is None else self._roles.get(user_id)
