"""Rules of the market: deadlines, the clock that judges, frozen terms, isolation, accounts, codes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

import asyncpg
import pytest

from dozor.language import Language
from dozor.language.process import language_for_now
from dozor.storage.postgres.pool import Connection, Pool, create_pool
from dozor_market.auctions import check_auctions
from dozor_market.bidding import (
    BidRefusal,
    BidRefusedError,
    Standing,
    Terms,
    create_auction,
    judge,
    place_bid,
)
from dozor_market.codes import ALPHABET, CodeError, issue_code, issue_invoice, new_code
from dozor_market.deadlines import DeadlineError, check_future
from dozor_market.ledger import (
    AccountKind,
    IsolationError,
    LedgerError,
    audit,
    create_user,
    read_balance,
    transfer,
)
from dozor_market.schema import MIGRATIONS
from dozor_market.selling import deliver, pay_presale
from tests.checkers.stage import StageContext, purse, rich_user

LATER = datetime(2100, 1, 1, tzinfo=UTC)
END = "UPDATE market.auctions SET ends_at = now() - interval '1 second' WHERE id = $1"
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def somebody_waits(connection: Connection) -> None:
    """Returns once a session of this database waits for a lock."""
    async with asyncio.timeout(10):
        while not await connection.fetchval(WAITING):  # noqa: ASYNC110 -- the event is in another session
            await asyncio.sleep(0.01)


class NoOffset(tzinfo):
    """A zone that does not know its offset: such a datetime is naive."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None


NO_DEADLINES: list[Any] = [
    datetime(2100, 1, 1),  # noqa: DTZ001 -- without a zone is what is tested
    datetime(2100, 1, 1, tzinfo=NoOffset()),
    datetime(2000, 1, 1, tzinfo=UTC),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    date(2100, 1, 1),
    "2100-01-01T00:00:00+00:00",
    4102444800,
    None,
]


async def test_a_deadline_has_a_zone_and_is_in_the_future(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = [await rich_user(connection, name, 1000) for name in ("seller", "buyer")]
        for deadline in NO_DEADLINES:
            with pytest.raises(DeadlineError, match="ends_at"):
                await create_auction(connection, seller, "TON", deadline)
            with pytest.raises(DeadlineError, match="deliver_by"):
                await pay_presale(connection, seller, buyer, "TON", 10, deadline)
        assert await connection.fetchval("SELECT count(*) FROM market.auctions") == 0
        assert (await purse(connection, buyer))["available"] == 1000


async def test_the_databases_clock_says_what_the_future_is_and_now_is_too_late(pool: Pool) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(DeadlineError):
        check_future("ends_at", now, now)
    check_future("ends_at", now + timedelta(microseconds=1), now)
    async with pool.acquire() as connection:
        seller = await rich_user(connection, "seller", 0)
        begun = await connection.fetchval("SELECT clock_timestamp()")
        with pytest.raises(DeadlineError):  # the clock has gone on by a microsecond at least, or stands still
            await create_auction(connection, seller, "TON", begun)


async def test_a_bid_is_placed_at_the_clock_value_that_it_was_judged_by(pool: Pool) -> None:
    """The judged value is read after the lock; the row's default would be later."""
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)
        await connection.execute("""
            ALTER TABLE market.bids ALTER COLUMN placed_at SET DEFAULT '2200-01-01'""")
        read: list[datetime] = []
        fetchval = connection.fetchval

        async def keep(query: str, *args: Any, **more: Any) -> Any:
            value = await fetchval(query, *args, **more)
            if query == "SELECT clock_timestamp()":
                read.append(value)
            return value

        spied: Any = Spied(connection, keep)
        bid = await place_bid(spied, auction, ann, 10)
        presale = await pay_presale(spied, seller, ann, "TON", 10, LATER)
        await deliver(spied, presale)
        placed = await connection.fetchval("SELECT placed_at FROM market.bids WHERE id = $1", bid)
        paid, closed = await connection.fetchrow("SELECT paid_at, closed_at FROM market.presales")
        assert read == [placed, paid, closed]


