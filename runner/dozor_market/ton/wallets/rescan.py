"""A wallet's history gone over again: deposits that were missed are found, and booked once.

Up to 0.1 every transaction whose `aborted` flag was set was taken as returned, and TON attached to jetton
notifications was not booked. A rescan reads the history from its start (or from a logical time), verifies it
as the checker does, and passes every transaction to the same statement as the checker: it books only what has
no deposit and no movement yet, whoever credited it and whatever became of it. It leaves alone

- what is newer than the wallet's cursor: the checker will read it;
- what is in dozor.quarantine: it waits for a person. Delete its row there to have it tried again;
- what is in market.ton_exclusions, and what the caller excludes;
- what waits in market.ton_pending or was rejected there.

It accepts answers of providers by the rules of the checker (see agreement.py): the history begins at the
newest transaction that two providers returned. Providers that contradict each other, or fewer than two that
answer, end the rescan. With a single one configured, what is above its limits is not booked but kept
in market.ton_pending, for `dozor market approve`.

Rescans and the checker take turns: each locks the wallet's cursor while it books.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, assert_never

from dozor.errors import DozorError
from dozor.storage.postgres.pool import Connection, Pool
from dozor.toolkit import read_cursor, set_aside, start_cursor
from dozor_market.ton.agreement import allowance, pending
from dozor_market.ton.agreement.limits import SingleSourceLimits
from dozor_market.ton.agreement.round import Confirmed, Contradicted, Round, Waiting
from dozor_market.ton.crediting import (
    QUARANTINE,
    Booked,
    book,
    cursor_name,
    from_json,
    item_name,
    to_json,
)
from dozor_market.ton.messages.transactions import Position, Receipt
from dozor_market.ton.providers.port import Providers
from dozor_market.ton.reader import BLOCK, START, News, Wallet

OPERATING: Final = "operating"
"""State of what was booked to the account of this name (see crediting.RECORD)."""
WALLET_SQL: Final = """
SELECT w.address, w.user_id, w.after_lt,
       coalesce(jsonb_object_agg(j.address, j.currency) FILTER (WHERE j.address IS NOT NULL), '{}')
         AS jetton_wallets
  FROM market.ton_wallets w LEFT JOIN market.ton_jetton_wallets j ON j.owner = w.address
 WHERE w.address = $1 GROUP BY w.address"""
REGISTER_SQL: Final = "INSERT INTO market.ton_wallets (address) VALUES ($1) ON CONFLICT (address) DO NOTHING"
QUARANTINED_SQL: Final = "SELECT item FROM dozor.quarantine WHERE checker = $1 AND item = ANY($2::text[])"
EXCLUDED_SQL: Final = "SELECT hash FROM market.ton_exclusions WHERE account = $1"
EXCLUDE_SQL: Final = """
INSERT INTO market.ton_exclusions (account, hash, excluded_by) VALUES ($1, $2, $3)
ON CONFLICT (account, hash) DO NOTHING RETURNING true"""


class RescanError(DozorError):
    """The history cannot be gone over as asked; nothing was booked. The message says why."""


class Audit(Protocol):
    """Who acts, and where what they did is recorded."""

    @property
    def actor(self) -> str: ...

    async def record(self, connection: Connection, action: str, target: str, result: str) -> None:
        """Add an entry in the caller's transaction."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A transaction that should have been booked: what booking it does, or why it cannot be booked."""

    receipt: Receipt
    booked: tuple[Booked, ...] = ()
    problem: str = ""
    held: bool = False
    """Above the limits of a single provider: not booked; with `applied` it waits in market.ton_pending."""


@dataclass(frozen=True, slots=True)
class Report:
    """A rescan's result. Without `applied` nothing was changed."""

    wallet: str
    read: int
    """Transactions read."""
    newer: int
    """Of them, newer than the cursor: left to the checker."""
    missed: tuple[Missed, ...]
    excluded: tuple[Receipt, ...]
    """Transactions that the exclusions leave out."""
    single: str | None = None
    """The only provider configured: nothing is confirmed by a second one. None: two agree."""
    applied: bool = False


