"""One wallet in one run: asks the providers, stores what is in doubt, credits what is confirmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from dozor.errors import DozorError
from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit import Backlog, report_backlog, start_cursor
from dozor.toolkit.context import CheckerContext
from dozor_market.ton import crediting
from dozor_market.ton.agreement import allowance, evidence, pending
from dozor_market.ton.agreement.comparison import Contradiction, fork_of_cursor
from dozor_market.ton.agreement.limits import SingleSourceLimits
from dozor_market.ton.agreement.round import CONFIRMATIONS, Confirmed, Contradicted, Round, Waiting
from dozor_market.ton.messages.transactions import Position, Receipt, read_transaction
from dozor_market.ton.providers.history import BrokenHistoryError
from dozor_market.ton.providers.port import Answer, Providers, ProvidersFailedError, Raw, Read, to_cell
from dozor_market.ton.reader import START, News, Wallet

CURSOR_SQL: Final = "SELECT position FROM dozor.cursors WHERE name = $1"
AGE_SQL: Final = "SELECT extract(epoch FROM now() - to_timestamp($1))::float8, to_timestamp($1)"
RECREATED: Final = (
    "{wallet} was deleted and created anew. What came in between {last}, the last transaction read before, "
    "and {first}, the first of the new account, is not in its history: look it up in an explorer"
)


class WalletError(DozorError):
    """No provider has a history of the wallet that can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Arguments of the checker. dust: smallest units by currency; behind_after: seconds."""

    dust: Mapping[str, int]
    limits: SingleSourceLimits
    behind_after: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one wallet. `counts`: transactions by kind; `settled`: all that the providers have is booked."""

    counts: Counter[str]
    settled: bool = False


async def read_wallet(ctx: CheckerContext, providers: Providers, wallet: Wallet, rules: Rules) -> Outcome:
    """Credit what is new and confirmed in one wallet.

    Raises ProvidersFailedError or WalletError when no provider has a usable history, and ValueError for a
    cursor edited into nonsense.
    """
    name = crediting.cursor_name(wallet.address)
    async with ctx.db.acquire() as connection:
        await start_cursor(connection, name, crediting.to_json(START))
        cursor = crediting.from_json(await connection.fetchval(CURSOR_SQL, name))
    outcome = await Round(providers, wallet, cursor, ctx.heartbeat).ask()
    match outcome:
        case Contradicted(contradictions, answers, failed):
            await _stop(ctx, wallet, contradictions, answers)
            if failed is not None:
                raise WalletError(failed)
            return Outcome(Counter({"contradictions": len(contradictions)}))
        case Waiting(unconfirmed, answers, omitted):
            async with ctx.db.acquire() as connection:
                await pending.note_unconfirmed(
                    connection, wallet.address, unconfirmed, answers, omitted=omitted
                )
            return Outcome(Counter({"unconfirmed": len(unconfirmed)} if unconfirmed else {}))
        case Confirmed():
            return await _credit(ctx, providers, wallet, cursor, outcome, rules)
        case _:
            assert_never(outcome)


async def _stop(
    ctx: CheckerContext, wallet: Wallet, contradictions: Sequence[Contradiction], answers: str
) -> None:
    """Keep the evidence; the alert is sent at the end of the run."""
    ctx.log.error(msg("log-ton-contradict", address=wallet.address, answers=answers))
    async with ctx.db.acquire() as connection:
        await evidence.record(connection, wallet.address, contradictions, answers)