class Spied:
    """A connection of which fetchval is another function."""

    def __init__(self, connection: Connection, fetchval: Any) -> None:
        self._connection = connection
        self.fetchval = fetchval

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize(
    "change",
    [
        "fee_bps = 5",
        "seller_id = 2",
        "reserve_price = 7",
        "reserve_price = NULL",
        "start_price = 5",
        "min_increment = 9",
    ],
)
async def test_terms_of_an_auction_are_frozen_by_its_first_bid(pool: Pool, change: str) -> None:
    update = f"UPDATE market.auctions SET {change} WHERE id = $1"
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction, free = [
            await create_auction(connection, seller, "TON", LATER, reserve_price=6) for _ in range(2)
        ]
        await place_bid(connection, auction, ann, 10)
        await connection.execute(update, free)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="frozen by the first bid"):
            await connection.execute(update, auction)
        await connection.execute(
            "UPDATE market.auctions SET fee_bps = fee_bps, title = 'new', ends_at = ends_at + '1 h'"
            " WHERE id = $1",
            auction,
        )


async def test_terms_cannot_be_changed_while_the_first_bid_is_placed(pool: Pool) -> None:
    async with pool.acquire() as bidder, pool.acquire() as other, pool.acquire() as third:
        seller, ann = [await rich_user(bidder, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(bidder, seller, "TON", LATER)
        async with bidder.transaction():
            await place_bid(bidder, auction, ann, 10)
            change = asyncio.create_task(other.execute("UPDATE market.auctions SET fee_bps = 10000"))
            await somebody_waits(third)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await change


@pytest.mark.parametrize(
    "change", ["fee_bps = 5", "seller_id = buyer_id, buyer_id = seller_id", "penalty = 9"]
)
async def test_terms_of_a_presale_are_frozen_by_its_payment(pool: Pool, change: str) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        await pay_presale(connection, seller, ann, "TON", 10, LATER)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="frozen by the payment"):
            await connection.execute(f"UPDATE market.presales SET {change}")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_calls_and_checkers_do_not_depend_on_the_databases_default_isolation(
    pool: Pool, database: str, level: str
) -> None:
    name = await pool.fetchval("SELECT current_database()")
    await pool.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    strict = await create_pool(database, min_size=1, max_size=6)
    try:
        async with strict.acquire() as connection:
            assert await connection.fetchval("SHOW default_transaction_isolation") == level
            seller, *people = [await rich_user(connection, f"user {n}", 1000) for n in range(5)]
            auctions = [await create_auction(connection, seller, "TON", LATER) for _ in range(6)]

        async def bid(who: int, amount: int, auction: int) -> bool:
            async with strict.acquire() as connection:
                try:
                    await place_bid(connection, auction, who, amount)
                except BidRefusedError:
                    return False
                return True

        placed = await asyncio.gather(*(bid(who, 100, auction) for auction in auctions for who in people))
        assert sum(placed) == len(auctions)  # one each: the others saw it, and 100 again is too low
        await strict.execute("UPDATE market.auctions SET ends_at = now()")
        await asyncio.gather(*(check_auctions(StageContext(strict), batch=2) for _ in range(3)))
        async with strict.acquire() as connection:
            assert (
                await connection.fetchval("SELECT count(*) FROM market.auctions WHERE state = 'settled'") == 6
            )
            assert await audit(connection) == []
    finally:
        await strict.close()


@pytest.mark.parametrize("level", ["repeatable_read", "serializable"])
async def test_a_call_within_a_transaction_of_another_isolation_level_is_refused(
    pool: Pool, level: Any
) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)
        async with connection.transaction(isolation=level):
            for call in (
                place_bid(connection, auction, ann, 10),
                create_auction(connection, seller, "TON", LATER),
                pay_presale(connection, seller, ann, "TON", 10, LATER),
                create_user(connection, "bob"),
                issue_code(connection, ann),
                transfer(
                    connection,
                    "x",
                    "TON",
                    1,
                    source=(ann, AccountKind.AVAILABLE),
                    target=(ann, AccountKind.HELD),
                ),
            ):
                with pytest.raises(IsolationError, match="READ COMMITTED"):
                    await call


NEW_CURRENCY = "INSERT INTO market.currencies (code, decimals) VALUES ($1, 9)"


@pytest.mark.parametrize("first", ["user", "currency"])
async def test_a_user_and_a_currency_created_at_once_leave_no_account_missing(pool: Pool, first: str) -> None:
    async with pool.acquire() as one, pool.acquire() as two, pool.acquire() as third:
        async with one.transaction():
            if first == "user":
                await create_user(one, "ann")
                second = asyncio.create_task(two.execute(NEW_CURRENCY, "NOT"))
            else:
                await one.execute(NEW_CURRENCY, "NOT")
                second = asyncio.create_task(create_user(two, "ann"))
            await somebody_waits(third)
        await second
        user = await one.fetchval("SELECT id FROM market.users")
        assert await read_balance(one, user, AccountKind.HELD, "NOT") == 0
        assert await audit(one) == []


