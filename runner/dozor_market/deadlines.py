"""Deadlines of auctions and presales: in the future by the database's clock, and with a time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from dozor.language import msg
from dozor_market.ledger import LedgerError

CLOCK_SQL: Final = "SELECT clock_timestamp()"


class DeadlineError(LedgerError):
    """Not a moment in the future with a time zone."""


def check_zone(name: str, deadline: object) -> None:
    """Raises DeadlineError unless `deadline` is a datetime with a zone."""
    if not isinstance(deadline, datetime):
        raise DeadlineError(msg("error-market-deadline-type", name=name, value=repr(deadline)))
    if deadline.utcoffset() is None:
        raise DeadlineError(msg("error-market-deadline-zone", name=name, value=deadline.isoformat(" ")))
    try:
        deadline.astimezone(UTC)
    except OverflowError:  # years 1 and 9999, outside what UTC can express
        raise DeadlineError(msg("error-market-deadline-type", name=name, value=repr(deadline))) from None


def check_future(name: str, deadline: datetime, now: datetime) -> None:
    """Raises DeadlineError unless `deadline` is after `now`, the database's clock. Equal is too late."""
    if deadline <= now:
        raise DeadlineError(
            msg(
                "error-market-deadline-past",
                name=name,
                value=deadline.isoformat(" "),
                now=now.isoformat(" "),
            )
        )
