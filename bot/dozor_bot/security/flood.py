"""Rate limits for each person, and audit rows that each count several refused requests."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

WINDOW = 10.0
"""Seconds in which the attempts of one person make one audit row."""
REMEMBERED = 1000
"""People kept in mind; the one seen longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody tried. `user_id` None: nobody in particular (an anonymous admin, a channel)."""

    user_id: int | None
    chat_id: int
    action: str
    result: str
    target: str = ""
    """The task or incident it was meant for, as it was written."""


@dataclass(slots=True)
class _Window:
    last: Attempt
    written_at: float
    unwritten: int = 0


class AuditThrottle:
    """Keeps a flood of attempts from becoming a flood of audit rows; none of them goes uncounted."""

    def __init__(self) -> None:
        self._people: OrderedDict[tuple[int, str], _Window] = OrderedDict()
        self._overdue: list[tuple[Attempt, int]] = []

    def note(self, attempt: Attempt, now: float) -> int | None:
        """How many attempts the audit row to be written now counts; None: write none yet."""
        key = (attempt.user_id or attempt.chat_id, attempt.result)
        seen = self._people.get(key)
        if seen is not None and now - seen.written_at < WINDOW:
            seen.last = attempt
            seen.unwritten += 1
            return None
        self._people[key] = _Window(attempt, now)
        self._people.move_to_end(key)
        if len(self._people) > REMEMBERED:
            _, forgotten = self._people.popitem(last=False)
            if forgotten.unwritten:
                self._overdue.append((forgotten.last, forgotten.unwritten))
        return 1 if seen is None else seen.unwritten + 1

    def take_uncounted(self, now: float) -> list[tuple[Attempt, int]]:
        """What is still to be written of windows that are over: the last attempt, and how many there were."""
        due, self._overdue = self._overdue, []
        for key, window in list(self._people.items()):
            if now - window.written_at >= WINDOW:
                del self._people[key]
                if window.unwritten:
                    due.append((window.last, window.unwritten))
        return due

    def has_uncounted(self, now: float) -> bool:
        """Whether `take_uncounted` would give anything."""
        return bool(self._overdue) or any(
            window.unwritten and now - window.written_at >= WINDOW for window in self._people.values()
        )

    def put_back(self, uncounted: list[tuple[Attempt, int]]) -> None:
        """They could not be written now."""
        self._overdue.extend(uncounted)


@dataclass(slots=True)
class UserRateLimiter:
    """A token bucket a person: `burst` at once, then `rate` a second."""

    burst: float
    rate: float
    _people: OrderedDict[int, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, user_id: int, now: float) -> bool:
        """Whether this person may have one more."""
        tokens, at = self._people.get(user_id, (self.burst, now))
        tokens = min(self.burst, tokens + max(0.0, now - at) * self.rate)
        allowed = tokens >= 1
        self._people[user_id] = (tokens - 1 if allowed else tokens, now)
        self._people.move_to_end(user_id)
        if len(self._people) > REMEMBERED:
            self._people.popitem(last=False)
        return allowed


@dataclass(slots=True)
class OncePer:
    """Allows something once within `seconds`, by key."""

    seconds: float
    _said: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def take(self, key: str, now: float) -> bool:
        """Whether it is allowed now."""
        before = self._said.get(key)
        if before is not None and now - before < self.seconds:
            return False
        self._said[key] = now
        self._said.move_to_end(key)
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        return True


@dataclass(slots=True)
class RecentCommands:
    """The words of the last commands, by chat and message, and the update that brought them."""

    _words: OrderedDict[tuple[int, int], tuple[str, int]] = field(default_factory=OrderedDict)

    def note(self, chat_id: int, message_id: int, words: str, update_id: int) -> bool:
        """Whether no other update has brought these words of that message."""
        key = (chat_id, message_id)
        before = self._words.get(key)
        if before is not None and before[0] == words:
            return before[1] == update_id
        self._words[key] = words, update_id
        self._words.move_to_end(key)
        if len(self._words) > REMEMBERED:
            self._words.popitem(last=False)
        return True
