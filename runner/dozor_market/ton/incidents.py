"""Incidents of providers, wallets and the books: recorded with what was seen, alerted once and then daily.

The mark is committed after the alert was handed over: a crash in between repeats an alert, never loses it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

from dozor.language import msg
from dozor.storage.postgres.pool import Pool
from dozor.toolkit.context import CheckerContext

Severity: TypeAlias = Literal["info", "warning", "critical"]

CALM: Final = 600.0
"""Seconds without a sighting after which an incident has ended: one that comes and goes is one."""
REMIND: Final = 86_400.0
"""Seconds between two alerts about an incident that lasts."""
MONTH: Final = 30 * 86_400.0
CALMS: Final[dict[str, float]] = {"foreign_jettons": REMIND, "own_transfers": MONTH}
"""By kind, where it is not CALM: one notice a day, or a month."""
REMINDS: Final[dict[str, float]] = {"own_transfers": MONTH}
"""By kind, where it is not REMIND. Sweeps are a part of every day."""
SHOWN: Final = 10
"""Incidents of one kind shown in an alert; the others are counted."""


class IncidentKind(StrEnum):
    """Of a row of market.ton_incidents."""

    FROZEN = "provider_frozen"
    """Its newest masterchain block is old, or from the future."""
    OLDER_STATE = "provider_older_state"
    """It returns a wallet's history without transactions that were confirmed long ago."""
    UNVERIFIABLE = "provider_unverifiable"
    """It returns what is no chain of transactions of the wallet."""
    FAILING = "provider_failing"
    """It has given no usable answer for a while."""
    WALLET = "wallet_unreadable"
    """No provider has a usable history of this wallet, while others are read."""
    JETTON_WALLET = "jetton_wallet"
    """The jetton's master does not name the jetton wallet that is registered."""
    FOREIGN_JETTONS = "foreign_jettons"
    """Notifications came from jetton wallets that are not registered."""
    OWN_TRANSFERS = "own_transfers"
    """Transfers between our own wallets came: recorded, not posted."""
    NOT_COMPARED = "not_compared"
    """The books could not be compared with the chain for hours."""
    RECONCILIATION = "reconciliation"
    """The books do not agree with the chain or with themselves."""


SEVERITIES: Final[dict[IncidentKind, Severity]] = {
    IncidentKind.FROZEN: "warning",
    IncidentKind.OLDER_STATE: "warning",
    IncidentKind.UNVERIFIABLE: "warning",
    IncidentKind.FAILING: "warning",
    IncidentKind.WALLET: "critical",
    IncidentKind.JETTON_WALLET: "critical",
    IncidentKind.FOREIGN_JETTONS: "info",
    IncidentKind.OWN_TRANSFERS: "info",
    IncidentKind.NOT_COMPARED: "warning",
    IncidentKind.RECONCILIATION: "critical",
}
TITLES: Final = {
    IncidentKind.FROZEN: "log-ton-incident-frozen",
    IncidentKind.OLDER_STATE: "log-ton-incident-older-state",
    IncidentKind.UNVERIFIABLE: "log-ton-incident-unverifiable",
    IncidentKind.FAILING: "log-ton-incident-failing",
    IncidentKind.WALLET: "log-ton-incident-wallet",
    IncidentKind.JETTON_WALLET: "log-ton-incident-jetton-wallet",
    IncidentKind.FOREIGN_JETTONS: "log-ton-incident-foreign-jettons",
    IncidentKind.OWN_TRANSFERS: "log-ton-incident-own-transfers",
    IncidentKind.NOT_COMPARED: "log-ton-incident-not-compared",
    IncidentKind.RECONCILIATION: "log-ton-incident-reconciliation",
}
PATIENCE: Final[dict[IncidentKind, float]] = {
    IncidentKind.FAILING: 900.0,
    IncidentKind.OLDER_STATE: 120.0,
    IncidentKind.NOT_COMPARED: 6 * 3600.0,
}
"""Seconds that an incident must have lasted before its alert, unless it is urgent; 0: two runs saw it."""

RECORD_SQL: Final = """
INSERT INTO market.ton_incidents AS i (kind, subject, urgent, evidence, latest)
SELECT t.kind, t.subject, t.urgent, t.evidence, t.evidence
  FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[]) AS t (kind, subject, urgent, evidence)
 ORDER BY t.kind, t.subject
ON CONFLICT (kind, subject) WHERE ended_at IS NULL DO UPDATE
   SET latest = EXCLUDED.latest, last_seen_at = now(), rounds = i.rounds + 1,
       urgent = i.urgent OR EXCLUDED.urgent"""