def parse_hash(text: str) -> bytes:
    """A transaction's hash as explorers show it: 64 hex digits, or base64 of either alphabet.

    Raises RescanError.
    """
    try:
        if len(text) == 64:
            return bytes.fromhex(text)
        found = base64.b64decode(text.replace("-", "+").replace("_", "/").rstrip("=") + "=", validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != 32:
        raise RescanError(f"{text[:80]!r} is not a transaction's hash: 64 hex digits, or 44 of base64")
    return found


async def read_wallet_row(connection: Connection, address: str) -> Wallet | None:
    """A wallet of market.ton_wallets, also one that is not watched any more."""
    row = await connection.fetchrow(WALLET_SQL, address)
    return None if row is None else Wallet(**row)


class Rescan:
    """One rescan of one wallet: `find`, then `apply` what it found."""

    def __init__(
        self,
        pool: Pool,
        providers: Providers,
        wallet: Wallet,
        dust: Mapping[str, int],
        limits: SingleSourceLimits,
        audit: Audit,
    ) -> None:
        self._pool = pool
        self._providers = providers
        self._wallet = wallet
        self._dust = dust
        self._limits = limits
        self._audit = audit

    async def find(self, from_lt: int = 0, exclude: Collection[bytes] = ()) -> Report:
        """What was missed since logical time `from_lt` (itself included). Changes nothing.

        Each block is booked as `apply` would book it, and rolled back. `exclude`: hashes left out, each of
        which must be in the history. Raises RescanError and ProvidersFailedError.
        """
        cursor = await self._cursor()
        wallet = replace(self._wallet, after_lt=max(self._wallet.after_lt, from_lt - 1))
        confirmed = await self._confirmed(wallet)
        single = confirmed.agreement.chain.provider if confirmed.single else None
        head = confirmed.agreement.chain.head(START)
        if cursor is not None and wallet.after_lt < cursor.lt > head.lt:
            raise RescanError(
                f"the providers agree up to transaction {head.lt}, before {cursor.lt}, which the checker has "
                f"read: try again later. {confirmed.answers}"
            )
        news = News(self._providers, wallet, START)
        if confirmed.agreement.chain.receipts:
            await news.find(confirmed.agreement.chain.receipts, confirmed.agreement.chain.rest)
        wanted = set(exclude)
        excluded = wanted | await self._excluded()
        read = newer = 0
        missed: list[Missed] = []
        left_out: list[Receipt] = []
        met = cursor is None or cursor.lt <= wallet.after_lt
        async for block in news.blocks():
            read += len(block)
            old = [receipt for receipt in block if cursor is None or receipt.at.lt <= cursor.lt]
            newer += len(block) - len(old)
            met = met or any(receipt.at == cursor for receipt in old)
            left_out += [receipt for receipt in old if receipt.at.hash in excluded]
            wanted -= {receipt.at.hash for receipt in block}
            missed += await self._preview([receipt for receipt in old if receipt.at.hash not in excluded])
        if wanted:
            names = ", ".join(sorted(one.hex() for one in wanted))
            raise RescanError(f"to be excluded, but not in the history that was read: {names}")
        if not met and read > newer:
            raise RescanError(
                f"transaction {cursor and cursor.lt}, the last one that the checker has read, is not in the "
                f"history that the providers gave: nothing is booked from it"
            )
        if single is not None:
            missed = await self._preview_limits(missed)
        return Report(self._wallet.address, read, newer, tuple(missed), tuple(left_out), single)

    async def _confirmed(self, wallet: Wallet) -> Confirmed:
        """The newest transaction that two providers returned, or the single one that is configured."""
        outcome = await Round(self._providers, wallet, START).ask()
        match outcome:
            case Confirmed():
                return outcome
            case Waiting(_, answers):
                raise RescanError(
                    f"two providers must return the same history, and do not: nothing is booked. {answers}"
                )
            case Contradicted(_, answers):
                raise RescanError(
                    f"TON providers contradict each other about {wallet.address}: nothing is booked."
                    f" {answers}"
                )
            case _:
                assert_never(outcome)

    async def _preview_limits(self, missed: Sequence[Missed]) -> list[Missed]:
        async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
            held, _ = await self._hold_back(connection, missed)
        over = {receipt.at: receipt for receipt in held}
        return [Missed(over[at], held=True) if (at := one.receipt.at) in over else one for one in missed]

    async def _hold_back(
        self, connection: Connection, missed: Sequence[Missed]
    ) -> tuple[list[Receipt], dict[str, int]]:
        """As allowance.hold_back, of the money that is not booked yet."""
        receipts = [_missing_money(one) for one in missed if not one.problem]
        return await allowance.hold_back(connection, receipts, self._dust, self._limits)

    async def apply(self, report: Report, exclude: Collection[bytes] = ()) -> Report:
        """Book what `find` found, and record the exclusions. Returns what was booked.

        Less than was found is booked where another process has booked some of it meanwhile. Each block
        is one transaction, together with its entry in the audit.
        """
        address = self._wallet.address
        async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
            await start_cursor(connection, cursor_name(address), to_json(START))
            for one in exclude:
                if await connection.fetchval(EXCLUDE_SQL, address, one, self._audit.actor):
                    await self._audit.record(connection, "exclude deposit", address, f"hash {one.hex()}")
        receipts = [missed.receipt for missed in report.missed]
        done: list[Missed] = []
        for first in range(0, len(receipts), BLOCK):
            done += await self._apply_block(receipts[first : first + BLOCK], report.single)
        return replace(report, missed=tuple(done), applied=True)

    async def _cursor(self) -> Position | None:
        """How far the checker has read; None: it has not read anything."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
            position = await read_cursor(connection, cursor_name(self._wallet.address))
        cursor = None if position is None else from_json(position)
        return cursor if cursor is not None and cursor.lt else None

    async def _excluded(self) -> set[bytes]:
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(EXCLUDED_SQL, self._wallet.address)
        return {row["hash"] for row in rows}

    async def _preview(self, receipts: Sequence[Receipt]) -> list[Missed]:
        async with self._pool.acquire() as connection:
            transaction = connection.transaction(isolation="read_committed")
            await transaction.start()
            try:
                # A wallet that the checker has yet to register, so that the foreign keys hold.
                await connection.execute(REGISTER_SQL, self._wallet.address)
                await start_cursor(connection, cursor_name(self._wallet.address), to_json(START))
                return await self._book(connection, await self._bookable(connection, receipts))
            finally:
                await transaction.rollback()

    async def _try(self, connection: Connection, wanted: Sequence[Receipt]) -> list[Missed]:
        """What `_book` would do, undone."""
        transaction = connection.transaction(isolation="read_committed")
        await transaction.start()
        try:
            return await self._book(connection, wanted)
        finally:
            await transaction.rollback()

    async def _apply_block(self, receipts: Sequence[Receipt], single: str | None) -> list[Missed]:
        """`receipts`: what `find` found missing. `single`: the provider that alone returned it."""
        address = self._wallet.address
        async with self._pool.acquire() as connection, connection.transaction(isolation="read_committed"):
            held: list[Receipt] = []
            if single is not None:
                await allowance.take_turns(connection)  # before the cursor, as the checker does
            wanted = await self._bookable(connection, receipts)
            if single is not None:
                held, added = await self._hold_back(connection, await self._try(connection, wanted))
                await pending.note_held(connection, address, held, single)
                await allowance.use(connection, added, self._limits)
            over = {receipt.at for receipt in held}
            done = await self._book(connection, [receipt for receipt in wanted if receipt.at not in over])
            await pending.end_credited(connection, address, [missed.receipt for missed in done])
            for missed in done:
                if missed.problem:
                    item = item_name(self._wallet, missed.receipt)
                    await set_aside(connection, QUARANTINE, item, missed.problem)
            if done or held:
                aside = sum(bool(missed.problem) for missed in done)
                span = f"lt {receipts[0].at.lt} to {receipts[-1].at.lt}"
                kept = f", kept for a person {len(held)}" if held else ""
                result = f"booked {len(done) - aside}, set aside {aside}{kept}, {span}"
                await self._audit.record(connection, "rescan", address, result)
        done += [Missed(receipt, held=True) for receipt in held]
        return sorted(done, key=lambda missed: missed.receipt.at.lt)

    async def _bookable(self, connection: Connection, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Lock the cursor, leave out what waits for a person in quarantine or in market.ton_pending."""
        await read_cursor(connection, cursor_name(self._wallet.address))
        names = {receipt: item_name(self._wallet, receipt) for receipt in receipts}
        rows = await connection.fetch(QUARANTINED_SQL, QUARANTINE, list(names.values()))
        waiting = {row["item"] for row in rows}
        free = [receipt for receipt in receipts if names[receipt] not in waiting]
        return await pending.without_open_or_rejected(connection, self._wallet.address, free)

    async def _book(self, connection: Connection, wanted: Sequence[Receipt]) -> list[Missed]:
        """Book, oldest first, with the cursor locked. Returns what was not booked before."""
        booked, refused = await book(connection, self._wallet, wanted, self._dust)
        by_place: dict[Position, list[Booked]] = {}
        for one in booked:
            by_place.setdefault(one.at, []).append(one)
        return [
            Missed(receipt, tuple(by_place.get(receipt.at, ())), refused.get(receipt, ""))
            for receipt in wanted
            if receipt.at in by_place or receipt in refused
        ]


def _missing_money(missed: Missed) -> Receipt:
    """The receipt without what is booked already: 0.1 booked jettons and not the TON attached to them."""
    states = {one.state for one in missed.booked}
    receipt = missed.receipt
    return replace(
        receipt,
        amount=receipt.amount if states - {OPERATING} else 0,
        attached=receipt.attached if OPERATING in states else 0,
    )
