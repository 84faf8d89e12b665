"""Thousands of wallets: what came in is read from the blocks of the chain, a few requests for all of them.

A run reads the masterchain blocks since the last one that was read, from every provider, and picks the
transactions of our wallets. Where those of a wallet continue its cursor without a gap, and providers agree on
them, they are credited as they are, many wallets in one database transaction. Every other wallet with news
is read by itself (see rounds.py), which is where contradictions, gaps and limits are dealt with.

A block's list of transactions is not proven complete. So each wallet is also read by itself in turn, and at
once while anything about it is open (`read_at` null).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dozor.language import msg
from dozor.storage.postgres.pool import Connection, Pool
from dozor.toolkit import set_aside
from dozor.toolkit.context import CheckerContext
from dozor_market.ton.agreement import allowance
from dozor_market.ton.agreement.comparison import Chain, agreement, contradictions, newest_first
from dozor_market.ton.agreement.round import CONFIRMATIONS
from dozor_market.ton.crediting import (
    QUARANTINE,
    Item,
    book_many,
    cursor_name,
    from_json_or_none,
    item_name,
    to_json,
)
from dozor_market.ton.messages.transactions import (
    Kind,
    Position,
    Receipt,
    UnreadableTransactionError,
    read_transaction,
)
from dozor_market.ton.providers.history import BrokenHistoryError, check_page, cut
from dozor_market.ton.providers.port import Failure, Providers, Raw, to_cell
from dozor_market.ton.providers.sources import Head
from dozor_market.ton.reader import START, Wallet
from dozor_market.ton.wallets.rounds import Rules

CURSOR: Final = "ton blocks"
AT_ONCE: Final = 8
"""Masterchain blocks asked for at the same time from one provider."""
WALLETS_A_BLOCK: Final = 20
"""A masterchain block is worth reading where it spares the reading of this many wallets."""
MOST_BLOCKS: Final = 500
"""Blocks read in one run; after a longer pause the wallets are read by themselves instead."""
BATCH: Final = 500
"""Transactions credited in one database transaction."""
HEADER_BITS: Final = 4 + 256

POSITION_SQL: Final = "SELECT position FROM dozor.cursors WHERE name = $1"
KEEP_SQL: Final = """
INSERT INTO dozor.cursors (name, position) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, moved_at = now()
 WHERE (dozor.cursors.position->>'seqno')::bigint < (EXCLUDED.position->>'seqno')::bigint"""
FORGET_SQL: Final = "DELETE FROM dozor.cursors WHERE name = $1 AND (position->>'seqno')::bigint = $2"
CURSORS_SQL: Final = "SELECT name, position FROM dozor.cursors WHERE name = ANY($1)"
OPEN_SQL: Final = """
SELECT account FROM market.ton_pending WHERE account = ANY($1) AND state <> 'credited'
 UNION SELECT account FROM market.ton_contradictions WHERE account = ANY($1) AND ended_at IS NULL"""
START_SQL: Final = """
INSERT INTO dozor.cursors (name, position)
SELECT t.name, $2 FROM unnest($1::text[]) AS t (name) ORDER BY t.name ON CONFLICT (name) DO NOTHING"""
LOCK_SQL: Final = "SELECT name, position FROM dozor.cursors WHERE name = ANY($1) ORDER BY name FOR UPDATE"
MOVE_SQL: Final = """
UPDATE dozor.cursors c
   SET position = jsonb_build_object('lt', t.lt, 'hash', t.hash, 'utime', t.utime), moved_at = now()
  FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS t (name, lt, hash, utime)
 WHERE c.name = t.name"""
IN_TURN_SQL: Final = """
SELECT address FROM market.ton_wallets
 WHERE enabled AND (read_at IS NULL OR read_at < now() - make_interval(secs => $1))
 ORDER BY read_at NULLS FIRST, address"""
READ_SQL: Final = "UPDATE market.ton_wallets SET read_at = now() WHERE address = ANY($1)"
REREAD_SQL: Final = (
    "UPDATE market.ton_wallets SET read_at = NULL WHERE address = ANY($1) AND read_at IS NOT NULL"
)
REREAD_ALL_SQL: Final = "UPDATE market.ton_wallets SET read_at = NULL WHERE read_at IS NOT NULL"

Activity = Mapping[str, Sequence[Receipt]]
"""Transactions of our wallets, by address, in any order."""


@dataclass(slots=True)
class Scan:
    """What the blocks of one run had."""

    counts: Counter[str] = field(default_factory=Counter)
    unsettled: list[str] = field(default_factory=list)
    """Wallets with news that have to be read by themselves."""
    upto: int | None = None
    """The newest block that was read; None: blocks could not be read."""


@dataclass(frozen=True, slots=True)
class Credit:
    """News of one wallet, confirmed: oldest first, from the cursor on."""

    wallet: Wallet
    cursor: Position
    receipts: tuple[Receipt, ...]


class BlockReader:
    """Reads the blocks of one run for all `wallets`."""

    def __init__(
        self, ctx: CheckerContext, providers: Providers, wallets: Sequence[Wallet], rules: Rules
    ) -> None:
        self._ctx = ctx
        self._providers = providers
        self._wallets = {wallet.address: wallet for wallet in wallets}
        self._accounts = {
            bytes.fromhex(address.partition(":")[2]): address
            for address in self._wallets
            if address.startswith("0:")
        }
        self._outside = sorted(self._wallets.keys() - self._accounts.values())
        """Wallets of the masterchain, whose transactions are in none of the blocks that are read."""
        self._rules = rules
        self._known: dict[str, tuple[str, Receipt]] = {}
        """By the bytes that a provider returned: those of another one need not be taken apart again."""
        self._needed = min(CONFIRMATIONS, len(providers.names))

    async def scan(self, heads: Mapping[str, Head]) -> Scan:
        """Credit what the blocks have since the last run. `heads`: of the providers that are not left out."""
        span = await self._span(heads)
        if span is None:
            return Scan()
        first, last = span
        if first > last:
            return Scan(unsettled=list(self._outside), upto=last)
        found = await asyncio.gather(*(self._activity(name, first, last) for name in heads))
        read = {name: activity for name, activity in zip(heads, found, strict=True) if activity is not None}
        if len(read) < self._needed:
            return Scan()
        scan = Scan(unsettled=list(self._outside), upto=last)
        active = sorted({address for activity in read.values() for address in activity})
        for at in range(0, len(active), BATCH):
            if self._ctx.stopping.is_set():
                return Scan(scan.counts)
            await self._settle(active[at : at + BATCH], read, scan)
            self._ctx.heartbeat()
            self._ctx.progress(min(at + BATCH, len(active)), len(active))
        return scan

    async def keep(self, scan: Scan, still_open: Sequence[str]) -> None:
        """Remember how far the blocks are read. `still_open`: wallets to be read by themselves next time."""
        async with self._ctx.db.acquire() as connection, connection.transaction():
            await connection.execute(REREAD_SQL, list(still_open))
            if scan.upto is not None:
                await connection.execute(KEEP_SQL, CURSOR, {"seqno": scan.upto})

    async def _span(self, heads: Mapping[str, Head]) -> tuple[int, int] | None:
        """First and last block to be read, which all providers have; the first is after the last when none is
        new. None: too few providers say which block is their newest."""
        newest = sorted((head.seqno for head in heads.values()), reverse=True)
        if len(newest) < self._needed:
            return None
        last = newest[-1]
        most = min(MOST_BLOCKS, max(1, len(self._wallets) // WALLETS_A_BLOCK))
        async with self._ctx.db.acquire() as connection:
            position = await connection.fetchval(POSITION_SQL, CURSOR)
            if position is None:
                return max(1, last - most + 1), last
            done = int(position["seqno"])
            if done - last > MOST_BLOCKS:
                # Far more than a provider lags: the number was of another network, or not true.
                self._ctx.log.warning(msg("log-ton-blocks-back", done=str(done), newest=str(last)))
                await connection.execute(FORGET_SQL, CURSOR, done)
                await connection.execute(REREAD_ALL_SQL)
                return max(1, last - most + 1), last
            if last - done > most:
                await connection.execute(REREAD_ALL_SQL)
                return last - most + 1, last
        return done + 1, max(last, done)

    async def _activity(self, name: str, first: int, last: int) -> dict[str, list[Receipt]] | None:
        """Our wallets' transactions in the blocks, as one provider has them; None: not all could be read."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(seqno: int) -> list[tuple[str, Receipt]] | None:
            async with limit:
                answer = await self._providers.block(name, seqno, self._pick)
            self._ctx.heartbeat()
            return None if isinstance(answer, Failure) else answer.value

        if (head := await one(first)) is None:  # a provider without blocks is asked once
            return None
        rest = await asyncio.gather(*(one(seqno) for seqno in range(first + 1, last + 1)))
        activity: dict[str, list[Receipt]] = {}
        for found in (head, *rest):
            if found is None:
                return None
            for address, receipt in found:
                activity.setdefault(address, []).append(receipt)
        return activity

    def _pick(self, raw: Sequence[Raw]) -> list[tuple[str, Receipt]]:
        """Our wallets' transactions among those of a block. Raises UnreadableTransactionError."""
        picked: list[tuple[str, Receipt]] = []
        for one in raw:
            if isinstance(one, str) and one in self._known:
                picked.append(self._known[one])
                continue
            cell = to_cell(one)
            bits = cell.begin_parse()
            if bits.remaining_bits < HEADER_BITS:
                continue
            bits.skip_bits(4)
            address = self._accounts.get(bits.load_bytes(32))
            if address is not None:
                wallet = self._wallets[address]
                picked.append((address, read_transaction(cell, address, wallet.jetton_wallets)))
                if isinstance(one, str):
                    self._known[one] = picked[-1]
        return picked

    async def _settle(self, addresses: Sequence[str], read: Mapping[str, Activity], scan: Scan) -> None:
        async with self._ctx.db.acquire() as connection:
            rows = await connection.fetch(OPEN_SQL, list(addresses))
            busy = {row["account"] for row in rows}
            names = {cursor_name(address): address for address in addresses}
            rows = await connection.fetch(CURSORS_SQL, list(names))
        cursors = {names[row["name"]]: from_json_or_none(row["position"]) for row in rows}
        found: list[Credit] = []
        for address in addresses:
            cursor = cursors.get(address, START)
            if cursor is None or address in busy:
                scan.unsettled.append(address)
                continue
            receipts = self._confirmed(address, cursor, read)
            if receipts is None:
                scan.unsettled.append(address)
            elif receipts:
                found.append(Credit(self._wallets[address], cursor, receipts))
        for batch in _batches(found):
            counts, refused = await credit_batch(self._ctx.db, batch, self._rules, single=self._needed == 1)
            scan.counts += counts
            scan.unsettled += refused

    def _confirmed(
        self, address: str, cursor: Position, read: Mapping[str, Activity]
    ) -> tuple[Receipt, ...] | None:
        """The wallet's news, oldest first; None: it has to be read by itself."""
        wallet = self._wallets[address]
        chains: list[Chain] = []
        for name, activity in read.items():
            page = sorted(activity.get(address, ()), key=lambda receipt: receipt.at.lt, reverse=True)
            try:
                check_page(page, None)
                fresh, rest = cut(page, cursor, wallet.after_lt)
            except (BrokenHistoryError, UnreadableTransactionError):
                return None
            chains.append(Chain(name, tuple(fresh), rest))
        chains = newest_first(chains, cursor)
        if any(chain.rest is not None for chain in chains) or contradictions(chains, cursor):
            return None
        agreed = agreement(chains, cursor, needed=self._needed)
        if agreed is None or agreed.unconfirmed:
            return None
        receipts = agreed.chain.receipts[::-1]
        if receipts and receipts[0].created and cursor.lt:
            return None
        return receipts


