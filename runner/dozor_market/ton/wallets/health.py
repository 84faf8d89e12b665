"""Faults of providers in one run: frozen, an older state, unverifiable answers, no answer."""

from __future__ import annotations

from typing import Final

from dozor.language import msg
from dozor.toolkit.context import CheckerContext
from dozor_market.ton.crediting import cursor_name
from dozor_market.ton.incidents import IncidentKind, Sighting
from dozor_market.ton.messages.transactions import UnreadableTransactionError
from dozor_market.ton.providers import freshness
from dozor_market.ton.providers.history import BrokenHistoryError, ForkedHistoryError, StaleHistoryError
from dozor_market.ton.providers.port import Failure, Providers
from dozor_market.ton.providers.sources import Head

NOW_SQL: Final = "SELECT extract(epoch FROM now())::float8"
AGES_SQL: Final = """
SELECT name, extract(epoch FROM now())::float8 - (position->>'utime')::float8 AS age
  FROM dozor.cursors WHERE name = ANY($1)"""
KINDS: Final = (
    IncidentKind.FROZEN,
    IncidentKind.OLDER_STATE,
    IncidentKind.UNVERIFIABLE,
    IncidentKind.FAILING,
)
_unmeasured: set[str] = set()
"""Providers of which this process has logged that they do not say how new their state is."""


async def leave_out_frozen(
    ctx: CheckerContext, providers: Providers, limit: float
) -> tuple[list[Sighting], dict[str, Head]]:
    """Leave out, for this run, the providers that are behind the others by more than `limit` seconds.

    Returns what is wrong, and the newest blocks of the others. A provider
    that does not say how new its state is counts as fresh, with one line in the log.
    """
    answers = await providers.heads()
    heads = {name: answer for name, answer in answers.items() if isinstance(answer, Head)}
    for name, answer in answers.items():
        if isinstance(answer, Failure) and name not in _unmeasured:
            _unmeasured.add(name)
            ctx.log.warning(msg("log-ton-unmeasured", provider=name, reason=answer.reason))
    async with ctx.db.acquire() as connection:
        now = await connection.fetchval(NOW_SQL)
    found = freshness.judge(heads, now, limit)
    said = "; ".join(f"{name}: {head.seqno} ({now - head.utime:.0f} s)" for name, head in heads.items())
    sightings: list[Sighting] = []
    for key, places in (
        ("log-ton-behind", found.behind),
        ("log-ton-ahead", found.ahead),
        ("log-ton-old", found.old),
        ("log-ton-early", found.early),
    ):
        for name, seconds in places.items():
            reason = msg(key, seconds=f"{seconds:.0f}")
            evidence = f"{reason}. {msg('log-ton-heads', said=said)}"
            sightings.append(Sighting(IncidentKind.FROZEN, name, evidence))
            if places is found.behind or places is found.ahead:
                providers.leave_out(name, reason)
    out = {*found.behind, *found.ahead}
    return sightings, {name: head for name, head in heads.items() if name not in out}


async def judge_answers(ctx: CheckerContext, providers: Providers, limit: float) -> list[Sighting]:
    """What the failures of this run say about the providers.

    A history that ends before the cursor is an ordinary lag unless the transaction at the cursor is older
    than `limit` seconds.
    """
    stale = {
        (failure.provider, failure.account): failure
        for failure in providers.failures
        if isinstance(failure.error, StaleHistoryError)
    }
    ages: dict[str, float | None] = {}
    if stale:
        async with ctx.db.acquire() as connection:
            names = [cursor_name(account) for _, account in stale]
            ages = {row["name"]: row["age"] for row in await connection.fetch(AGES_SQL, names)}
    sightings: list[Sighting] = []
    for (provider, account), failure in stale.items():
        age = ages.get(cursor_name(account))
        if age is None or age > limit:
            evidence = _evidence(failure)
            sightings.append(Sighting(IncidentKind.OLDER_STATE, provider, evidence, urgent=age is not None))
    sightings += [
        Sighting(IncidentKind.UNVERIFIABLE, failure.provider, _evidence(failure))
        for failure in reversed(providers.failures)  # the first one is kept
        if isinstance(failure.error, BrokenHistoryError | UnreadableTransactionError)
        and not isinstance(failure.error, StaleHistoryError | ForkedHistoryError)
    ]
    sightings += [
        Sighting(IncidentKind.FAILING, failure.provider, failure.reason, urgent=False)
        for failure in providers.failures
        if failure.provider not in providers.answering
    ]
    return sightings


def _evidence(failure: Failure) -> str:
    return msg("log-ton-of-wallet", account=failure.account, reason=failure.reason)