async def _credit(
    ctx: CheckerContext,
    providers: Providers,
    wallet: Wallet,
    cursor: Position,
    confirmed: Confirmed,
    rules: Rules,
) -> Outcome:
    chain, unconfirmed = confirmed.agreement.chain, confirmed.agreement.unconfirmed
    counts: Counter[str] = Counter({"unconfirmed": len(unconfirmed)} if unconfirmed else {})
    async with ctx.db.acquire() as connection:
        if await evidence.end_calm(connection, wallet.address):
            ctx.log.info(msg("log-ton-agree-again", address=wallet.address))
        await pending.note_unconfirmed(
            connection, wallet.address, unconfirmed, confirmed.answers, omitted=True
        )
    if not chain.receipts:
        return Outcome(counts, settled=not unconfirmed)
    news = News(providers, wallet, cursor, beat=ctx.heartbeat)
    done = 0
    try:
        await news.find(chain.receipts, chain.rest)
        limit = rules.behind_after if cursor.lt else None  # what was there before us is not late
        report_backlog(ctx, await _measure(ctx, news.size, news.oldest_utime), limit)
        async for block in news.blocks():
            if ctx.stopping.is_set():
                return Outcome(counts)
            if block[0].created and cursor.lt:
                ctx.alert(
                    RECREATED.format(wallet=wallet.address, last=cursor.lt, first=block[0].at.lt), "warning"
                )
            trusted = confirmed.agreement.chain.provider if confirmed.single else None
            async with ctx.db.acquire() as connection:
                credited = await credit_block(connection, wallet, cursor, block, rules, trusted)
            if credited is None:
                ctx.log.info(msg("log-ton-other-runner", address=wallet.address))
                return Outcome(counts)
            counts += credited
            cursor = block[-1].at
            done += len(block)
            ctx.heartbeat()
            ctx.progress(done, news.size)
    except ProvidersFailedError as error:
        if not error.forks:
            raise
        # The confirmed history itself excludes the cursor: an earlier round recorded something false.
        forks = [fork_of_cursor(name, fork.receipts, cursor) for name, fork in error.forks.items()]
        await _stop(ctx, wallet, forks, str(error))
        counts["contradictions"] += len(forks)
        return Outcome(counts)
    async with ctx.db.acquire() as connection:
        await pending.end_refuted(connection, wallet.address, cursor)
    return Outcome(counts, settled=not unconfirmed)


async def credit_block(
    connection: Connection,
    wallet: Wallet,
    cursor: Position,
    block: Sequence[Receipt],
    rules: Rules,
    trusted: str | None,
) -> Counter[str] | None:
    """Credit one block and move the cursor, in one transaction. None: another runner was quicker.

    trusted: the only provider that is configured; what is above its limits is kept as pending. None: the
    block is confirmed by two.
    """
    async with connection.transaction(isolation="read_committed"):
        wanted = await pending.without_rejected(connection, wallet.address, block)
        held: list[Receipt] = []
        added: dict[str, int] = {}
        if trusted is not None:
            held, added = await allowance.hold_back(connection, wanted, rules.dust, rules.limits)
        over = {receipt.at for receipt in held}
        credited = [receipt for receipt in wanted if receipt.at not in over]
        counts = await crediting.credit(connection, wallet, cursor, credited, rules.dust, move_to=block[-1])
        if counts is None:
            return None
        await pending.end_credited(connection, wallet.address, credited)
        if block[0].created and cursor.lt:
            await pending.keep_before_creation(connection, wallet.address, block[0].at)
        if trusted is not None:
            await pending.note_held(connection, wallet.address, held, trusted)
            await allowance.use(connection, added, rules.limits)
    if held:
        counts["over limit"] += len(held)
    return counts


async def confirm_held(ctx: CheckerContext, providers: Providers) -> int:
    """Credit transfers over the limit of a single provider that two providers return now. Returns how many.

    They are behind the cursor, so that they are asked for one by one.
    """
    if len(providers.names) < CONFIRMATIONS:
        return 0
    async with ctx.db.acquire() as connection:
        held = await pending.read_held(connection)
    credited = 0
    for one in held:
        answers = await providers.ask_each(one.account, one.at, _is_there(one))
        ctx.heartbeat()
        if sum(isinstance(answer, Answer) for answer in answers) < CONFIRMATIONS:
            continue
        try:
            async with ctx.db.acquire() as connection:
                ctx.log.info("{}", await pending.approve(connection, one.id))
        except pending.PendingError as error:  # decided by a person meanwhile, or refused by the ledger
            ctx.log.warning("{}", error)
        else:
            credited += 1
    return credited


def _is_there(held: pending.Held) -> Read[None]:
    def read(raw: Sequence[Raw]) -> None:
        if not raw or read_transaction(to_cell(raw[0]), held.account, {}).at != held.at:
            raise BrokenHistoryError(msg("error-history-absent", lt=str(held.at.lt)))

    return read


async def _measure(ctx: CheckerContext, size: int, oldest_utime: int | None) -> Backlog:
    """The backlog as the database's clock sees it."""
    async with ctx.db.acquire() as connection:
        age, oldest_at = await connection.fetchrow(AGE_SQL, oldest_utime)
    return Backlog(size, oldest_at, age)