def _batches(found: Sequence[Credit]) -> list[list[Credit]]:
    """At most BATCH transactions each, unless one wallet has more."""
    batches: list[list[Credit]] = []
    size = BATCH
    for one in found:
        if size + len(one.receipts) > BATCH:
            batches.append([])
            size = 0
        batches[-1].append(one)
        size += len(one.receipts)
    return batches


async def credit_batch(
    pool: Pool, batch: Sequence[Credit], rules: Rules, *, single: bool
) -> tuple[Counter[str], list[str]]:
    """Credit many wallets and move their cursors in one transaction.

    single: on the word of one provider. Returns how many transactions of each kind there were, and the
    wallets that are left as they were: another runner was quicker, or a limit of the single provider holds.
    """
    async with pool.acquire() as connection, connection.transaction():
        if single:
            await allowance.take_turns(connection)  # before the cursors, as everybody does
        names = {cursor_name(one.wallet.address): one for one in batch}
        await connection.execute(START_SQL, list(names), to_json(START))
        rows = await connection.fetch(LOCK_SQL, list(names))
        locked = {row["name"]: from_json_or_none(row["position"]) for row in rows}
        wanted = [one for name, one in names.items() if locked.get(name) == one.cursor]
        left = [one.wallet.address for name, one in names.items() if locked.get(name) != one.cursor]
        if single:
            wanted, held = await _within_limits(connection, wanted, rules)
            left += held
        counts = await _book(connection, wanted, rules.dust)
        await connection.execute(
            MOVE_SQL,
            [cursor_name(one.wallet.address) for one in wanted],
            [one.receipts[-1].at.lt for one in wanted],
            [one.receipts[-1].at.hash.hex() for one in wanted],
            [one.receipts[-1].utime for one in wanted],
        )
    return counts, left


