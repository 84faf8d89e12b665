"""One-time codes (RFC 6238, TOTP) before chosen commands: one code, one command, few guesses."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from dozor.control.commands.commands import CommandName
from dozor.errors import ConfigError
from dozor.extras import Extra, install_command
from dozor.language import msg
from dozor_bot.security.flood import UserRateLimiter
from dozor_bot.telegram.incoming import Sender

WITHIN = 60.0
"""Seconds in which the code must come."""
WINDOW = 1
"""Steps of 30 s by which a phone's clock may be wrong."""
GUESSES, GUESS_RATE = 5.0, 1 / 60


class Verdict(Enum):
    RIGHT = auto()
    WRONG = auto()
    NO_SECRET = auto()
    TOO_MANY = auto()


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for a code."""

    action: CommandName
    tasks: tuple[str, ...]
    until: float


@dataclass
class TotpGuard:
    """`commands` take a code; `secrets` in base32, by user id. Nothing of it: no codes are asked for."""

    commands: frozenset[CommandName] = frozenset()
    secrets: Mapping[int, str] = field(default_factory=dict)
    _pending: dict[int, Pending] = field(default_factory=dict)
    _guesses: UserRateLimiter = field(default_factory=lambda: UserRateLimiter(GUESSES, GUESS_RATE))
    _used: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By person: the step of the last code that was right, and the message that brought it."""

    def __post_init__(self) -> None:
        self._pyotp: Any = None
        if self.commands:
            try:
                self._pyotp = importlib.import_module("pyotp")
            except ImportError:
                command = install_command(Extra.TOTP)
                raise ConfigError([msg("error-needs-pyotp", command=command)]) from None

    def needed(self, action: CommandName) -> bool:
        return action in self.commands

    def expect(self, to: Sender, pending: Pending) -> None:
        """From now on this person's next code is for this."""
        if to.user_id is not None:
            self._pending[to.user_id] = pending

    def pending(self, user_id: int | None, now: float) -> Pending | None:
        found = None if user_id is None else self._pending.get(user_id)
        return found if found is not None and now <= found.until else None

    def check(self, sender: Sender, code: str, now: float) -> Verdict:
        """A code is right once; the same message, handled again, is no second use of it."""
        user_id = sender.user_id
        secret = None if user_id is None else self.secrets.get(user_id)
        if user_id is None or secret is None:
            return Verdict.NO_SECRET
        if not self._guesses.take(user_id, now):
            return Verdict.TOO_MANY
        totp = self._pyotp.TOTP(secret)
        step = next(
            (
                int(now // 30) + offset
                for offset in range(-WINDOW, WINDOW + 1)
                if self._pyotp.utils.strings_equal(totp.generate_otp(int(now // 30) + offset), code)
            ),
            None,
        )
        last_step, last_message = self._used.get(user_id, (-1, -1))
        again = (step, sender.message_id) == (last_step, last_message)
        if step is None or (step <= last_step and not again):
            return Verdict.WRONG
        self._used[user_id] = (step, sender.message_id)
        return Verdict.RIGHT

    def used(self, user_id: int | None) -> tuple[int, int] | None:
        """The step of this person's last right code, and the message that brought it."""
        return None if user_id is None else self._used.get(user_id)

    def done(self, user_id: int | None) -> None:
        """The command has been given: nothing waits any more."""
        if user_id is not None:
            self._pending.pop(user_id, None)