async def test_many_users_and_currencies_at_once_leave_no_account_missing(pool: Pool) -> None:
    async def user(n: int) -> None:
        async with pool.acquire() as connection:
            await create_user(connection, f"user {n}")

    await asyncio.gather(
        *(user(n) for n in range(30)), *(pool.execute(NEW_CURRENCY, f"CUR{n}") for n in range(10))
    )
    async with pool.acquire() as connection:
        assert await audit(connection) == []
        assert await connection.fetchval("SELECT count(*) FROM market.accounts") == 30 * 12 * 3 + 12 * 4


async def test_a_user_created_with_an_older_snapshot_than_a_currency_is_refused_and_not_left_without_accounts(
    pool: Pool,
) -> None:
    async with pool.acquire() as one, pool.acquire() as two:
        async with one.transaction(isolation="repeatable_read"):
            await one.fetchval("SELECT count(*) FROM market.users")
            await two.execute(NEW_CURRENCY, "NOT")
            with pytest.raises(asyncpg.SerializationError):
                await one.execute("INSERT INTO market.users (name) VALUES ('ann')")
        async with one.transaction(isolation="repeatable_read"):
            with pytest.raises(asyncpg.InvalidTransactionStateError, match="READ COMMITTED"):
                await one.execute(NEW_CURRENCY, "ETH")
        assert await audit(two) == []


async def test_the_audit_names_an_account_that_is_missing(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await connection.execute("ALTER TABLE market.users DISABLE TRIGGER open_accounts")
        user = await create_user(connection, "ann")
        found = await audit(connection)
        assert len(found) == 6
        assert f"user {user} has no account held in TON" in found


async def test_the_migration_opens_accounts_that_an_earlier_version_left_missing(pool: Pool) -> None:
    migration = next(one for one in MIGRATIONS.load() if one.number == 25)
    async with pool.acquire() as connection:
        await connection.execute("ALTER TABLE market.users DISABLE TRIGGER open_accounts")
        await connection.execute("ALTER TABLE market.currencies DISABLE TRIGGER open_accounts")
        await create_user(connection, "ann")
        await connection.execute(NEW_CURRENCY, "NOT")
        assert len(await audit(connection)) == 9 + 4
        async with connection.transaction():
            await connection.execute(migration.sql[migration.sql.index("LOCK TABLE") :])
        assert await audit(connection) == []


async def test_a_role_without_rights_on_the_new_tables_still_creates_users_and_edits_auctions(
    pool: Pool,
) -> None:
    async with pool.acquire() as connection:
        seller = await rich_user(connection, "seller", 0)
        await create_auction(connection, seller, "TON", LATER)
        await connection.execute("CREATE ROLE shop_of_before")
        try:
            await connection.execute(
                "GRANT USAGE ON SCHEMA market TO shop_of_before;"
                "GRANT INSERT, SELECT ON market.users, market.currencies TO shop_of_before;"
                "GRANT UPDATE, SELECT ON market.auctions TO shop_of_before"
            )
            async with connection.transaction():
                await connection.execute("SET LOCAL ROLE shop_of_before")
                await connection.execute("INSERT INTO market.users (name) VALUES ('ann')")
                await connection.execute(NEW_CURRENCY, "NOT")
                await connection.execute("UPDATE market.auctions SET fee_bps = 7")
            assert await audit(connection) == []
        finally:
            await connection.execute("DROP OWNED BY shop_of_before; DROP ROLE shop_of_before")


async def test_statements_of_the_previous_version_work_on_this_schema(pool: Pool) -> None:
    """Bids and presales without placed_at and paid_at, an auction whose end has passed, users."""
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await connection.fetchval(
            "INSERT INTO market.auctions (seller_id, currency, title, sealed, start_price, min_increment,"
            " reserve_price, fee_bps, ends_at)"
            " VALUES ($1, 'TON', '', false, 1, 1, NULL, 0, now() - interval '1 hour') RETURNING id",
            seller,
        )
        hold = await transfer(
            connection,
            "bid:1:held",
            "TON",
            10,
            source=(ann, AccountKind.AVAILABLE),
            target=(ann, AccountKind.HELD),
        )
        await connection.execute(
            "INSERT INTO market.bids (id, auction_id, bidder_id, amount, hold_movement_id)"
            " VALUES (1, $1, $2, 10, $3)",
            auction,
            ann,
            hold,
        )
        await check_auctions(StageContext(pool))
        assert await connection.fetchval("SELECT state FROM market.auctions") == "settled"
        assert await audit(connection) == []


async def test_codes_are_issued_from_an_alphabet_without_lookalikes(pool: Pool) -> None:
    assert not set("01OILU") & set(ALPHABET)
    assert len(set(ALPHABET)) == len(ALPHABET) == len(set(ALPHABET.casefold())) == 30
    async with pool.acquire() as connection:
        ann = await create_user(connection, "ann")
        codes = [await issue_code(connection, ann) for _ in range(20)]
        assert all(set(code) <= set(ALPHABET) and len(code) == 10 for code in codes)
        assert await connection.fetchval("SELECT count(*) FROM market.invoices") == len(set(codes)) == 20
        with pytest.raises(LedgerError):
            await issue_code(connection, 10**9)
    for length in (5, 41, 0, -1, True, 8.0):
        with pytest.raises(CodeError):
            new_code(length)  # type: ignore[arg-type]


async def test_a_chosen_code_that_looks_like_an_issued_one_is_refused(pool: Pool) -> None:
    async with pool.acquire() as connection:
        ann, bob = [await create_user(connection, name) for name in ("ann", "bob")]
        await issue_invoice(connection, "INV-10", ann)
        for code in ("INV-10", "inv-10", "1NV-I0", "lnv-lO"):
            with pytest.raises(CodeError, match="looks like INV-10"):
                await issue_invoice(connection, code, bob)
        bad: list[Any] = [
            "",
            " INV-2",
            "INV-2 ",
            "INV\u200b-2",
            "ИНВ-2",
            "INV\n2",
            "x" * 121,
            "\u0130NV",
            7,
            None,
        ]
        for wrong in bad:
            with pytest.raises(CodeError):
                await issue_invoice(connection, wrong, bob)
        await issue_invoice(connection, "INV-2", bob)

    async def claim(code: str) -> bool:
        async with pool.acquire() as connection:
            try:
                await issue_invoice(connection, code, bob)
            except CodeError:
                return False
            return True

    assert sum(await asyncio.gather(*(claim(code) for code in ("ZOO", "Z00", "zoO", "z0o")))) == 1


async def test_refusals_of_the_market_are_in_the_language_of_the_process(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 10) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)

        async def said() -> list[str]:
            texts = []
            for call in (
                place_bid(connection, auction, seller, 5),
                place_bid(connection, auction, ann, 11),
                place_bid(connection, auction, ann, -1),
                deliver(connection, 10**9),
                pay_presale(connection, seller, ann, "TON", 11, LATER),
                pay_presale(connection, seller, ann, "TON", 1, datetime(2000, 1, 1, tzinfo=UTC)),
                read_balance(connection, 10**9, AccountKind.HELD, "TON"),
                issue_invoice(connection, " ", ann),
            ):
                with pytest.raises(LedgerError) as refused:
                    await call
                texts.append(str(refused.value))
            return texts

        english = await said()
        with language_for_now(Language.RU):
            russian = await said()
        assert english[0] == f"auction {auction}: the seller does not bid"
        assert russian[0] == f"аукцион {auction}: продавец не делает ставок"
        assert all(text.isascii() for text in english)
        assert not any(text.isascii() for text in russian)


