"""Readiness: judged from the last activity of the runner's parts. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from dozor.language import msg

STALLED_AFTER = 30.0
"""Seconds without progress after which a loop counts as stalled."""
SENDING_AFTER = 180.0
"""The same for the dispatcher with Telegram: loading the bot, and a message in every form, take a while."""
DEAF_AFTER = 180.0
"""Seconds without a successful poll after which the bot counts as not receiving (a long poll takes 50)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSnapshot:
    """Times are seconds since the epoch."""

    now: float
    supervision_late: float = 0.0
    """Seconds by which the control loop is behind schedule."""
    database_up: bool
    database_down_since: float | None
    journal_written_at: float
    dispatcher_at: float
    commands_at: float
    telegram_wanted: bool
    telegram_commands: bool = True
    """Whether updates are taken here."""
    telegram_problem: str | None
    telegram_polled_at: float | None
    chat_refuses: str | None
    held_chats: dict[str, str] = field(default_factory=dict)
    """Destinations that urgent messages cannot reach for long, and why; "" is `telegram.chat`."""
    failing_parts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Ready if there is no reason not to be."""

    reasons: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.reasons


def evaluate(vitals: HealthSnapshot) -> Readiness:
    """Every reason why the runner cannot do its job, in words."""
    reasons: list[str] = []
    now = vitals.now
    if vitals.supervision_late > STALLED_AFTER:
        reasons.append(msg("log-ready-supervision", seconds=f"{vitals.supervision_late:.0f}"))
    if not vitals.database_up:
        since = now - (vitals.database_down_since or now)
        reasons.append(msg("log-ready-database", seconds=f"{since:.0f}"))
    elif now - vitals.journal_written_at > STALLED_AFTER:
        reasons.append(msg("log-ready-journal", seconds=f"{now - vitals.journal_written_at:.0f}"))
    if now - vitals.dispatcher_at > (SENDING_AFTER if vitals.telegram_wanted else STALLED_AFTER):
        reasons.append(msg("log-ready-dispatcher", seconds=f"{now - vitals.dispatcher_at:.0f}"))
    if now - vitals.commands_at > STALLED_AFTER:
        reasons.append(msg("log-ready-commands", seconds=f"{now - vitals.commands_at:.0f}"))
    if vitals.telegram_wanted:
        if vitals.telegram_problem is not None:
            reasons.append(msg("log-ready-telegram", problem=vitals.telegram_problem))
        elif not vitals.telegram_commands:
            pass  # another program's bot takes the updates
        elif vitals.telegram_polled_at is None:
            reasons.append(msg("log-ready-not-polled"))
        elif now - vitals.telegram_polled_at > DEAF_AFTER:
            reasons.append(msg("log-ready-polled", seconds=f"{now - vitals.telegram_polled_at:.0f}"))
        if vitals.chat_refuses is not None:
            reasons.append(msg("log-ready-chat", problem=vitals.chat_refuses))
        for key, why in sorted(vitals.held_chats.items()):
            reasons.append(msg("log-ready-held", chat=key or "telegram.chat", problem=why))
    reasons.extend(f"{name}: {why}" for name, why in sorted(vitals.failing_parts.items()))
    return Readiness(tuple(reasons))