COUNT_SQL: Final = """
INSERT INTO market.ton_incidents AS i (kind, subject, urgent, evidence, latest)
VALUES ($1, 'all wallets', true, $2::bigint::text, $2::bigint::text)
ON CONFLICT (kind, subject) WHERE ended_at IS NULL DO UPDATE
   SET latest = (i.latest::bigint + $2)::text, last_seen_at = now(), rounds = i.rounds + 1"""
END_SQL: Final = """
UPDATE market.ton_incidents i SET ended_at = now()
  FROM unnest($1::text[], $2::float8[]) AS t (kind, calm)
 WHERE i.kind = t.kind AND i.ended_at IS NULL AND i.last_seen_at < now() - make_interval(secs => t.calm)
RETURNING i.kind, i.subject"""
END_UNSEEN_SQL: Final = """
UPDATE market.ton_incidents SET ended_at = now()
 WHERE kind = $1 AND ended_at IS NULL AND subject <> ALL($2::text[]) AND starts_with(subject, $3)
RETURNING kind, subject"""
DUE_SQL: Final = """
SELECT i.id, i.kind, i.subject, i.latest
  FROM market.ton_incidents i
  JOIN unnest($1::text[], $2::float8[], $3::float8[]) AS t (kind, patience, remind) ON t.kind = i.kind
 WHERE i.ended_at IS NULL
   AND (i.alerted_at IS NULL
        AND (i.urgent OR i.rounds > 1 AND i.last_seen_at - i.seen_at >= make_interval(secs => t.patience))
        OR i.alerted_at < now() - make_interval(secs => t.remind))
 ORDER BY i.id FOR UPDATE OF i SKIP LOCKED"""
ALERTED_SQL: Final = "UPDATE market.ton_incidents SET alerted_at = clock_timestamp() WHERE id = ANY($1)"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is wrong with `subject`, as one run saw it. `urgent`: alerted at once."""

    kind: IncidentKind
    subject: str
    evidence: str
    urgent: bool = True


async def record(pool: Pool, sightings: Sequence[Sighting]) -> None:
    """Keep what this run saw: one row a kind and subject, the first evidence and the latest."""
    unique = {(one.kind, one.subject): one for one in sightings}
    if not unique:
        return
    async with pool.acquire() as connection:
        await connection.execute(
            RECORD_SQL,
            [one.kind.value for one in unique.values()],
            [one.subject for one in unique.values()],
            [one.urgent for one in unique.values()],
            [one.evidence for one in unique.values()],
        )


async def count(pool: Pool, kind: IncidentKind, number: int) -> None:
    """Add to the number that an incident of this kind has for its evidence."""
    if number:
        async with pool.acquire() as connection:
            await connection.execute(COUNT_SQL, kind.value, number)


async def end_calm(ctx: CheckerContext, kinds: Collection[IncidentKind]) -> None:
    """End the incidents of these kinds that the last CALM seconds had no sighting of."""
    async with ctx.db.acquire() as connection:
        rows = await connection.fetch(
            END_SQL, [kind.value for kind in kinds], [CALMS.get(kind, CALM) for kind in kinds]
        )
    for row in rows:
        ctx.log.info(msg("log-ton-incident-ended", kind=row["kind"], subject=row["subject"]))


async def end_unseen(
    ctx: CheckerContext, kind: IncidentKind, subjects: Collection[str], beginning: str = ""
) -> None:
    """End the incidents of this kind about anything but `subjects`, which this run saw.

    beginning: only those whose subjects begin so.
    """
    async with ctx.db.acquire() as connection:
        rows = await connection.fetch(END_UNSEEN_SQL, kind.value, list(subjects), beginning)
    for row in rows:
        ctx.log.info(msg("log-ton-incident-ended", kind=row["kind"], subject=row["subject"]))


async def alert_due(ctx: CheckerContext, kinds: Collection[IncidentKind]) -> None:
    """Alert about the incidents of these kinds that are due, one alert a kind, in the order of `kinds`."""
    async with ctx.db.acquire() as connection, connection.transaction():
        due = await connection.fetch(
            DUE_SQL,
            [kind.value for kind in kinds],
            [PATIENCE.get(kind, 0.0) for kind in kinds],
            [REMINDS.get(kind, REMIND) for kind in kinds],
        )
        for kind in kinds:
            rows = [row for row in due if row["kind"] == kind]
            if rows:
                ctx.alert(_text(kind, rows), SEVERITIES[kind])
        if due:
            await connection.execute(ALERTED_SQL, [row["id"] for row in due])


def _text(kind: IncidentKind, rows: Sequence[Any]) -> str:
    lines = [msg(TITLES[kind], count=len(rows))]
    lines += [f"{row['subject']}: {row['latest']}" for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        lines.append(msg("log-ton-incident-more", count=len(rows) - SHOWN))
    return "\n".join(lines)
