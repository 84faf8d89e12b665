"""Alerts about deposits whose owner is not known, with the command that attributes each.

Advertising comes as many small transfers with one comment, or from one sender. Such repeated deposits become
one line, and another line about the same comment or sender follows after REPEATED_PAUSE at the earliest.
Every deposit is alerted: the mark is committed after the alert was handed over, so that a crash in between
repeats an alert and never loses one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dozor.language import msg
from dozor.toolkit.context import CheckerContext
from dozor_market.ton.messages.amounts import in_whole
from dozor_market.ton.messages.comments import comment_key, shown

ATTRIBUTE_COMMAND: Final = "dozor market attribute {deposit} USER"
AT_ONCE: Final = 20
"""Lines of one alert; deposits beyond are counted."""
REPEATED: Final = 3
"""Deposits with one comment that become one line."""
FROM_ONE_SENDER: Final = 10
"""Deposits from one sender that become one line; more, because an exchange sends for many payers."""
REPEATED_PAUSE: Final = 3600.0
"""Seconds between two lines about repeated deposits with one comment or from one sender."""

DUE_SQL: Final = """
SELECT d.id, d.account, d.currency, d.amount, d.sender, d.comment, c.decimals
  FROM market.deposits d JOIN market.currencies c ON c.code = d.currency
 WHERE d.state = 'unmatched' AND d.alerted_at IS NULL ORDER BY d.id FOR UPDATE OF d SKIP LOCKED"""
RECENT_SQL: Final = """
SELECT d.id, d.account, d.currency, d.amount, d.sender, d.comment, c.decimals
  FROM market.deposits d JOIN market.currencies c ON c.code = d.currency
 WHERE d.state = 'unmatched' AND d.alerted_at > now() - make_interval(secs => $1)"""
ALERTED_SQL: Final = "UPDATE market.deposits SET alerted_at = clock_timestamp() WHERE id = ANY($1)"


@dataclass(frozen=True, slots=True)
class Deposit:
    """A deposit without an owner. Addresses in raw form; `amount` in smallest units."""

    id: int
    account: str
    currency: str
    amount: int
    sender: str
    comment: str | None
    decimals: int

    @property
    def money(self) -> str:
        return in_whole(self.amount, self.decimals)


@dataclass(frozen=True, slots=True)
class Trait:
    """What repeated deposits share: the comment, or the sender."""

    name: str
    value: str
    currency: str


@dataclass(frozen=True, slots=True)
class Group:
    """Deposits that become one line: one, or repeated ones that share `trait`."""

    deposits: tuple[Deposit, ...]
    trait: Trait | None = None


def group(deposits: Sequence[Deposit], recent: Sequence[Deposit]) -> list[Group]:
    """The deposits that are due, in groups, in the order of their first ones.

    recent: those alerted within REPEATED_PAUSE. They count for what is repeated, and what was repeated among
    them alone is not due: it waits for the end of the pause.
    """
    traits = repeated_traits([*recent, *deposits])
    paused = set(repeated_traits(recent).values())
    groups: dict[Trait | int, list[Deposit]] = {}
    for deposit in deposits:
        trait = traits.get(deposit.id)
        if trait not in paused:
            groups.setdefault(trait or deposit.id, []).append(deposit)
    return [Group(tuple(found), key if isinstance(key, Trait) else None) for key, found in groups.items()]


def repeated_traits(deposits: Sequence[Deposit]) -> dict[int, Trait]:
    """What makes deposits repeated ones, by their ids: the comment first, then the sender."""
    comments = {
        deposit.id: Trait("comment", key, deposit.currency)
        for deposit in deposits
        if (key := comment_key(deposit.comment or ""))
    }
    counts = Counter(comments.values())
    found = {number: trait for number, trait in comments.items() if counts[trait] >= REPEATED}
    senders = {
        deposit.id: Trait("sender", deposit.sender, deposit.currency)
        for deposit in deposits
        if deposit.sender and deposit.id not in found
    }
    counts = Counter(senders.values())
    return found | {number: trait for number, trait in senders.items() if counts[trait] >= FROM_ONE_SENDER}


async def alert_unmatched(ctx: CheckerContext) -> None:
    """Alert about what is due."""
    async with ctx.db.acquire() as connection, connection.transaction():
        deposits = [Deposit(**row) for row in await connection.fetch(DUE_SQL)]
        if not deposits:
            return
        recent = [Deposit(**row) for row in await connection.fetch(RECENT_SQL, REPEATED_PAUSE)]
        groups = group(deposits, recent)
        if not groups:
            return
        lines = [msg("log-ton-unmatched", count=sum(len(one.deposits) for one in groups))]
        lines += [_line(one) for one in groups[:AT_ONCE]]
        if len(groups) > AT_ONCE:
            left = sum(len(one.deposits) for one in groups[AT_ONCE:])
            lines.append(msg("log-ton-unmatched-more", count=left))
        ctx.alert("\n".join(lines), "warning")
        await connection.execute(ALERTED_SQL, [deposit.id for one in groups for deposit in one.deposits])


def _line(one: Group) -> str:
    first = one.deposits[0]
    command = ATTRIBUTE_COMMAND.format(deposit=first.id)
    if len(one.deposits) == 1:
        return msg(
            "log-ton-unmatched-line",
            amount=first.money,
            currency=first.currency,
            account=first.account,
            sender=first.sender or msg("log-ton-nobody"),
            comment=shown(first.comment),
            command=command,
        )
    amounts = [deposit.amount for deposit in one.deposits]
    senders = {deposit.sender for deposit in one.deposits}
    comments = {deposit.comment for deposit in one.deposits}
    return msg(
        "log-ton-unmatched-group",
        count=len(one.deposits),
        total=in_whole(sum(amounts), first.decimals),
        largest=in_whole(max(amounts), first.decimals),
        currency=first.currency,
        account=first.account,
        sender=first.sender or msg("log-ton-nobody"),
        senders=len(senders),
        comment=shown(first.comment),
        comments=len(comments),
        command=command,
        first=str(first.id),
        last=str(one.deposits[-1].id),
    )