NOW = datetime(2030, 1, 1, tzinfo=UTC)
TERMS = Terms(1, "open", sealed=False, start_price=10, min_increment=5, ends_at=NOW)
HELD_BIDS = [Standing(1, 2, 20), Standing(2, 3, 15)]


@pytest.mark.parametrize(
    ("change", "bidder", "amount", "early", "refusal"),
    [
        ({}, 4, 25, 1, None),
        ({}, 4, 24, 1, BidRefusal.LOW),
        ({}, 2, 24, 1, BidRefusal.LOW),
        ({}, 1, 25, 1, BidRefusal.OWN),
        ({}, 4, 25, 0, BidRefusal.LATE),
        ({"state": "settled"}, 4, 25, 1, BidRefusal.CLOSED),
        ({"start_price": 26}, 4, 25, 1, BidRefusal.LOW),
        ({"start_price": 25}, 4, 25, 1, None),
        ({"sealed": True}, 4, 10, 1, None),
        ({"sealed": True}, 4, 9, 1, BidRefusal.LOW),
        ({"sealed": True}, 2, 20, 1, BidRefusal.LOW),
        ({"sealed": True}, 2, 21, 1, None),
    ],
)
def test_a_bid_is_judged_by_the_terms_to_the_unit(
    change: dict[str, Any], bidder: int, amount: int, early: int, refusal: BidRefusal | None
) -> None:
    terms = replace(TERMS, **change)
    assert judge(terms, HELD_BIDS, bidder, amount, NOW - timedelta(microseconds=early)) is refusal