async def _book(connection: Connection, wanted: Sequence[Credit], dust: Mapping[str, int]) -> Counter[str]:
    wallets = {one.wallet.address: one.wallet for one in wanted}
    items = [
        Item(one.wallet.address, one.wallet.user_id, receipt) for one in wanted for receipt in one.receipts
    ]
    counts = Counter(item.receipt.kind.value for item in items if item.receipt.kind is not Kind.TRANSFER)
    booked, refused = await book_many(connection, items, dust)
    counts.update(booking.state for booking in booked)
    for item, reason in refused.items():
        await set_aside(connection, QUARANTINE, item_name(wallets[item.account], item.receipt), reason)
        counts["set aside"] += 1
    return counts


async def _within_limits(
    connection: Connection, wanted: Sequence[Credit], rules: Rules
) -> tuple[list[Credit], list[str]]:
    """The wallets of which nothing is held back, and the addresses of the others."""
    receipts = [receipt for one in wanted for receipt in one.receipts]
    held, added = await allowance.hold_back(connection, receipts, rules.dust, rules.limits)
    if not held:
        await allowance.use(connection, added, rules.limits)
        return list(wanted), []
    over = {id(receipt) for receipt in held}
    kept = [one for one in wanted if not any(id(receipt) in over for receipt in one.receipts)]
    receipts = [receipt for one in kept for receipt in one.receipts]
    _, added = await allowance.hold_back(connection, receipts, rules.dust, rules.limits)
    await allowance.use(connection, added, rules.limits)
    return kept, [one.wallet.address for one in wanted if one not in kept]


async def in_turn(connection: Connection, reread_after: float) -> list[str]:
    """Wallets whose turn it is to be read by themselves, those with something open first."""
    rows: Sequence[Any] = await connection.fetch(IN_TURN_SQL, reread_after)
    return [row["address"] for row in rows]


async def mark_read(connection: Connection, addresses: Sequence[str]) -> None:
    """These were read by themselves just now, and nothing about them is open."""
    await connection.execute(READ_SQL, list(addresses))
