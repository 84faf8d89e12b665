"""`dozor market quarantined|release|cancel|reassign`: each moves money once, and is in the audit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dozor.cli.market.rescan import CliAudit
from dozor.control.commands.actor import Actor, Source
from dozor.storage.postgres.pool import Connection, Pool
from dozor_market.auctions import check_auctions
from dozor_market.bidding import BidRefusal, BidRefusedError, create_auction, place_bid
from dozor_market.decisions.attribution import AttributionError, attribute, reassign
from dozor_market.decisions.cancelling import CancellationError, cancel_auction
from dozor_market.decisions.quarantine import ItemKind, ReleaseError, read_quarantined, release
from dozor_market.ledger import AccountKind, InsufficientFundsError, audit, create_user, transfer
from dozor_market.presales import check_presales
from dozor_market.selling import pay_presale, pledge
from tests.checkers.stage import StageContext, house, purse, rich_user
from tests.checkers.town import open_town
from tests.cli.inside import run_inside

LATER = datetime(2100, 1, 1, tzinfo=UTC)
END = "UPDATE market.auctions SET ends_at = now() - interval '1 second' WHERE id = $1"
STATE = "SELECT state FROM market.auctions WHERE id = $1"
AUDITED = "SELECT actor, action, target, result FROM dozor.audit ORDER BY id"
AUDIT = CliAudit(Actor(Source.CLI, "ann@context", "context"))


async def run(database: str, folder: Path, *arguments: str, language: str = "en") -> tuple[int, str, str]:
    config = folder / "config.yaml"
    task = "auctions_checker: {run: 'dozor_market.auctions:check_auctions', every: 60s}"
    config.write_text(f"language: {language}\ndatabase: {{url: '{database}'}}\ntasks:\n  {task}\n")
    done = await run_inside("market", arguments[0], "-c", config, *arguments[1:])
    return done.returncode, done.stdout.strip(), done.stderr.strip()


async def audited(connection: Connection) -> list[tuple[str, ...]]:
    return [tuple(row) for row in await connection.fetch(AUDITED)]


async def quarantined_auction(
    pool: Pool, connection: Connection, seller: int, bidder: int
) -> tuple[int, int]:
    """An auction with a bid of 500 whose row says 900, found by the checker."""
    auction = await create_auction(connection, seller, "TON", LATER, fee_bps=1000)
    bid = await place_bid(connection, auction, bidder, 500)
    await connection.execute("UPDATE market.bids SET amount = 900 WHERE id = $1", bid)
    await connection.execute(END, auction)
    await check_auctions(StageContext(pool))
    assert await connection.fetchval(STATE, auction) == "quarantined"
    return auction, bid


async def test_a_quarantined_auction_is_released_once_it_is_repaired_and_not_before(
    pool: Pool, database: str, tmp_path: Path
) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction, bid = await quarantined_auction(pool, connection, seller, ann)
        code, listed, _ = await run(database, tmp_path, "quarantined")
        assert code == 0
        assert f"auction {auction}  bid {bid} says 900 but 500 was set aside  since 20" in listed
        code, _, error = await run(database, tmp_path, "release", "auction", str(auction))
        assert (code, error) == (
            1,
            f"dozor: auction {auction} stays quarantined: bid {bid} says 900 but 500 was set aside",
        )
        assert await connection.fetchval(STATE, auction) == "quarantined"
        assert await audited(connection) == []
        await connection.execute("UPDATE market.bids SET amount = 500 WHERE id = $1", bid)
        code, said, _ = await run(
            database, tmp_path, "release", "auction", str(auction), "--reason", "typo", language="ru"
        )
        assert (code, said) == (0, f"auction {auction} больше не в карантине, состояние: settled")
        assert (await purse(connection, seller))["available"] == 1450
        assert await house(connection) == 50
        ((actor, *entry),) = await audited(connection)
        assert "@" in actor
        assert entry == [
            "release",
            f"auction {auction}",
            f"auction {auction} is released: settled (typo)",
        ]
        code, _, error = await run(database, tmp_path, "release", "auction", str(auction))
        assert (code, error) == (1, f"dozor: auction {auction} is settled, not quarantined")
        assert (await run(database, tmp_path, "quarantined"))[1] == "nothing is quarantined"
        assert await audit(connection) == []


async def test_a_quarantined_presale_is_released_and_refunded(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, buyer = [await rich_user(connection, name, 1000) for name in ("seller", "buyer")]
        await pledge(connection, "pledge:1", seller, "TON", 100)
        presale = await pay_presale(connection, seller, buyer, "TON", 400, LATER, penalty=50)
        await connection.execute("UPDATE market.presales SET price = 401, deliver_by = now()")
        await check_presales(StageContext(pool))
        (item,) = await read_quarantined(connection)
        assert (item.kind, item.id, item.reason) == (
            ItemKind.PRESALE,
            presale,
            "the price says 401 but 400 was set aside",
        )
        with pytest.raises(ReleaseError, match="the price says 401"):
            await release(connection, ItemKind.PRESALE, presale, audit=AUDIT)
        await connection.execute("UPDATE market.presales SET price = 400")
        done = await release(connection, ItemKind.PRESALE, presale, audit=AUDIT)
        assert done.state == "overdue"
        assert await purse(connection, buyer) == {"available": 1000, "held": 0, "collateral": 0}
        assert await house(connection) == 50
        assert len(await audited(connection)) == 1
        with pytest.raises(ReleaseError, match="there is no presale 999"):
            await release(connection, ItemKind.PRESALE, 999, audit=AUDIT)
        assert await audit(connection) == []


async def test_an_item_that_is_not_due_goes_back_to_its_checker(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction, bid = await quarantined_auction(pool, connection, seller, ann)
        await connection.execute("UPDATE market.bids SET amount = 500 WHERE id = $1", bid)
        await connection.execute(
            "UPDATE market.auctions SET ends_at = now() + interval '1 h' WHERE id = $1", auction
        )
        assert (await release(connection, ItemKind.AUCTION, auction, audit=AUDIT)).state == "open"
        await place_bid(connection, auction, ann, 600)
        assert await audit(connection) == []


async def test_the_last_reason_is_shown_of_an_item_that_was_set_aside_twice(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller = await create_user(connection, "seller")
        auction = await create_auction(connection, seller, "TON", LATER)
        await connection.execute("UPDATE market.auctions SET state = 'quarantined'")
        for checker, item, reason in (
            ("auctions", auction, "the first"),
            ("auctions", auction, "the last"),
            ("auctions", auction + 1, "another auction's"),
            ("another checker", auction, "another checker's"),
        ):
            await connection.execute(
                "INSERT INTO dozor.quarantine (checker, item, reason) VALUES ($1, $2, $3)",
                checker,
                f"auction {item}",
                reason,
            )
        (found,) = await read_quarantined(connection)
        assert (found.kind, found.id, found.reason) == (ItemKind.AUCTION, auction, "the last")


async def test_a_released_transaction_is_left_to_a_rescan(pool: Pool) -> None:
    async with pool.acquire() as connection:
        number = await connection.fetchval(
            "INSERT INTO dozor.quarantine (checker, item, reason)"
            " VALUES ('ton deposits', 'transaction 1:aa of 0:bb', 'unreadable') RETURNING id"
        )
        (item,) = await read_quarantined(connection)
        assert (item.kind, item.id) == (ItemKind.TRANSACTION, number)
        await release(connection, ItemKind.TRANSACTION, number, audit=AUDIT)
        assert await read_quarantined(connection) == []
        with pytest.raises(ReleaseError):
            await release(connection, ItemKind.TRANSACTION, number, audit=AUDIT)
        assert [entry[2] for entry in await audited(connection)] == [f"transaction {number}"]


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_cancelled_auction_gives_every_bid_its_money_back_once(
    pool: Pool, database: str, tmp_path: Path, sealed: bool
) -> None:
    async with pool.acquire() as connection:
        seller, ann, bob = [await rich_user(connection, name, 1000) for name in ("seller", "ann", "bob")]
        auction = await create_auction(connection, seller, "TON", LATER, sealed=sealed)
        await place_bid(connection, auction, ann, 100)
        await place_bid(connection, auction, bob, 200)
        code, said, _ = await run(database, tmp_path, "cancel", str(auction), "--reason", "fraud")
        count = "2 bids" if sealed else "1 bid"
        assert (code, said) == (0, f"auction {auction} is cancelled; {count} got their money back")
        for person in (ann, bob):
            assert await purse(connection, person) == {"available": 1000, "held": 0, "collateral": 0}
        state, cancelled = await connection.fetchrow("SELECT state, cancelled_at FROM market.auctions")
        assert state == "unsold"
        assert cancelled is not None
        with pytest.raises(BidRefusedError) as refused:
            await place_bid(connection, auction, ann, 900)
        assert refused.value.refusal is BidRefusal.CLOSED
        code, _, error = await run(database, tmp_path, "cancel", str(auction))
        assert code == 1
        assert f"auction {auction} is unsold" in error
        await check_auctions(StageContext(pool))
        ((_, action, target, result),) = await audited(connection)
        assert (action, target) == ("cancel", f"auction {auction}")
        assert result.endswith("(fraud)")
        assert await audit(connection) == []


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE market.bids SET amount = 900 WHERE id = $1",
        "UPDATE market.bids SET bidder_id = 1 WHERE id = $1",
        "UPDATE market.bids SET state = 'won' WHERE id = $1",
        "UPDATE market.bids SET state = 'outbid' WHERE id = $1",
        "UPDATE market.auctions a SET currency = 'USDT'"
        " FROM market.bids b WHERE b.id = $1 AND a.id = auction_id",
    ],
)
async def test_a_quarantined_auction_is_cancelled_by_what_the_ledger_set_aside(pool: Pool, edit: str) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)
        bid = await place_bid(connection, auction, ann, 500)
        await connection.execute(edit, bid)
        await connection.execute(END, auction)
        await check_auctions(StageContext(pool))
        assert await connection.fetchval(STATE, auction) == "quarantined"
        assert (await cancel_auction(connection, auction, audit=AUDIT)).bids == 1
        assert await purse(connection, ann) == {"available": 1000, "held": 0, "collateral": 0}
        assert await audit(connection) == []


async def test_an_auction_whose_bid_was_paid_already_is_not_cancelled(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)
        await place_bid(connection, auction, ann, 500)
        await connection.execute(END, auction)
        await check_auctions(StageContext(pool))
        with pytest.raises(CancellationError, match="is settled"):
            await cancel_auction(connection, auction, audit=AUDIT)
        await connection.execute(
            "UPDATE market.auctions SET state = 'open', closed_at = NULL, winning_bid_id = NULL"
        )
        await connection.execute("UPDATE market.bids SET state = 'held'")
        with pytest.raises(CancellationError, match="has left with movement"):
            await cancel_auction(connection, auction, audit=AUDIT)
        with pytest.raises(CancellationError, match="no such auction"):
            await cancel_auction(connection, 10**9, audit=AUDIT)
        assert await audited(connection) == []
        assert (await purse(connection, seller))["available"] == 1500


async def test_a_bid_that_points_at_another_bids_money_does_not_release_it(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 1000) for name in ("seller", "ann")]
        auction = await create_auction(connection, seller, "TON", LATER)
        bid = await place_bid(connection, auction, ann, 500)
        other = await transfer(
            connection,
            "x",
            "TON",
            5,
            source=(ann, AccountKind.AVAILABLE),
            target=(ann, AccountKind.COLLATERAL),
        )
        await connection.execute("UPDATE market.bids SET hold_movement_id = $2 WHERE id = $1", bid, other)
        with pytest.raises(CancellationError, match="is not what set the money"):
            await cancel_auction(connection, auction, audit=AUDIT)


async def test_an_auction_is_cancelled_or_settled_and_never_both(pool: Pool) -> None:
    async with pool.acquire() as connection:
        seller, ann = [await rich_user(connection, name, 10_000) for name in ("seller", "ann")]
        auctions = [await create_auction(connection, seller, "TON", LATER) for _ in range(30)]
        for auction in auctions:
            await place_bid(connection, auction, ann, 100)
        await connection.execute("UPDATE market.auctions SET ends_at = now()")

    async def cancel(auction: int) -> int:
        async with pool.acquire() as connection:
            try:
                return (await cancel_auction(connection, auction, audit=AUDIT)).bids
            except CancellationError:
                return 0

    cancelled, *_ = await asyncio.gather(
        asyncio.gather(*(cancel(auction) for auction in reversed(auctions))),
        check_auctions(StageContext(pool), batch=1, workers=2),
    )
    await check_auctions(StageContext(pool))
    async with pool.acquire() as connection:
        settled = await connection.fetchval("SELECT count(*) FROM market.auctions WHERE state = 'settled'")
        assert settled + sum(cancelled) == 30
        assert (await purse(connection, seller))["available"] == 10_000 + 100 * settled
        assert len(await audited(connection)) == sum(cancelled)
        assert await audit(connection) == []


async def test_a_deposit_is_reassigned_any_number_of_times_and_only_while_the_money_is_there(
    pool: Pool, database: str, tmp_path: Path
) -> None:
    async with open_town(pool) as town:
        amount = 5 * 10**9
        town.chain.transfer(amount, "INV-1")
        town.chain.transfer(amount, "nobody")
        town.chain.transfer(1, "INV-1")
        _, url = await town.provider()
        await town.check(url)
        deposit, unmatched, dust = [
            row["id"] for row in await pool.fetch("SELECT id FROM market.deposits ORDER BY lt")
        ]
        async with pool.acquire() as connection:
            ann = await create_user(connection, "ann")
            code, said, _ = await run(
                database, tmp_path, "reassign", str(deposit), str(ann), "--reason", "wrong code"
            )
            assert (code, said) == (
                0,
                f"{amount} units of TON from deposit {deposit} went from user {town.user} to user {ann}",
            )
            await reassign(connection, deposit, town.user, audit=AUDIT)
            await reassign(connection, deposit, ann, audit=AUDIT)
            assert (await purse(connection, ann))["available"] == amount
            assert await town.balance() == 0
            state, owner = await connection.fetchrow(
                "SELECT state, user_id FROM market.deposits WHERE id = $1", deposit
            )
            assert (state, owner) == ("attributed", ann)
            for number, user, said in (
                (deposit, ann, "belongs to user"),
                (deposit, 10**9, "there is no user"),
                (10**9, ann, "there is no deposit"),
                (unmatched, ann, "is unmatched"),
                (dust, ann, "is dust"),
            ):
                with pytest.raises(AttributionError, match=said):
                    await reassign(connection, number, user, audit=AUDIT)
            await transfer(
                connection,
                "spent",
                "TON",
                1,
                source=(ann, AccountKind.AVAILABLE),
                target=(ann, AccountKind.COLLATERAL),
            )
            with pytest.raises(InsufficientFundsError):
                await reassign(connection, deposit, town.user, audit=AUDIT)
            await attribute(connection, unmatched, town.user)
            await reassign(connection, unmatched, ann, audit=AUDIT)
            entries = await audited(connection)
            assert [entry[1:3] for entry in entries] == [
                ("reassign", f"deposit {number}") for number in (deposit, deposit, deposit, unmatched)
            ]
            assert entries[0][3].endswith("(wrong code)")
